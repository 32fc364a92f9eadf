"""The contract of a network: what a `DDPM` asks of whatever it is built around."""

from typing import Any, ClassVar, Protocol

from torch import Tensor

__all__ = [
    "Network",
    "NetworkConfig",
    "num_classes_of",
]


class Network(Protocol):
    """A callable from x_t (B, C, ...) and t int64 (B,) to the output that is given a meaning.

    A network that tells classes apart is called with `label` int64 (B,) too, in 0..num_classes,
    where the last is the null token: it says that no class is told. Any class or function that
    keeps this will do.
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
    inner = network
    while not hasattr(inner, "num_classes") and hasattr(inner, "module"):
        inner = inner.module
    count = getattr(inner, "num_classes", None)
    if not isinstance(count, int) or count < 0:
        raise ValueError(
            f"the network ({type(network).__name__}) has num_classes = {count}: set it to the "
            f"number of classes that its label tells apart, or to 0 if it takes no label"
        )
    return count
