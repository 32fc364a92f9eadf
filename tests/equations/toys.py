"""Models in one dimension of which everything is known exactly.

All of it is float64. A path is (N, T + 1): one column for each of x_0, ..., x_T.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ddpm_tutorial import Denoiser, NoiseSchedule, Prediction, normal_log_prob


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def log_normal(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Ln N(x; mean, variance)."""
    return normal_log_prob(x, mean, torch.as_tensor(variance, dtype=torch.float64).log())


# An average is linear: `claim.printed` may leave it out, and the check averages what comes of it.
AVERAGE = {r"\mathbb{E}_q": 1}


def kl(q: str, p: str) -> str:
    """A divergence in LaTeX."""
    return rf"\mathrm{{KL}}({q}\|{p})"


def tables(schedule: NoiseSchedule) -> dict[str, Tensor]:
    """What the book names with an index t, for `claim.printed`."""
    before, measured = 1 / (1 - schedule.alpha_bar[:-1]), schedule.alpha[1:] / schedule.beta[1:]
    return {
        "alpha": schedule.alpha,
        "beta": schedule.beta,
        "alpha_bar": schedule.alpha_bar,
        "SNR": schedule.snr,
        # The variance of the posterior: precisions add.
        "beta_tilde": torch.cat([torch.full((1,), torch.nan).double(), 1 / (before + measured)]),
    }


def nodes_of_normal(mean: Tensor, variance: Tensor, count: int = 60) -> tuple[Tensor, Tensor]:
    """Points and weights whose weighted sum is an average over N(mean, variance)."""
    points, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(count))
    return mean + variance.sqrt() * points, weights / weights.sum()


@dataclass
class Step:
    """A normal step: N(slope x + shift, variance)."""

    slope: float
    shift: float
    variance: float

    def log_prob(self, x_to: Tensor, x_from: Tensor) -> Tensor:
        return log_normal(x_to, self.slope * x_from + self.shift, number(self.variance))


