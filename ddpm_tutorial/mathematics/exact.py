"""Data so simple that everything about their diffusion is known exactly.

With one component (Gaussian data) every reverse step is exactly Gaussian and the bound is tight.
With several, the best denoiser has a closed form and ln p(x_0) is known, so the gap can be seen.
"""

import math

import torch
from torch import Tensor

from ddpm_tutorial.errors import check_finite
from ddpm_tutorial.mathematics.forward import Prediction, eps_from_x0, match, q_posterior
from ddpm_tutorial.mathematics.gaussian import normal_log_prob
from ddpm_tutorial.mathematics.schedule import NoiseSchedule

__all__ = [
    "GaussianMixture",
]


class GaussianMixture:
    """The best denoiser, with Gaussian steps, of independent entries from one mixture.

    Component k has weight `weights[k]`, mean `means[k]` and variance `variances[k]`; all float64
    (K,). Each reverse step and the decoder have the true mean and variance of x_{t-1} given x_t.
    The prior is N(0, 1), or, with `true_prior`, the Gaussian with the true mean and variance of
    x_T. Raises ValueError for weights that are not a distribution or a variance that is not
    positive.

    It is a `Denoiser`, as a trained model gives one: whatever takes a denoiser takes a mixture.
    """

    shape = (1,)
    like = torch.empty(0, dtype=torch.float64)
    count = None

    def __init__(
        self,
        schedule: NoiseSchedule,
        weights: list[float],
        means: list[float],
        variances: list[float],
        true_prior: bool = False,
    ) -> None:
        if not len(weights) == len(means) == len(variances):
            raise ValueError(
                f"{len(weights)} weights, {len(means)} means, {len(variances)} variances: give as "
                f"many of each"
            )
        if abs(sum(weights) - 1) > 1e-9 or min(weights) <= 0:
            raise ValueError(f"weights = {weights}: they must be positive and sum to 1")
        if not 0 < min(variances) <= max(variances) < math.inf or not math.isfinite(sum(means)):
            raise ValueError(
                f"variances = {variances}, means = {means}: all must be finite, and the variances "
                f"positive"
            )
        self.schedule = schedule
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.means = torch.tensor(means, dtype=torch.float64)
        self.variances = torch.tensor(variances, dtype=torch.float64)
        self.true_prior = true_prior

    def log_prob(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Ln q(x_t), in nats, summed over the entries, (B,); at t = 0, of the data."""
        return self._component_log_probs(x_t, t).logsumexp(-1).flatten(1).sum(1)

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """E[x_0 | x_t] with the noise that belongs to it, and Var(x_0 | x_t): the best there is.

        Shaped like x_t (B, ...), in float64; t int64 (B,), 1..T.
        """
        x_t = x_t.double()  # or eps_hat would be that of rounded coefficients
        x0_mean, x0_variance = self._x0_moments(x_t, t)
        eps_hat = eps_from_x0(self.schedule, x_t, t, x0_mean)
        return Prediction(x0_mean, eps_hat, x0_variance=x0_variance)

    def score(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The gradient of ln q(x_t) with respect to x_t, shaped like x_t; t int64 (B,), 0..T."""
        responsibilities = self._component_log_probs(x_t, t).softmax(-1)
        x = x_t[..., None].double()
        alpha_bar = match(self.schedule.alpha_bar_at(t), x)
        spread = alpha_bar * self.variances + 1 - alpha_bar
        return (responsibilities * (alpha_bar.sqrt() * self.means - x) / spread).sum(-1)

    def reverse_given(
        self, prediction: Prediction, x_t: Tensor, t: Tensor, s: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of x_s given x_t, default s = t - 1, from what is seen in x_t.

        To the variance of q(x_s | x_t, x_0) comes what x_0, unknown, adds.
        """
        assert prediction.x0_variance is not None  # it comes from this mixture
        x0_mean = prediction.x0_hat
        mean, variance = q_posterior(self.schedule, x0_mean, x_t.double(), t, s)
        zeros = torch.zeros_like(x0_mean)
        weight_x0, _ = q_posterior(self.schedule, zeros + 1, zeros, t, s)
        return mean, (variance + weight_x0.square() * prediction.x0_variance).log()

    def prior(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_T), shaped like x_T."""
        if not self.true_prior:
            return torch.zeros_like(x_T), torch.zeros_like(x_T)
        alpha_bar = self.schedule.alpha_bar[-1]
        mean = (self.weights * self.means).sum()
        second_moment = (self.weights * (self.variances + self.means.square())).sum()
        variance = alpha_bar * (second_moment - mean.square()) + 1 - alpha_bar
        return (
            torch.full_like(x_T, float(alpha_bar.sqrt() * mean)),
            torch.full_like(x_T, float(variance.log())),
        )

    def decoder_log_prob(self, x0: Tensor, x_1: Tensor) -> Tensor:
        """Ln p(x_0 | x_1), a log-density, in nats, (B,)."""
        t = torch.ones(len(x0), dtype=torch.int64, device=x0.device)
        mean, log_variance = self.reverse_given(self(x_1, t), x_1, t)
        return normal_log_prob(x0, mean, log_variance).flatten(1).sum(1)

    def check_data(self, x0: Tensor) -> None:
        """Raise ValueError unless x_0 (B, ...) holds numbers, all finite: these have a density."""
        if not x0.numel():
            raise ValueError(f"x0 has shape {tuple(x0.shape)}: give at least 1 number")
        check_finite("x0", x0)

    def rows(self, start: int, stop: int) -> "GaussianMixture":
        """Itself: it holds no value for each sample."""
        return self

    def unclipped(self) -> "GaussianMixture":
        """Itself: what it sees is never clipped."""
        return self

    def _x0_moments(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_0 given x_t."""
        responsibilities = self._component_log_probs(x_t, t).softmax(-1)
        x = x_t[..., None].double()  # 1 - alpha_bar keeps its digits only in float64
        alpha_bar = match(self.schedule.alpha_bar_at(t), x)
        spread = alpha_bar * self.variances + 1 - alpha_bar
        gain = alpha_bar.sqrt() * self.variances / spread
        means = self.means + gain * (x - alpha_bar.sqrt() * self.means)
        mean = (responsibilities * means).sum(-1)
        within = self.variances * (1 - alpha_bar) / spread
        between = (means - mean[..., None]).square()
        return mean, (responsibilities * (within + between)).sum(-1)

    def _component_log_probs(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Ln of weight times density of each component at x_t, (B, ..., K)."""
        x = x_t[..., None].double()  # 1 - alpha_bar keeps its digits only in float64
        alpha_bar = match(self.schedule.alpha_bar_at(t), x)
        variance = alpha_bar * self.variances + 1 - alpha_bar
        return self.weights.log() + normal_log_prob(
            x, alpha_bar.sqrt() * self.means, variance.log()
        )
