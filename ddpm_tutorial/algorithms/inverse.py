"""Answers to a measurement, with a model that was never trained for it.

Denoisers that wrap a denoiser: each changes what is seen in x_t, so that it agrees with what was
measured. All samplers, correctors and scores take them as they take any denoiser.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ddpm_tutorial.algorithms.measurement import Likelihood, Measurement
from ddpm_tutorial.algorithms.sampling import Here, Sampler
from ddpm_tutorial.mathematics.forward import Prediction, q_transition, signal_and_sigma
from ddpm_tutorial.mathematics.schedule import NoiseSchedule
from ddpm_tutorial.models.denoiser import Denoiser

__all__ = [
    "Clipped",
    "MatchedGuidance",
    "PosteriorGuidance",
    "Replacement",
    "Resampled",
    "Twisted",
]


@dataclass(frozen=True, eq=False)
class _Around(Denoiser):
    """A denoiser around another one: what it does not change is as inside."""

    denoiser: Denoiser

    @property
    def schedule(self) -> NoiseSchedule:
        """That of the denoiser inside."""
        return self.denoiser.schedule

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the denoiser inside."""
        return self.denoiser.shape

    @property
    def like(self) -> Tensor:
        """That of the denoiser inside."""
        return self.denoiser.like

    @property
    def count(self) -> int | None:
        """That of the denoiser inside."""
        return self.denoiser.count

    def reverse_given(
        self, prediction: Prediction, x_t: Tensor, t: Tensor, s: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The step of the denoiser inside, with what is seen here."""
        return self.denoiser.reverse_given(prediction, x_t, t, s)

    def prior(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """That of the denoiser inside."""
        return self.denoiser.prior(x_T)

    def rows(self, start: int, stop: int) -> Self:
        """Around the denoiser for samples start..stop - 1 alone."""
        return replace(self, denoiser=self.denoiser.rows(start, stop))

    def unclipped(self) -> Denoiser:
        """Around a denoiser that cuts nothing off."""
        return replace(self, denoiser=self.denoiser.unclipped())


@dataclass(frozen=True, eq=False)
class _Towards(_Around):
    """One that knows how well an x_0 explains what was measured.

    Raises ValueError where it and the denoiser inside hold values for different numbers of samples.
    """

    likelihood: Likelihood

    def __post_init__(self) -> None:
        inside, measured = self.denoiser.count, self.likelihood.count
        if None not in (inside, measured) and inside != measured:
            raise ValueError(
                f"the denoiser holds values for {inside} samples, and what was measured for "
                f"{measured}: give one for all samples, or one for each"
            )

    @property
    def count(self) -> int | None:
        """For how many samples there is a measurement each, or else a value inside."""
        measured = self.likelihood.count
        return self.denoiser.count if measured is None else measured

    def rows(self, start: int, stop: int) -> Self:
        """With the values for samples start..stop - 1 alone, inside and here."""
        inside, cut = self.denoiser.rows(start, stop), self.likelihood.rows(start, stop)
        return replace(self, denoiser=inside, likelihood=cut)


@dataclass(frozen=True, eq=False)
class Clipped(_Around):
    """x0_hat cut to [-1, 1], and the noise that belongs to it: the outermost of several layers."""

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """What is seen inside, with x0_hat cut."""
        seen = self.denoiser(x_t, t)
        return _shifted(self.schedule, seen, t, seen.x0_hat.clamp(-1, 1) - seen.x0_hat)

    def unclipped(self) -> Denoiser:
        """What is inside, which cuts nothing off either."""
        return self.denoiser.unclipped()


@dataclass(frozen=True, eq=False)
class Replacement(_Towards):
    """x0_hat with what was measured in its place, as if it had been measured without error.

    The known entries then follow the forward process of the measurement, backwards; the others
    never learn that they are known. Steps have the variance of q(x_s | x_t, x_0), with which the
    known entries are exact. `likelihood` is a measurement whose map can complete an image: a mask,
    or averages. Source: Song et al. (2021, SDE), appendix I.2, who draw the known entries of x_s
    afresh at each step; as x0_hat, Wang et al. (2023), section 3.
    """

    likelihood: Measurement

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """What is seen inside, but for what is known."""
        seen = self.denoiser(x_t, t)
        complete = self.likelihood.A.complete(seen.x0_hat, self.likelihood.y)
        return _shifted(self.schedule, seen, t, complete - seen.x0_hat)

    def reverse_given(
        self, prediction: Prediction, x_t: Tensor, t: Tensor, s: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(x_s | x_t, x0_hat)."""
        return Denoiser.reverse_given(self, prediction, x_t, t, s)


class Twisted(NamedTuple):
    """What is seen in x_t without and with guidance; ln p(y | x_0) at x0_hat without it, (B,)."""

    seen: Prediction
    log_likelihood: Tensor
    guided: Prediction


@dataclass(frozen=True, eq=False)
class PosteriorGuidance(_Towards):
    """Adds to the score the slope of ln p(y | x0_hat(x_t)), times `strength`.

    That is exact where x_t leaves no doubt about x_0, and an approximation elsewhere: q(y | x_t) is
    the mean of p(y | x_0) over all x_0 that x_t may stand for. With `with_variance`, the doubt
    about each entry that the denoiser tells (x0_variance) is added to that of the measurement,
    which is exact where x_0 given x_t is normal and one entry was measured. Each evaluation costs a
    backward pass through the denoiser, which clipping would stop: clip outside (`Clipped`). Raises
    ValueError for a strength that is negative or not finite, and where a variance is asked for that
    the denoiser does not tell.

    Source: Chung et al. (2023), section 3.2, without a variance; Song et al. (2023), section 3,
    with one; with a classifier, Dhariwal and Nichol (2021), section 4, whose classifier reads x_t.
    """

    likelihood: Likelihood
    strength: float = 1.0
    with_variance: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.strength < torch.inf:
            raise ValueError(f"strength = {self.strength}: it must be 0 or more, and finite")

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """What is seen inside, moved towards the measurement."""
        return self.look(x_t, t).guided

    def look(self, x_t: Tensor, t: Tensor) -> Twisted:
        """What is seen with and without guidance, from one evaluation."""
        with torch.enable_grad():  # samplers work without
            x = x_t.detach().requires_grad_()
            seen = self.denoiser(x, t)
            if self.with_variance and seen.x0_variance is None:
                raise ValueError(
                    "with_variance = True, and the denoiser says nothing of the variance of x_0 "
                    "given x_t: leave it out, or use MatchedGuidance"
                )
            variance = seen.x0_variance if self.with_variance else None
            log_likelihood = self.likelihood(seen.x0_hat, variance)
            (slope,) = torch.autograd.grad(log_likelihood.sum(), x)
        seen = _detached(seen)
        signal, sigma = signal_and_sigma(self.schedule, t, slope)
        shift = self.strength * (sigma.square() / signal) * slope
        return Twisted(seen, log_likelihood.detach(), _shifted(self.schedule, seen, t, shift))


@dataclass(frozen=True, eq=False)
class MatchedGuidance(_Towards):
    """Moves x0_hat to the mean of x_0 given x_t and y, as if x_0 given x_t were normal.

    Its covariance is the slope of the denoiser, (1 - alpha_bar_t) / sqrt(alpha_bar_t) times the
    derivative of x0_hat, which nobody writes down: one backward pass multiplies with it. The linear
    equation is solved by `iterations` steps of conjugate gradients, at one backward pass each and
    one more. Exact for normal data and as many iterations as entries of y. Raises ValueError for
    fewer than 1 iteration. Source: Rozet et al. (2024), section 4.2.
    """

    likelihood: Measurement
    iterations: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise ValueError(f"iterations = {self.iterations}: take at least 1")

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """What is seen inside, moved towards the measurement."""
        A, y, noise = self.likelihood.A, self.likelihood.y, self.likelihood.sigma**2
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            seen = self.denoiser(x, t)
            predicted = A(seen.x0_hat)
        signal, sigma = signal_and_sigma(self.schedule, t, x_t)

        def covariance_with(v: Tensor) -> Tensor:
            """Cov(x_0 | x_t) A^T v, by a derivative backwards."""
            (slope,) = torch.autograd.grad(predicted, x, grad_outputs=v, retain_graph=True)
            return sigma.square() / signal * slope

        missing = y.to(predicted) - predicted.detach()
        solved = _conjugate_gradients(
            lambda v: noise * v + A(covariance_with(v)), missing, self.iterations
        )
        return _shifted(self.schedule, _detached(seen), t, covariance_with(solved))


@dataclass(frozen=True)
class Resampled:
    """A sampler that takes every step from t to s `times` times: down, and up again in between.

    Up by q(x_t | x_s), which is how the entries that are not known learn of those that are: a
    sampler again, of any kind. The last step, to s = 0, is taken once. p steps take
    times * (p - 1) + 1 network evaluations, if the sampler takes one for each. Raises ValueError
    for fewer than 1 time. Source: Lugmayr et al. (2022), algorithm 1, with jumps of one step.
    """

    sampler: Sampler
    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ValueError(f"times = {self.times}: take each step at least once")

    @property
    def name(self) -> str:
        """That of the sampler, with a mark."""
        return f"{self.sampler.name}, resampled"

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """x_s after as many visits."""
        x_s = self.sampler.step(denoiser, here, s, noise)
        for _ in range(self.times - 1):
            mean, variance = q_transition(denoiser.schedule, x_s, here.t, s)
            x_t = mean + variance.sqrt() * noise()
            here = Here(x_t, here.t, denoiser(x_t, here.t))  # what was seen before is another path
            x_s = self.sampler.step(denoiser, here, s, noise)
        return x_s


def _shifted(schedule: NoiseSchedule, seen: Prediction, t: Tensor, shift: Tensor) -> Prediction:
    """What is seen, with x0_hat moved by `shift` and the noise that then belongs to x_t."""
    signal, sigma = signal_and_sigma(schedule, t, shift)
    # A distribution of x_0 has x0_hat as its mean, and is not moved with it.
    return seen._replace(
        x0_hat=seen.x0_hat + shift,
        eps_hat=seen.eps_hat - signal / sigma * shift,
        level_log_probs=None,
    )


def _detached(seen: Prediction) -> Prediction:
    return Prediction._make(None if part is None else part.detach() for part in seen)


def _conjugate_gradients(
    product: Callable[[Tensor], Tensor], right: Tensor, iterations: int
) -> Tensor:
    """X with product(x) = right, (B, ...): each example has a symmetric matrix of its own.

    An example stops where its matrix turns out not to be positive, or nothing is left to solve.
    """
    x, left_over, direction = torch.zeros_like(right), right, right
    size = _dot(left_over, left_over)
    for _ in range(iterations):
        image = product(direction)
        bend = _dot(direction, image)
        step = torch.where(bend > 0, size / bend, 0)
        x, left_over = x + step * direction, left_over - step * image
        size_before, size = size, _dot(left_over, left_over)
        again = torch.where((step > 0) & (size_before > 0), size / size_before, 0)
        direction = left_over + again * direction
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each example, (B, 1, ...)."""
    return (a * b).sum(tuple(range(1, a.ndim)), keepdim=True)
