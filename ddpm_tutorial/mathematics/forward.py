"""The forward process q, its posterior, and the views eps, x0, v and velocity of one prediction.

Shapes throughout: x0, x_t, eps, v are (B, ...); t and s are int64 (B,), 1..T unless said
otherwise. Coefficients are computed in float64 and cast to the dtype of the images.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_tutorial.mathematics.gaussian import grey_levels, kl_normal
from ddpm_tutorial.mathematics.schedule import NoiseSchedule

__all__ = [
    "Prediction",
    "eps_from_x0",
    "filled_like",
    "level_log_probs",
    "log_posterior_variance",
    "match",
    "noise_share",
    "posterior_kl",
    "posterior_variance",
    "q_marginal",
    "q_posterior",
    "q_sample",
    "q_transition",
    "signal_and_sigma",
    "standard_normal",
    "v_from_x0_and_eps",
    "x0_from_eps",
    "x0_from_v",
    "x0_from_velocity",
    "x0_of_step",
]


class Prediction(NamedTuple):
    """What a denoiser sees in x_t, as data and as noise, each (B, ...): the two agree on x_t.

    Some say more. `variance_output` (B, ...) is what a network says of the variance of the reverse
    step. `level_log_probs` (B, ..., 256) is ln p(x_0 = level | x_t) of each entry; x0_hat is then
    the mean of that distribution, and `x0_variance` (B, ...) its variance. None where it is not
    said.
    """

    x0_hat: Tensor
    eps_hat: Tensor
    variance_output: Tensor | None = None
    level_log_probs: Tensor | None = None
    x0_variance: Tensor | None = None


def q_marginal(schedule: NoiseSchedule, x0: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_t | x_0): mean (B, ...), variance (B, 1, ...).

        q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)

    Source: Ho et al. (2020), equation 4.
    """
    alpha_bar = schedule.alpha_bar_at(t)
    return match(alpha_bar.sqrt(), x0) * x0, match(1 - alpha_bar, x0)


