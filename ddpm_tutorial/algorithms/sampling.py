"""Samplers: Algorithm 2 (ancestral DDPM), DDIM, DPM-Solver++(2M) and Heun, side by side.

Each says how to move from t to s, and `walk` walks the same list of pairs (t, s) with any of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial.errors import check_choice, check_finite, check_whole, choose
from ddpm_tutorial.mathematics.forward import (
    Prediction,
    filled_like,
    match,
    posterior_variance,
    q_sample,
    signal_and_sigma,
    standard_normal,
    x0_from_eps,
)
from ddpm_tutorial.mathematics.schedule import check_pairs, timestep_pairs
from ddpm_tutorial.models.denoiser import Denoiser, HasDenoiser, as_denoiser
from ddpm_tutorial.models.reverse_variance import REVERSE_VARIANCES, ReverseVariance

__all__ = [
    "DDIM",
    "SAMPLERS",
    "Ancestral",
    "DPMSolver",
    "Here",
    "Heun",
    "Pairs",
    "SamplePath",
    "Sampler",
    "ddim_invert",
    "pairs_of",
    "sample",
    "sample_path",
    "walk",
]

SamplePath = Iterator[tuple[int, Tensor, Tensor]]  #: (t, x_t, x0_hat) of one step after another
Pairs = Sequence[tuple[int, int]]  #: of steps, (t, s), as `timestep_pairs` gives them


class Here(NamedTuple):
    """Where a sampler stands: at x_t (B, ...) and t int64 (B,), with what it sees there.

    `before` is where it stood one step earlier, None at the start.
    """

    x_t: Tensor
    t: Tensor
    seen: Prediction
    before: "Here | None" = None


class Sampler(Protocol):
    """How to move from t to s: a frozen object with options of its own; `name` is its word.

    Its last step, to s = 0, is not its own: there every sampler goes to x0_hat.
    """

    @property
    def name(self) -> str:
        """The word for it."""

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """x_s (B, ...) from where the sampler stands; s int64 (B,), 1 <= s < t.

        `noise()` draws standard normal noise shaped like x_t.
        """


@dataclass(frozen=True)
class Ancestral:
    """Ancestral sampling. Source: Ho et al. (2020), Algorithm 2, for any stride t - s.

    `variance` of the reverse step is an object or the word for one; None keeps the denoiser's own.
    """

    variance: str | ReverseVariance | None = None
    name = "ddpm"

    def __post_init__(self) -> None:
        if self.variance is not None:
            choose("variance", self.variance, REVERSE_VARIANCES)  # refuse now, not at step one

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """A draw of p(x_s | x_t)."""
        x_t, t, seen, _ = here
        mean, log_variance = denoiser.reverse_given(seen, x_t, t, s)
        if self.variance is not None:
            variance = choose("variance", self.variance, REVERSE_VARIANCES)
            log_variance = variance.log_variance(denoiser.schedule, seen, x_t, t, s)
        return mean + torch.exp(0.5 * log_variance) * noise()


@dataclass(frozen=True)
class DDIM:
    """DDIM: deterministic at eta = 0, ancestral at eta = 1. Source: Song et al. (2021), eq. 12.

    Raises ValueError unless `eta` lies in [0, 1].
    """

    eta: float = 0.0
    name = "ddim"

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta = {self.eta}: it must lie in [0, 1]")

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """x0_hat, with part of the noise that was seen and part fresh noise."""
        x_t, t, (x0_hat, eps_hat, *_), _ = here
        if self.eta == 0:
            return q_sample(denoiser.schedule, x0_hat, s, eps_hat)
        alpha_bar_s = denoiser.schedule.alpha_bar_at(s)
        sigma = self.eta * posterior_variance(denoiser.schedule, t, s).sqrt()
        direction = (1 - alpha_bar_s - sigma.square()).clamp(min=0).sqrt()
        x_s = match(alpha_bar_s.sqrt(), x_t) * x0_hat + match(direction, x_t) * eps_hat
        return x_s + match(sigma, x_t) * noise()


@dataclass(frozen=True)
class DPMSolver:
    """DPM-Solver++(2M): second order in the log-SNR. Source: Lu et al. (2022), Algorithm 2."""

    name = "dpm++"

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """Along the line through the last two predictions."""
        x_t, t, (x0_hat, *_), before = here
        half_log_snr_t, half_log_snr_s = (
            0.5 * denoiser.schedule.alpha_bar_at(at).logit() for at in (t, s)
        )
        h = half_log_snr_s - half_log_snr_t
        target = x0_hat
        if before is not None:
            half_log_snr_before = 0.5 * denoiser.schedule.alpha_bar_at(before.t).logit()
            slope = 0.5 * h / (half_log_snr_t - half_log_snr_before)
            target = x0_hat + match(slope, x_t) * (x0_hat - before.seen.x0_hat)
        _, sigma_t = signal_and_sigma(denoiser.schedule, t, x_t)
        signal_s, sigma_s = signal_and_sigma(denoiser.schedule, s, x_t)
        return sigma_s / sigma_t * x_t - signal_s * match(torch.expm1(-h), x_t) * target


# What x_t is divided by to be a point of a path from data to noise, from alpha_bar_t.
_PATHS: dict[str, Callable[[Tensor], Tensor]] = {
    "straight": lambda alpha_bar: alpha_bar.sqrt() + (1 - alpha_bar).sqrt(),
    "edm": torch.sqrt,
}


@dataclass(frozen=True)
class Heun:
    """Heun's method: a step of DDIM, a second look where it ends, and the mean of the two slopes.

    The slope is that of a `path` from data to noise, by its noise level: "straight" is
    (1 - level) x0 + level eps, of flow matching, and "edm" is x0 + level eps. DDIM makes the same
    step along both. Heun does not: where nothing but noise is left, the first level is 1, and the
    second infinite. A step takes two evaluations, and the last, to s = 0, one. Source: Karras et
    al. (2022), Algorithm 1, which walks the second path, without its fresh noise.
    """

    path: str = "straight"
    name = "heun"

    def __post_init__(self) -> None:
        check_choice("path", self.path, _PATHS)

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """The step of DDIM, and half of what the slope changes by on the way."""
        x_t, t, (x0_hat, eps_hat, *_), _ = here
        at_t, at_s = (denoiser.schedule.alpha_bar_at(at) for at in (t, s))
        scale_t, scale_s = (_PATHS[self.path](at) for at in (at_t, at_s))
        level_t, level_s = (1 - at_t).sqrt() / scale_t, (1 - at_s).sqrt() / scale_s
        x_s = q_sample(denoiser.schedule, x0_hat, s, eps_hat)
        # Both guesses agree on x_s, so their slopes differ by this change divided by level_s.
        change = x0_hat - denoiser(x_s, s).x0_hat
        return x_s + match(0.5 * scale_s * (1 - level_t / level_s), x_t) * change


_ALL = (Ancestral(), DDIM(), DPMSolver(), Heun())
SAMPLERS: dict[str, Sampler] = {one.name: one for one in _ALL}  #: by their words


# no_grad as a decorator: `with no_grad()` around a yield would reach into the caller.
@torch.no_grad()
def walk(
    denoiser: Denoiser,
    x_T: Tensor,
    pairs: Pairs,
    sampler: Sampler,
    generator: torch.Generator | None = None,
) -> SamplePath:
    """Move x_T (B, ...) along the pairs (t, s), from (T, .) to (., 0), each as the sampler says.

    Yields (t, x_t, x0_hat) before it moves from t to s, and last (0, x_0, x_0).
    """
    x_t, before = x_T, None
    for t, s in pairs:
        at_t = filled_like(x_t, t)
        here = Here(x_t, at_t, denoiser(x_t, at_t), before)
        yield t, x_t, here.seen.x0_hat
        if s == 0:  # q(x_0 | x_t, x0_hat) is the point x0_hat, and there is no noise to add
            x_t = here.seen.x0_hat
        else:
            noise = partial(standard_normal, x_t.shape, x_t, generator)
            x_t = sampler.step(denoiser, here, filled_like(x_t, s), noise)
        before = here._replace(before=None)  # or all that was ever seen would stay in memory
    yield 0, x_t, x_t


def sample_path(
    model: HasDenoiser | Denoiser,
    n: int,
    sampler: str | Sampler = "ddpm",
    steps: int | Pairs | None = None,
    generator: torch.Generator | None = None,
    x_T: Tensor | None = None,
) -> SamplePath:
    """Sample n examples and yield (t, x_t, x0_hat) at every step, last (0, x_0, x_0).

    `model` is a model or a denoiser: `model.denoiser(...)` says how to take a label, guidance, and
    x0_hat as it is. `sampler` is an object with its options, or the word for one with the usual
    options: "ddpm" (`Ancestral`), "ddim" (`DDIM`), "dpm++" (`DPMSolver`), "heun" (`Heun`). `steps`,
    1..T, is the number of steps (None: all T), evenly spaced; or the pairs (t, s) themselves, see
    `timestep_pairs`. Each takes one evaluation of the network, or what the sampler says. `x_T`
    (n, ...) is the noise to start from; None draws it.
    Raises ValueError for a value outside its range.
    """
    denoiser = as_denoiser(model)
    _check_draw(denoiser, n, x_T)
    chosen, pairs = choose("sampler", sampler, SAMPLERS), pairs_of(denoiser, steps)
    if x_T is None:
        x_T = standard_normal((n, *denoiser.shape), denoiser.like, generator)
    return walk(denoiser, x_T.to(denoiser.like), pairs, chosen, generator)


def sample(
    model: HasDenoiser | Denoiser,
    n: int,
    sampler: str | Sampler = "ddpm",
    steps: int | Pairs | None = None,
    generator: torch.Generator | None = None,
    x_T: Tensor | None = None,
    batch_size: int = 250,
    progress: bool = False,
) -> Tensor:
    """Sample n examples, (n, *shape): (n, 1, 28, 28) in [-1, 1] for digits.

    Drawn `batch_size` at a time; `progress` shows a bar. The other arguments and the errors are
    those of `sample_path`; and ValueError where an example comes out with values that are not
    finite.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}: it must be at least 1")
    denoiser = as_denoiser(model)
    _check_draw(denoiser, n, x_T)  # of the whole: cut into batches, a surplus would be hidden
    pairs = pairs_of(denoiser, steps)
    batches = []
    starts = range(0, n, batch_size)
    with tqdm(total=len(pairs) * len(starts), unit="step", disable=not progress) as bar:
        for start in starts:
            stop = min(start + batch_size, n)
            path = sample_path(
                denoiser.rows(start, stop),
                stop - start,
                sampler,
                pairs,
                generator,
                None if x_T is None else x_T[start:stop],
            )
            for t, x_t, _ in path:  # noqa: B007
                bar.update(t > 0)
            check_finite(f"samples {start}..{stop - 1}", x_t)
            batches.append(x_t)
    return torch.cat(batches)


