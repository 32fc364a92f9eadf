"""What was measured of an x_0 that nobody has seen, and how probable it is.

A linear map says what a measurement keeps of an image: some pixels, their averages over squares, or
a blurred version. A likelihood says how well an x_0 explains what came out.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_tutorial.errors import check_finite
from ddpm_tutorial.mathematics.forward import standard_normal
from ddpm_tutorial.mathematics.gaussian import normal_log_prob
from ddpm_tutorial.models.classifier import DigitClassifier

__all__ = [
    "AveragePooling",
    "Blur",
    "ClassLabel",
    "Distance",
    "Likelihood",
    "LinearMap",
    "Mask",
    "Measurement",
]


class LinearMap(ABC):
    """What a measurement keeps of x_0 (B, ...): a linear function of it, here written A."""

    @abstractmethod
    def __call__(self, x0: Tensor) -> Tensor:
        """A x_0, (B, ...)."""

    @abstractmethod
    def of_variance(self, variance: Tensor) -> Tensor:
        """The variance of A x_0, from those of the entries of x_0, as if they were independent."""

    def complete(self, x0: Tensor, y: Tensor) -> Tensor:
        """The x nearest to x_0 with A x = y, shaped like x_0; ValueError where there is no way."""
        raise ValueError(
            f"{type(self).__name__} offers no x with A x = y, which replacement needs: guide "
            f"towards the measurement instead"
        )


@dataclass(frozen=True, eq=False)
class Mask(LinearMap):
    """Some entries, and no others: `known`, bool, has the shape of one example.

    What it keeps is (B, M), in the order of the entries. Raises ValueError unless `known` is bool
    and says of at least one entry that it is known.
    """

    known: Tensor
    places: Tensor = field(init=False, repr=False)  # found once: asking waits for the device

    def __post_init__(self) -> None:
        if self.known.dtype != torch.bool or not bool(self.known.any()):
            raise ValueError(
                f"known has dtype {self.known.dtype}, and {int(self.known.sum())} entries that "
                f"are not 0: give a bool tensor with at least one True"
            )
        object.__setattr__(self, "places", self.known.flatten().nonzero()[:, 0])

    def __call__(self, x0: Tensor) -> Tensor:
        """The known entries, (B, M)."""
        self._check(x0)
        return x0.flatten(1)[:, self.places.to(x0.device)]

    def of_variance(self, variance: Tensor) -> Tensor:
        """That of the known entries, (B, M)."""
        return self(variance)

    def complete(self, x0: Tensor, y: Tensor) -> Tensor:
        """x_0 with y (1 or B, M) in the place of its known entries."""
        self._check(x0)
        places, y = self.places.to(x0.device), y.to(x0)
        return x0.flatten(1).index_copy(1, places, y.expand(len(x0), -1)).view_as(x0)

    def _check(self, x0: Tensor) -> None:
        if x0.shape[1:] != self.known.shape:
            raise ValueError(
                f"x0 has shape {tuple(x0.shape)}, the mask {tuple(self.known.shape)}: the mask "
                f"must have the shape of one example"
            )


@dataclass(frozen=True)
class AveragePooling(LinearMap):
    """The mean of each square of `size` by `size` pixels: an image of lower resolution.

    Takes (B, C, H, W) with H and W multiples of `size`; ValueError for another.
    """

    size: int

    def __call__(self, x0: Tensor) -> Tensor:
        """The means, (B, C, H / size, W / size)."""
        if self.size < 1 or x0.ndim != 4 or x0.shape[2] % self.size or x0.shape[3] % self.size:
            raise ValueError(
                f"size = {self.size}, x0 has shape {tuple(x0.shape)}: give (B, C, H, W) with H and "
                f"W multiples of the size"
            )
        return F.avg_pool2d(x0, self.size)

    def of_variance(self, variance: Tensor) -> Tensor:
        """Of a mean of size^2 entries: the mean variance by their number."""
        return self(variance) / self.size**2

    def complete(self, x0: Tensor, y: Tensor) -> Tensor:
        """x_0 with each square lightened or darkened as a whole."""
        missing = y.to(x0) - self(x0)
        return x0 + F.interpolate(missing, scale_factor=float(self.size), mode="nearest")


@dataclass(frozen=True)
class Blur(LinearMap):
    """Each pixel averaged with those around it, with the weights of a bell of width `sigma`.

    `sigma` > 0 is its standard deviation, in pixels; it is cut at three of them. At the edge the
    outermost pixels stand in for what lies beyond. Takes (B, C, H, W).
    """

    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma = {self.sigma}: it must be greater than 0, and finite")

    def __call__(self, x0: Tensor) -> Tensor:
        """The blurred image, shaped like x_0."""
        columns, rows = (self._along(size, x0) for size in x0.shape[-2:])
        return columns @ x0 @ rows.mT

    def of_variance(self, variance: Tensor) -> Tensor:
        """With the squares of the weights."""
        columns, rows = (self._along(size, variance).square() for size in variance.shape[-2:])
        return columns @ variance @ rows.mT

    def _along(self, size: int, like: Tensor) -> Tensor:
        """The weights along a line of so many pixels, (size, size): of all pixels for each."""
        reach = math.ceil(3 * self.sigma)
        away = torch.arange(-reach, reach + 1, device=like.device)
        weights = (-0.5 * (away.to(like.dtype) / self.sigma).square()).softmax(0)
        pixel = torch.arange(size, device=like.device)[:, None]
        there = (pixel + away).clamp(0, size - 1)
        return torch.zeros(size, size).to(like).scatter_add(1, there, weights.expand(size, -1))


@dataclass(frozen=True, eq=False)
class Likelihood(ABC):
    """How well an x_0 explains `y`: called with x_0 (B, ...), it gives ln p(y | x_0), (B,).

    Up to a constant, unless it says otherwise. `y` holds one answer for all samples, (1, ...), or
    one for each of n, (n, ...). `x0_variance` is how uncertain the entries of x_0 still are, shaped
    like it; None where x_0 is meant as it stands.
    """

    y: Tensor

    @abstractmethod
    def __call__(self, x0: Tensor, x0_variance: Tensor | None = None) -> Tensor:
        """Ln p(y | x_0), (B,)."""

    @property
    def count(self) -> int | None:
        """For how many samples it holds a y each; None if one y holds for all."""
        return None if len(self.y) == 1 else len(self.y)

    def rows(self, start: int, stop: int) -> Self:
        """That of samples start..stop - 1 alone."""
        return self if self.count is None else replace(self, y=self.y[start:stop])


@dataclass(frozen=True, eq=False)
class Measurement(Likelihood):
    """y = A x_0 + sigma n, with n ~ N(0, I): its log-density in nats, with nothing left out.

    `A` is a `LinearMap`, `sigma` > 0 a standard deviation. Of a measurement without error take a
    small sigma. Raises ValueError for another sigma, or a y that is not finite.
    """

    A: LinearMap
    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(
                f"sigma = {self.sigma}: it must be greater than 0, and finite; for a measurement "
                f"without error take a small one, such as half a grey level, 1 / 255"
            )
        check_finite("y", self.y)

    @classmethod
    def of(
        cls, x0: Tensor, A: LinearMap, sigma: float, generator: torch.Generator | None = None
    ) -> "Measurement":
        """The measurement of an x_0 (1 or n, ...), with an error drawn from the generator."""
        y = A(x0)
        return cls(y + sigma * standard_normal(y.shape, y, generator), A, sigma)

    def __call__(self, x0: Tensor, x0_variance: Tensor | None = None) -> Tensor:
        """Ln N(y; A x_0, sigma^2), or with sigma^2 plus the variance of A x_0, entry by entry."""
        predicted = self.A(x0)
        variance = torch.full_like(predicted, self.sigma**2)
        if x0_variance is not None:
            variance = variance + self.A.of_variance(x0_variance)
        return normal_log_prob(self.y.to(predicted), predicted, variance.log()).flatten(1).sum(1)


@dataclass(frozen=True, eq=False)
class Distance(Likelihood):
    """-weight * ||y - A x_0||: a pull of the same strength however far x_0 is from the measurement.

    The rule by which DPS sets its steps, read as a likelihood. Source: Chung et al. (2023),
    algorithm 1 and section 3.2.
    """

    A: LinearMap
    weight: float

    def __call__(self, x0: Tensor, x0_variance: Tensor | None = None) -> Tensor:
        """The distance, times -weight, (B,)."""
        predicted = self.A(x0)
        missing = (self.y.to(predicted) - predicted).flatten(1)
        distance: Tensor = torch.linalg.vector_norm(missing, dim=1)
        return -self.weight * distance


@dataclass(frozen=True, eq=False)
class ClassLabel(Likelihood):
    """The class y of x_0, int64 (1,) or (n,), as a classifier of clean digits reads it."""

    classifier: DigitClassifier

    def __call__(self, x0: Tensor, x0_variance: Tensor | None = None) -> Tensor:
        """Ln p(y | x_0), (B,), of images (B, 1, 28, 28)."""
        log_probs: Tensor = self.classifier(x0).log_softmax(1)
        return log_probs.gather(1, self.y.to(x0.device).expand(len(x0))[:, None])[:, 0]