def q_sample(schedule: NoiseSchedule, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """x_t ~ q(x_t | x_0), from standard normal noise `eps` of the shape of x0. Returns (B, ...).

        x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps

    Source: Ho et al. (2020), equation 4.
    """
    signal, sigma = signal_and_sigma(schedule, t, x0)
    return signal * x0 + sigma * eps


def q_transition(
    schedule: NoiseSchedule, x_s: Tensor, t: Tensor, s: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_t | x_s) for s < t, default s = t - 1.

    With s = t - 1 this is one step of the chain: mean sqrt(1 - beta_t) x_{t-1}, variance beta_t
    (Ho et al., 2020, equation 2). Returns mean (B, ...), variance (B, 1, ...).
    """
    ratio = schedule.alpha_bar_at(t) / schedule.alpha_bar_at(t - 1 if s is None else s)
    return match(ratio.sqrt(), x_s) * x_s, match(1 - ratio, x_s)


def q_posterior(
    schedule: NoiseSchedule, x0: Tensor, x_t: Tensor, t: Tensor, s: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_s | x_t, x_0) for any 0 <= s < t, default s = t - 1.

    Returns mean (B, ...) and variance (B, 1, ...). At s = 0 the mean is x0 and the variance 0. With
    r = alpha_bar_t / alpha_bar_s the mean is

        (sqrt(alpha_bar_s) (1 - r) x_0 + sqrt(r) (1 - alpha_bar_s) x_t) / (1 - alpha_bar_t)

    and the variance that of `posterior_variance`. Source: Ho et al. (2020), equations 6 and 7, with
    alpha_t replaced by r.
    """
    alpha_bar_t = schedule.alpha_bar_at(t)
    alpha_bar_s = schedule.alpha_bar_at(t - 1 if s is None else s)
    ratio = alpha_bar_t / alpha_bar_s
    weight_x0 = alpha_bar_s.sqrt() * (1 - ratio) / (1 - alpha_bar_t)
    weight_x_t = ratio.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    mean = match(weight_x0, x0) * x0 + match(weight_x_t, x_t) * x_t
    return mean, match(posterior_variance(schedule, t, s), x0)


def posterior_variance(schedule: NoiseSchedule, t: Tensor, s: Tensor | None = None) -> Tensor:
    """Variance of q(x_s | x_t, x_0), in float64, shape (B,); 0 at s = 0.

        (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)

    Source: Ho et al. (2020), equation 7 (there called beta tilde).
    """
    alpha_bar_t = schedule.alpha_bar_at(t)
    alpha_bar_s = schedule.alpha_bar_at(t - 1 if s is None else s)
    return (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)


def log_posterior_variance(
    schedule: NoiseSchedule, x_t: Tensor, t: Tensor, s: Tensor | None = None
) -> Tensor:
    """Log of the variance of q(x_s | x_t, x_0), shaped to broadcast with x_t.

    At s = 0 that variance is 0 and has no logarithm; the value at s = 1 (and t >= 2) stands in,
    as in the code of Ho et al. (2020).
    """
    s = t - 1 if s is None else s
    variance = posterior_variance(schedule, t.clamp(min=2), s.clamp(min=1))
    return match(variance.log(), x_t)


def posterior_kl(
    schedule: NoiseSchedule,
    x0: Tensor,
    x_t: Tensor,
    t: Tensor,
    mean: Tensor,
    log_variance: Tensor,
) -> Tensor:
    """KL(q(x_{t-1} | x_t, x_0) || p), in nats, summed, (B,), for t in 2..T.

    p is normal, with this mean and log-variance. At t = 1 the value means nothing (the posterior is
    a point there, and the decoder takes over), but it is finite. Source: Ho et al. (2020),
    equation 5, L_{t-1}.
    """
    posterior_mean, _ = q_posterior(schedule, x0, x_t, t)
    posterior_log_variance = log_posterior_variance(schedule, x_t, t)
    return kl_normal(posterior_mean, posterior_log_variance, mean, log_variance).flatten(1).sum(1)


def x0_from_eps(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """The x0 that, with noise eps, gives x_t.

        x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t)

    Shaped like x_t, (B, ...).
    """
    signal, sigma = signal_and_sigma(schedule, t, x_t)
    return (x_t - sigma * eps) / signal


def eps_from_x0(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, x0: Tensor) -> Tensor:
    """The noise eps that, with data x0, gives x_t.

        eps = (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t)

    Shaped like x_t, (B, ...).
    """
    signal, sigma = signal_and_sigma(schedule, t, x_t)
    return (x_t - signal * x0) / sigma


def v_from_x0_and_eps(schedule: NoiseSchedule, t: Tensor, x0: Tensor, eps: Tensor) -> Tensor:
    """The v of data x0 and noise eps, shaped like both.

        v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0

    Source: Salimans and Ho (2022), appendix D.
    """
    signal, sigma = signal_and_sigma(schedule, t, x0)
    return signal * eps - sigma * x0


def x0_from_v(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, v: Tensor) -> Tensor:
    """The x0 behind v at x_t.

        x_0 = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v

    Source: Salimans and Ho (2022), appendix D.
    """
    signal, sigma = signal_and_sigma(schedule, t, x_t)
    return signal * x_t - sigma * v


def noise_share(alpha_bar: Tensor) -> Tensor:
    """How much of sqrt(alpha_bar) + sqrt(1 - alpha_bar) the noise has, in [0, 1], elementwise.

        u = sqrt(1 - alpha_bar) / (sqrt(alpha_bar) + sqrt(1 - alpha_bar))

    Divided by that sum, x_t lies at this u on the straight path (1 - u) x_0 + u eps. Source: Liu et
    al. (2023), equation 1.
    """
    sigma = (1 - alpha_bar).sqrt()
    return sigma / (alpha_bar.sqrt() + sigma)


def x0_from_velocity(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, velocity: Tensor) -> Tensor:
    """The x0 behind the velocity eps - x0 at x_t.

        x_0 = (x_t - sqrt(1 - alpha_bar_t) velocity) / (sqrt(alpha_bar_t) + sqrt(1 - alpha_bar_t))

    Source: Lipman et al. (2023), section 4.1.
    """
    signal, sigma = signal_and_sigma(schedule, t, x_t)
    return (x_t - sigma * velocity) / (signal + sigma)


def x0_of_step(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, x_s: Tensor, s: Tensor) -> Tensor:
    """The x0 with which a step of DDIM from x_t arrives at x_s, s int64 (B,) in 0..t - 1.

    Salimans and Ho (2022), Algorithm 2, have a student guess it.
    """
    alpha_bar_t, alpha_bar_s = schedule.alpha_bar_at(t), schedule.alpha_bar_at(s)
    sigma_t, sigma_s = (1 - alpha_bar_t).sqrt(), (1 - alpha_bar_s).sqrt()
    turned = sigma_t * alpha_bar_s.sqrt() - sigma_s * alpha_bar_t.sqrt()
    return match(sigma_t / turned, x_s) * x_s - match(sigma_s / turned, x_t) * x_t


def level_log_probs(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, log_weights: Tensor) -> Tensor:
    """Ln p(x_0 = level | x_t) of each entry, (B, ..., 256), by Bayes' rule.

    `log_weights` (B, ..., 256) stands for what the rest of the image says about each entry: an
    unnormalised distribution over the 256 levels. The likelihood of a level is
    q(x_t | x_0 = level), of the entry's own x_t.
    """
    alpha_bar = schedule.alpha_bar_at(t)
    half_snr = match(0.5 * alpha_bar / (1 - alpha_bar), log_weights)
    signal, _ = signal_and_sigma(schedule, t, x_t)
    distance = (x_t / signal)[..., None] - grey_levels(x_t)
    return torch.addcmul(log_weights, distance, half_snr * distance, value=-1).log_softmax(-1)


def signal_and_sigma(schedule: NoiseSchedule, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), shaped and cast to multiply x."""
    alpha_bar = schedule.alpha_bar_at(t)
    return match(alpha_bar.sqrt(), x), match((1 - alpha_bar).sqrt(), x)


def match(coefficient: Tensor, x: Tensor) -> Tensor:
    """`coefficient` (B,), float64, with the dtype and device of x and as many dimensions."""
    return coefficient.to(device=x.device, dtype=x.dtype).view(-1, *[1] * (x.ndim - 1))


def filled_like(x_t: Tensor, t: int) -> Tensor:
    """The step index t, once for each example of x_t: int64 (B,)."""
    return torch.full((len(x_t),), t, dtype=torch.int64, device=x_t.device)


def standard_normal(
    shape: tuple[int, ...],
    like: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Standard normal noise with the device and dtype of `like`.

    Drawn on the generator's own device and then moved, so that a CPU generator gives the same
    numbers whatever device the model runs on.
    """
    source = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=source, dtype=like.dtype).to(like.device)
