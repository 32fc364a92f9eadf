"""The score, the gradient of ln q(x_t), and what it is good for: Markov chains and an ODE.

Langevin dynamics (plain, adjusted, annealed), Langevin steps as correctors of a sampler, and the
probability flow, side by side. A chain is a generator: it yields its state after every step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ddpm_tutorial.algorithms.sampling import Here, Pairs, SamplePath, Sampler
from ddpm_tutorial.mathematics.exact import GaussianMixture
from ddpm_tutorial.mathematics.forward import filled_like, signal_and_sigma, standard_normal
from ddpm_tutorial.mathematics.gaussian import normal_log_prob
from ddpm_tutorial.mathematics.schedule import NoiseSchedule, timestep_pairs
from ddpm_tutorial.models.denoiser import Denoiser, HasDenoiser, as_denoiser

__all__ = [
    "Corrected",
    "acceptance_probability",
    "annealed_langevin",
    "langevin",
    "langevin_step",
    "metropolis_adjusted_langevin",
    "probability_flow_log_prob",
    "score",
    "tweedie",
]


def score(model: HasDenoiser | Denoiser, x_t: Tensor, t: Tensor) -> Tensor:
    """The gradient of ln q(x_t) with respect to x_t, per unit of x_t, shaped like x_t (B, ...).

    It is what the guess of the noise says, for t int64 (B,) in 1..T,

        -eps_hat / sqrt(1 - alpha_bar_t)

    and exact where the guess is the best there is. The guess is never clipped. Raises
    ValueError for t = 0, where there is no noise to guess; there an exact mixture has a score of
    its own. Source: Song et al. (2021, SDE), section 3.2; Vincent (2011).
    """
    if t.device.type == "cpu" and bool((t == 0).any()):
        raise ValueError(
            "t = 0: at the data there is no noise to read a score from. Use t in 1..T, or, of an "
            "exact mixture, its method score"
        )
    denoiser = as_denoiser(model)
    eps_hat = denoiser.unclipped()(x_t, t).eps_hat
    _, sigma = signal_and_sigma(denoiser.schedule, t, eps_hat)
    return -eps_hat / sigma


def tweedie(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, score_at_x_t: Tensor) -> Tensor:
    """The mean of x_0 given x_t, from the score at x_t, shaped like x_t (B, ...).

        E(x_0 | x_t) = (x_t + (1 - alpha_bar_t) score) / sqrt(alpha_bar_t)

    t is int64 (B,), in 0..T.
    Source: Robbins (1956), in the form of Efron (2011), equation 1.4.
    """
    signal, sigma = signal_and_sigma(schedule, t, x_t)
    return (x_t + sigma.square() * score_at_x_t) / signal


def langevin_step(x: Tensor, slope: Tensor, step: float | Tensor, z: Tensor) -> Tensor:
    """One step of Langevin dynamics from x, where `slope` is the gradient of the log-density.

        x + step slope + sqrt(2 step) z

    `z` is standard normal, shaped like x; `step` > 0 has the unit of a variance. Source: Roberts
    and Tweedie (1996), section 1.4.1, with h = 2 step.
    """
    # A power, not a square root of a tensor: a plain number then never has to travel to the device.
    return x + step * slope + (2 * step) ** 0.5 * z


@torch.no_grad()
def langevin(
    slope: Callable[[Tensor], Tensor],
    x: Tensor,
    step: float,
    steps: int,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Unadjusted Langevin dynamics of B chains that start at x (B, ...).

    `slope(x)` is the gradient of the log-density that is aimed at. Its draws are those of another
    density, by an error that grows with `step`. Yields x after each of `steps` steps.
    """
    _check_step(step)
    for _ in range(steps):
        x = langevin_step(x, slope(x), step, standard_normal(x.shape, x, generator))
        yield x


def acceptance_probability(
    x: Tensor, y: Tensor, at_x: tuple[Tensor, Tensor], at_y: tuple[Tensor, Tensor], step: float
) -> Tensor:
    """The probability to accept a Langevin step from x to y, both (B, ...); returns (B,).

    `at_x` and `at_y` hold the log-density (B,), up to a constant, and its gradient (B, ...).
    Source: Roberts and Tweedie (1996), section 1.4.2.
    """
    forth = (y - x - step * at_x[1]).square().flatten(1).sum(1)
    back = (x - y - step * at_y[1]).square().flatten(1).sum(1)
    log_ratio = at_y[0] - at_x[0] + (forth - back) / (4 * step)
    return log_ratio.exp().clamp(max=1)


