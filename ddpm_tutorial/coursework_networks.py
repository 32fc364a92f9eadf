"""Networks that look at what they are asked with, for the tests of the assignments."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from ddpm_tutorial.coursework_values import Wrong

#: How what is said of a network begins that was not asked as it should be.
ASKED = "the network is asked"
#: The same for a part of a network.
CALLED = "the inner part is called"


class Watcher:
    """What it was asked with, and what it said, call after call."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.said: list[Tensor] = []

    def frozen(self, dtype: torch.dtype = torch.float64) -> Callable[..., Any]:
        """Gives what it said, in the same order over and over, whatever it is asked with."""
        answers = cycle([answer.to(dtype) for answer in self.said])
        return lambda *_: next(answers)

    def judge(self, trials: int) -> None:
        """Raise Wrong for the first call, in so many trials, that was not as it should be."""
        raise NotImplementedError


class Watched(Watcher):
    """A network for tests, `network(x_t, t)` or `network(x_t, t, label)`, that is looked at.

    It keeps what it is asked with: t, and a label, are to be int64 tensors with one number for each
    example, and t is to lie in 1..T. `calls` is how often one answer may ask it; None for any.
    """

    def __init__(self, network: Callable[..., Any], T: int, calls: int | None = None) -> None:
        super().__init__()
        self.network, self.T, self.calls = network, T, calls

    def __call__(self, x_t: Any, t: Any, *label: Any, **named: Any) -> Any:
        """What the network says; if t is not as it should be, as near to that as can be."""
        label = (*label, *named.values())
        self.seen.append((x_t, t, *label))
        rows = (torch.as_tensor(each).long().flatten().expand(len(x_t)) for each in (t, *label))
        answer = self.network(x_t, *rows)
        self.said.append(torch.as_tensor(answer).detach().double())
        return answer

    def judge(self, trials: int) -> None:
        """Raise Wrong for the first call that was not as it should be."""
        for x_t, *rest in self.seen:
            for name, each in zip(("t", "the label"), rest, strict=False):
                if not isinstance(each, Tensor):
                    raise Wrong(f"{ASKED} with a {type(each).__name__} for {name}: make it int64")
                if each.dtype != torch.int64:
                    raise Wrong(f"{ASKED} with {name} of the type {each.dtype}: make it int64")
                if each.shape != (len(x_t),):
                    raise Wrong(
                        f"{ASKED} with {name} of shape {tuple(each.shape)}: give it the shape "
                        f"(B,), {(len(x_t),)}, one number for each example"
                    )
            lowest, highest = int(rest[0].min()), int(rest[0].max())
            if lowest < 1 or highest > self.T:
                odd = lowest if lowest < 1 else highest
                raise Wrong(f"{ASKED} at t = {odd}: it knows t = 1 to T, here {self.T}")
        if self.calls is not None and len(self.seen) != trials * self.calls:
            times = len(self.seen) / trials
            raise Wrong(f"{ASKED} {times:g} times, and {self.calls} is right: each call takes time")


class WatchedLayer(Watcher):
    """A part of a network for tests, `layer(x)`, that is looked at.

    In each trial it is to be called once, with a tensor of this shape.
    """

    def __init__(self, layer: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.shape = layer, shape

    def __call__(self, x: Tensor) -> Tensor:
        """What the layer says."""
        self.seen.append(tuple(x.shape))
        answer = self.layer(x)
        self.said.append(answer.detach().double())
        return answer

    def judge(self, trials: int) -> None:
        """Raise Wrong for a call with another shape, or where there are more or fewer calls."""
        for shape in self.seen:
            if shape != self.shape:
                raise Wrong(f"{CALLED} with the shape {shape}, and {self.shape} is right")
        if len(self.seen) != trials:
            raise Wrong(f"{CALLED} {len(self.seen) / trials:g} times, and once is right")