@dataclass
class Chain(Denoiser):
    """p from x_T down to x_0 and q from x_0 up to x_T, in normal steps.

    `p[t]` is p(x_{t-1} | x_t) and `q[t]` is q(x_t | x_{t-1}), for t = 1..T; entry 0 is empty.
    x_T is N(prior_mean, prior_variance) under p. With it comes what the package asks of a denoiser.
    """

    p: list[Step | None]
    q: list[Step | None]
    prior_mean: float = 0.0
    prior_variance: float = 1.0
    schedule: NoiseSchedule | None = None

    @property
    def T(self) -> int:
        return len(self.q) - 1

    def log_prior(self, x_T: Tensor) -> Tensor:
        return log_normal(x_T, number(self.prior_mean), number(self.prior_variance))

    def log_p(self, path: Tensor) -> Tensor:
        """Ln p(x_0:T)."""
        steps = sum(
            self.p[t].log_prob(path[:, t - 1], path[:, t])  #
            for t in range(1, self.T + 1)
        )
        return self.log_prior(path[:, self.T]) + steps

    def log_q(self, path: Tensor) -> Tensor:
        """Ln q(x_1:T | x_0)."""
        return sum(
            self.q[t].log_prob(path[:, t], path[:, t - 1])  #
            for t in range(1, self.T + 1)
        )

    def joint(self) -> MultivariateNormal:
        """p(x_0, ..., x_T)."""
        T = self.T
        mean, covariance = torch.zeros(T + 1).double(), torch.zeros(T + 1, T + 1).double()
        mean[T], covariance[T, T] = self.prior_mean, self.prior_variance
        for t in range(T, 0, -1):
            step = self.p[t]
            mean[t - 1] = step.slope * mean[t] + step.shift
            covariance[t - 1, t:] = step.slope * covariance[t, t:]
            covariance[t:, t - 1] = covariance[t - 1, t:]
            covariance[t - 1, t - 1] = step.slope**2 * covariance[t, t] + step.variance
        return MultivariateNormal(mean, covariance)

    def log_marginal(self, x0: Tensor) -> Tensor:
        """Ln p(x_0)."""
        joint = self.joint()
        return log_normal(x0, joint.mean[0], joint.covariance_matrix[0, 0])

    def true_posterior(self, x0: Tensor) -> MultivariateNormal:
        """p(x_1, ..., x_T | x_0), by conditioning the joint distribution."""
        joint = self.joint()
        mean, covariance = joint.mean, joint.covariance_matrix
        gain = covariance[1:, 0] / covariance[0, 0]
        return MultivariateNormal(
            mean[1:] + gain * (x0 - mean[0]),
            covariance[1:, 1:] - gain[:, None] * covariance[0, 1:],
        )

    def encoder(self, x0: Tensor) -> MultivariateNormal:
        """q(x_1, ..., x_T | x_0)."""
        T = self.T
        mean, covariance = torch.zeros(T).double(), torch.zeros(T, T).double()
        before, variance, across = x0, number(0.0), torch.zeros(0).double()
        for t in range(1, T + 1):
            step = self.q[t]
            before = step.slope * before + step.shift
            across = step.slope * torch.cat([across, variance[None]]) if t > 1 else across
            variance = step.slope**2 * variance + step.variance
            mean[t - 1], covariance[t - 1, t - 1] = before, variance
            covariance[t - 1, : t - 1] = covariance[: t - 1, t - 1] = across
        return MultivariateNormal(mean, covariance)

    def paths(self, x0: Tensor) -> Tensor:
        """2 T paths whose plain average is an average over q(x_1:T | x_0), for any quadratic.

        Every log-density here is quadratic in the path, so these averages carry no sampling error.
        """
        encoder = self.encoder(x0)
        reach = math.sqrt(self.T) * encoder.scale_tril.T
        latents = torch.cat([encoder.mean + reach, encoder.mean - reach])
        return torch.cat([x0.expand(len(latents), 1), latents], dim=1)

    # What the package asks of a denoiser; rows are examples of one entry, (B, 1).

    shape = (1,)

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        return Prediction(x_t, x_t)  # the steps are given: they need no guess

    def reverse_given(
        self, prediction: Prediction, x_t: Tensor, t: Tensor, s: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        step = self.p[int(t[0])]
        return step.slope * x_t + step.shift, number(step.variance).log().expand(x_t.shape)

    def prior(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = number(self.prior_mean), number(self.prior_variance)
        return mean.expand(x_T.shape), variance.log().expand(x_T.shape)

    def decoder_log_prob(self, x0: Tensor, x_1: Tensor) -> Tensor:
        return self.p[1].log_prob(x0, x_1)[:, 0]

    def check_data(self, x0: Tensor) -> None:
        pass  # any number has a density


def learned_chain() -> Chain:
    """Three layers whose encoder is not the posterior: a hierarchical VAE in one dimension."""
    return Chain(
        p=[None, Step(0.9, 0.2, 0.3), Step(1.1, -0.1, 0.5), Step(0.7, 0.3, 0.4)],
        q=[None, Step(0.5, 0.1, 0.35), Step(0.6, -0.2, 0.6), Step(0.4, 0.1, 0.8)],
    )


SCHEDULE = NoiseSchedule.cosine(5)


def diffusion_chain() -> Chain:
    """A diffusion model of five steps whose reverse steps are off in slope, shift and variance."""
    steps = range(1, SCHEDULE.T + 1)
    return Chain(
        p=[None, *(Step(0.8 + 0.03 * t, 0.1 - 0.04 * t, 0.1 + 0.05 * t) for t in steps)],
        q=[
            None,
            *(Step(float(SCHEDULE.alpha[t] ** 0.5), 0.0, float(SCHEDULE.beta[t])) for t in steps),
        ],
        prior_mean=0.1,
        prior_variance=1.1,
        schedule=SCHEDULE,
    )


DATA = number(0.7)  # the x_0 at which bounds are compared