@torch.no_grad()
def metropolis_adjusted_langevin(
    log_prob: Callable[[Tensor], Tensor],
    x: Tensor,
    step: float,
    steps: int,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Langevin dynamics that keeps exactly the density it is aimed at (MALA), B chains from x.

    `log_prob(x)` (B,) is the log-density up to a constant, from differentiable operations. Yields
    x (B, ...) and whether each chain moved, bool (B,), after each step. Source: Roberts and Tweedie
    (1996), section 1.4.2.
    """
    _check_step(step)
    at_x = _with_gradient(log_prob, x)
    for _ in range(steps):
        y = langevin_step(x, at_x[1], step, standard_normal(x.shape, x, generator))
        at_y = _with_gradient(log_prob, y)
        source = x.device if generator is None else generator.device
        u = torch.rand(len(x), generator=generator, device=source, dtype=x.dtype).to(x.device)
        moved = u < acceptance_probability(x, y, at_x, at_y, step)
        x = torch.where(_beside(moved, x), y, x)
        at_x = (
            torch.where(moved, at_y[0], at_x[0]),
            torch.where(_beside(moved, x), at_y[1], at_x[1]),
        )
        yield x, moved


@torch.no_grad()
def annealed_langevin(
    denoiser: Denoiser,
    x_T: Tensor,
    pairs: Pairs,
    relative_step: float,
    steps: int = 1,
    generator: torch.Generator | None = None,
) -> SamplePath:
    """Langevin dynamics at one noise level after another, from x_T (B, ...) down to x_0.

    At each t of `pairs` (see `timestep_pairs`) it takes `steps` steps of relative_step times
    1 - alpha_bar_t, the variance of the noise. From the last level it goes to x_0 by Tweedie's
    formula. Yields (t, x_t, x0_hat) before each evaluation but the last, and (0, x_0, x_0).
    Source: Song and Ermon (2019), algorithm 1, with the last step of Jolicoeur-Martineau et al.
    (2021); it takes len(pairs) * steps + 1 network evaluations.
    """
    _check_step(relative_step)
    if not pairs:
        raise ValueError("pairs = []: give at least one pair (t, s), see timestep_pairs")
    x_t = x_T
    for t, _ in pairs:
        at_t = filled_like(x_t, t)
        for _ in range(steps):
            slope = score(denoiser, x_t, at_t)
            yield t, x_t, tweedie(denoiser.schedule, x_t, at_t, slope)
            noise = standard_normal(x_t.shape, x_t, generator)
            x_t = _correct(denoiser, x_t, at_t, slope, relative_step, noise)
    x_t = tweedie(denoiser.schedule, x_t, at_t, score(denoiser, x_t, at_t))
    yield 0, x_t, x_t


@dataclass(frozen=True)
class Corrected:
    """A sampler whose every step from t to s is followed by Langevin steps at s: a sampler again.

    `sampler` is the predictor, of any kind; the `corrections` Langevin steps have the size
    relative_step * (1 - alpha_bar_s). At s = 0 there are none, so that p steps take
    corrections * (p - 1) network evaluations beside those of the predictor. Raises ValueError for a
    relative step that is not positive or fewer than 1 correction. Source: Song et al. (2021, SDE),
    algorithms 1 and 5, where the relative step is 2 r^2.
    """

    sampler: Sampler
    relative_step: float
    corrections: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.relative_step < torch.inf or self.corrections < 1:
            raise ValueError(
                f"relative_step = {self.relative_step}, corrections = {self.corrections}: the step "
                f"must be greater than 0, and finite, and there must be at least 1 correction"
            )

    @property
    def name(self) -> str:
        """That of the predictor, with a mark."""
        return f"{self.sampler.name}, corrected"

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        """x_s as the predictor has it, then corrected."""
        x_s = self.sampler.step(denoiser, here, s, noise)
        for _ in range(self.corrections):
            slope = score(denoiser, x_s, s)
            x_s = _correct(denoiser, x_s, s, slope, self.relative_step, noise())
        return x_s


def probability_flow_log_prob(model: GaussianMixture, x0: Tensor, steps: int) -> Tensor:
    """Ln p(x_0) in nats, (B,), of the density that the probability flow makes of N(0, I).

    The flow is followed from x0 (B, ...) up to T by Heun's rule, in `steps` steps of two scores
    each, and its divergence added up: exact but for the steps. The divergence takes one backward
    pass for each entry of an example. Source: Song et al. (2021, SDE), equation 39; Chen et al.
    (2018), equation 8.
    """
    log_alpha_bar = model.schedule.alpha_bar.log()
    x = x0.double()
    gained = x.new_zeros(len(x))
    for t, s in reversed(timestep_pairs(model.schedule.T, steps)):
        h = 0.5 * (log_alpha_bar[s] - log_alpha_bar[t])
        velocity, divergence = _flow(model, x, filled_like(x, s))
        velocity_then, divergence_then = _flow(model, x + h * velocity, filled_like(x, t))
        x = x + h * (velocity + velocity_then) / 2
        gained = gained + h * (divergence + divergence_then) / 2
    mean, log_variance = model.prior(x)
    return normal_log_prob(x, mean, log_variance).flatten(1).sum(1) + gained


def _flow(model: GaussianMixture, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Velocity of the probability flow, per unit of -ln(alpha_bar) / 2, and its divergence."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        velocity = -(x + model.score(x, t))
        entries = velocity.flatten(1).unbind(1)
        rows = [torch.autograd.grad(v.sum(), x, retain_graph=True)[0].flatten(1) for v in entries]
    divergence = sum((row[:, i] for i, row in enumerate(rows)), x.new_zeros(len(x)))
    return velocity.detach(), divergence


def _correct(
    denoiser: Denoiser, x_t: Tensor, t: Tensor, slope: Tensor, relative_step: float, z: Tensor
) -> Tensor:
    """One Langevin step at noise level t, in proportion to the variance of the noise."""
    _, sigma = signal_and_sigma(denoiser.schedule, t, x_t)
    return langevin_step(x_t, slope, relative_step * sigma.square(), z)


def _check_step(step: float) -> None:
    if not 0 < step < torch.inf:
        raise ValueError(f"step = {step}: it must be greater than 0, and finite")


def _with_gradient(log_prob: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = log_prob(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def _beside(values: Tensor, x: Tensor) -> Tensor:
    """`values` (B,) with as many dimensions as x."""
    return values.view(-1, *[1] * (x.ndim - 1))
