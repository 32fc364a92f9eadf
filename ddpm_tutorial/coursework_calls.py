"""What the assignments ask of a function where it is: here, or in the grader's other process."""

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_tutorial.coursework_values import Wrong, copy_of, devices, mixed_sum
from ddpm_tutorial.diagnosis_of_errors import describe_error

#: How what is said begins of a gradient that is cut off.
NO_GRADIENT = "no gradient reaches argument"
#: The same of an answer on another device.
MOVED = "the answer has moved to the device"
ENOUGH = 2.0  #: seconds for the search of what went wrong


def gradient(function: Callable[..., Any], *arguments: Any, of: int, mixed: bool = False) -> Tensor:
    """The gradient of the sum of `function(*arguments)` with respect to argument number `of`.

    That one has to be a tensor of a floating type; the others may be anything. With `mixed`, each
    entry of the sum has another weight, so that nothing in it cancels, and several results are
    added up. Raises Wrong where the result does not depend on that argument at all.
    """
    if hasattr(function, "gradient"):  # the grader's stand-in: computed where the function is
        found: Tensor = function.gradient(*arguments, of=of, mixed=mixed)
        return found
    inputs = list(arguments)
    inputs[of] = arguments[of].clone().requires_grad_()
    result = function(*inputs)
    result = mixed_sum(result) if mixed else result.sum()
    if not result.requires_grad:
        raise Wrong(f"{NO_GRADIENT} {of + 1}: was it detached?")
    through: Tensor | None
    (through,) = torch.autograd.grad(result, inputs[of], allow_unused=True)
    if through is None:
        raise Wrong(f"{NO_GRADIENT} {of + 1}: is it used?")
    return through


def trial(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Call it twice, with copies: the answer, the arguments after it, and the second answer.

    Raises Wrong where the answer lies on another device than the arguments.
    """
    if hasattr(function, "trial"):  # the grader's stand-in: tried where the function is
        return list(function.trial(*arguments))
    given = copy_of(list(arguments))
    answer = copy_of(function(*given))
    home = devices(arguments) or {"cpu"}
    if moved := sorted(devices(answer) - home):
        raise Wrong(f"{MOVED} {moved[0]}: leave it where the arguments are, on {min(home)}")
    return [answer, given, function(*copy_of(list(arguments)))]


def answers(function: Callable[..., Any], cases: Sequence[Sequence[Any]]) -> list[Any]:
    """What it gives for each list of arguments; None where it raises, or no time is left.

    Nothing that it prints is shown.
    """
    if hasattr(function, "answers"):  # the grader's stand-in: asked where the function is
        return list(function.answers(cases))
    found: list[Any] = []
    end = time.monotonic() + ENOUGH
    with contextlib.redirect_stdout(io.StringIO()):
        for case in cases:
            answer = None
            if time.monotonic() < end:
                with contextlib.suppress(Exception):
                    answer = copy_of(function(*copy_of(list(case))))
            found.append(answer)
    return found


def through_network(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(network, *arguments)` gives, and its derivative by the network's weight.

    The network is 0.5 x_t + t / 10, and 0.5 is its weight. What a network answers has to stay tied
    to its weights, or it will not be trained. Raises Wrong where it is not.
    """
    if hasattr(function, "through_network"):  # the grader's stand-in
        return list(function.through_network(*arguments))
    weight = torch.tensor(0.5, requires_grad=True)

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return weight * x_t + t.reshape(-1, *[1] * (x_t.ndim - 1)) / 10

    result = function(network, *arguments)
    if not (isinstance(result, Tensor) and result.requires_grad):
        raise Wrong(f"{NO_GRADIENT} 1, the network: is its answer detached, or the loss a number?")
    (through,) = torch.autograd.grad(result.sum(), weight, allow_unused=True)
    if through is None:
        raise Wrong(f"{NO_GRADIENT} 1, the network: was its answer detached?")
    return [result.detach(), through]


def recorded(function: Callable[..., Any], name: str, *arguments: Any) -> list[list[Any]]:
    """Call a function, and list what it called the function `name` of the same notebook with.

    One list for each call, with the tensors among its arguments; None stands for what is none.
    """
    if hasattr(function, "recorded"):  # the grader's stand-in
        found: list[list[Any]] = function.recorded(name, *arguments)
        return found
    seen: list[list[Any]] = []
    beside = getattr(function, "__globals__", {name: None})
    real = beside[name]

    def record(*given: Any, **named: Any) -> Any:
        all_given = (*given, *named.values())
        seen.append([copy_of(each) if isinstance(each, Tensor) else None for each in all_given])
        return real(*given, **named)

    beside[name] = record
    try:
        function(*arguments)
    finally:
        beside[name] = real
    return seen


def explain(error: BaseException, filename: str) -> str:
    """`describe_error`, which the grader has from here in a student's process."""
    return describe_error(error, filename)
