"""The contract of a network: what a `DDPM` asks of whatever it is built around."""

import operator
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

__all__ = [
    "Network",
    "NetworkConfig",
    "check_labels",
    "hidden_weights_of",
    "num_classes_of",
]


class Network(Protocol):
    """A callable from x_t (B, C, ...) and t int64 (B,) to the output that is given a meaning.

    A network that tells classes apart is called with `label` int64 (B,) too, in 0..num_classes,
    where the last is the null token: it says that no class is told. Any class or function that
    keeps this will do. One that has a method `hidden_weights()` says there which of its weights are
    matrices (or convolutions) from hidden features to hidden features: Muon trains them.
    """

    num_classes: int
    """How many classes it tells apart; 0 if it takes no label."""

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """The output (B, outputs * C, ...), where a `DDPM` says how many outputs it needs."""


class NetworkConfig(Protocol):
    """What is needed to build a network again: a frozen dataclass of plain values."""

    name: ClassVar[str]
    """The word for this kind of network."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""

    def build(self, outputs: int) -> Network:
        """A freshly initialised network with `outputs` output channels for each of the image."""


def num_classes_of(network: Any) -> int:
    """How many classes a network tells apart, seen through what wraps it.

    `torch.compile` hands on the attributes of what it wraps; others keep it under `module`. Raises
    ValueError for what does not keep the contract of a `Network`.
    """
    if not callable(network):
        raise ValueError(
            f"network = {network!r} cannot be called: give a module or a function of (x_t, t)"
        )
    found: Any = _attribute(network, "num_classes")
    try:
        count = operator.index(found)  # any kind of integer, of numpy or torch too
    except TypeError:
        count = -1
    if count < 0:
        raise ValueError(
            f"the network ({type(network).__name__}) has num_classes = {found}: set it to the "
            f"number of classes that its label tells apart, or to 0 if it takes no label"
        )
    return count


def hidden_weights_of(network: Any) -> list[torch.nn.Parameter]:
    """The weights that a network names in `hidden_weights()`, seen through what wraps it; or none.

    Raises ValueError for one with fewer than two dimensions.
    """
    named = _attribute(network, "hidden_weights")
    weights = [] if named is None else list(named())
    for weight in weights:
        if weight.ndim < 2:
            raise ValueError(
                f"hidden_weights() of {type(network).__name__} names one of shape "
                f"{tuple(weight.shape)}: name matrices and convolutions only"
            )
    return weights


def _attribute(network: Any, name: str) -> Any:
    inner = network
    while not hasattr(inner, name) and hasattr(inner, "module"):
        inner = inner.module
    return getattr(inner, name, None)


def check_labels(labels: Tensor, last: int) -> None:
    """Raise ValueError unless `labels` are integers in 0..last.

    On a GPU, where looking would stall it, and on the meta device their values are taken on trust.
    """
    if not isinstance(labels, Tensor):
        raise ValueError(f"labels are a {type(labels).__name__}: give a tensor of integers")
    if labels.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"labels are {labels.dtype}: give integers, label.long()")
    if labels.device.type == "cpu" and labels.numel():
        low, high = int(labels.min()), int(labels.max())
        if not 0 <= low <= high <= last:
            raise ValueError(f"labels run from {low} to {high}: they must lie in 0..{last}")