@torch.no_grad()
def ddim_invert(
    model: HasDenoiser | Denoiser,
    x0: Tensor,
    steps: int | Pairs | None = None,
    progress: bool = False,
) -> Tensor:
    """The noise x_T, shaped like x0, from which DDIM at eta = 0 comes back to about x0.

    Walks the pairs (t, s) upwards with the same step, one network evaluation each. DDIM comes down
    from t on the noise found in x_t; on the way up x_t is not known yet, and the noise found in x_s
    stands in (at s = 0, for which there is no network, that of t = 1). The way back is exact where
    the two agree, and the nearer to it the shorter the steps. x0 (n, ...) in [-1, 1]; the other
    arguments and the errors are those of `sample_path`. Source: Song et al. (2021), section 4.3 and
    equation 13.
    """
    denoiser = as_denoiser(model)
    _check_draw(denoiser, len(x0), x0)
    x = x0
    for t, s in tqdm(pairs_of(denoiser, steps)[::-1], unit="step", disable=not progress):
        at_t, at_s = filled_like(x, t), filled_like(x, s)
        eps_hat = denoiser(x, at_s.clamp(min=1)).eps_hat
        x0_hat = x0_from_eps(denoiser.schedule, x, at_s, eps_hat)
        x = q_sample(denoiser.schedule, x0_hat, at_t, eps_hat)
    check_finite("the noise that was found", x)
    return x


def pairs_of(denoiser: Denoiser, steps: int | Pairs | None) -> Pairs:
    """The pairs (t, s) to walk: as they are given, or so many of them, evenly spaced."""
    T = denoiser.schedule.T
    if isinstance(steps, Sequence):
        check_pairs(T, steps)
        return steps
    return timestep_pairs(T, None if steps is None else check_whole("steps", steps))


def _check_draw(denoiser: Denoiser, n: int, x: Tensor | None) -> None:
    """Raise ValueError unless there is one label, and one x (n, ...), for each of n samples."""
    if n < 1:
        raise ValueError(f"n = {n}: ask for at least 1 sample")
    if denoiser.count not in (None, n):
        raise ValueError(
            f"the denoiser holds labels for {denoiser.count} samples, and there are {n}: give one "
            f"for each"
        )
    if x is not None and x.shape != (n, *denoiser.shape):
        raise ValueError(
            f"the images have shape {tuple(x.shape)}: give one for each of {n} samples, in all "
            f"{(n, *denoiser.shape)}"
        )
    if x is not None:
        check_finite("the images", x)
