"""Data so simple that everything about their diffusion is known exactly.

With one component (Gaussian data) every reverse step is exactly Gaussian and the bound is tight.
With several, the best denoiser has a closed form and ln p(x_0) is known, so the gap can be seen.
"""

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ddpm_tutorial.errors import check_finite
from ddpm_tutorial.mathematics.forward import Prediction, eps_from_x0, match, q_posterior
from ddpm_tutorial.mathematics.gaussian import normal_log_prob
from ddpm_tutorial.mathematics.schedule import NoiseSchedule

__all__ = [
    "GaussianMixture",
    "JointMixture",
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

    shape: tuple[int, ...] = (1,)
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
        _check_weights(weights)
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
        return (responsibilities * self._component_scores(x_t, t)).sum(-1)

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
        means, within = self._component_moments(x_t, t)
        mean = (responsibilities * means).sum(-1)
        between = (means - mean[..., None]).square()
        return mean, (responsibilities * (within + between)).sum(-1)

    def _component_moments(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_0 given x_t and the component, each (B, ..., K)."""
        x = x_t[..., None].double()  # 1 - alpha_bar keeps its digits only in float64
        alpha_bar = match(self.schedule.alpha_bar_at(t), x)
        spread = alpha_bar * self.variances + 1 - alpha_bar
        gain = alpha_bar.sqrt() * self.variances / spread
        means = self.means + gain * (x - alpha_bar.sqrt() * self.means)
        return means, self.variances * (1 - alpha_bar) / spread

    def _component_scores(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The score of each component at x_t, (B, ..., K)."""
        x = x_t[..., None].double()
        alpha_bar = match(self.schedule.alpha_bar_at(t), x)
        spread = alpha_bar * self.variances + 1 - alpha_bar
        return (alpha_bar.sqrt() * self.means - x) / spread

    def _component_log_probs(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Ln of weight times density of each component at x_t, (B, ..., K)."""
        x = x_t[..., None].double()  # 1 - alpha_bar keeps its digits only in float64
        alpha_bar = match(self.schedule.alpha_bar_at(t), x)
        variance = alpha_bar * self.variances + 1 - alpha_bar
        return self.weights.log() + normal_log_prob(
            x, alpha_bar.sqrt() * self.means, variance.log()
        )


class JointMixture(GaussianMixture):
    """The best denoiser of D entries that belong together: a mixture with full covariances.

    Component k has weight `weights[k]`, mean `means[k]` (D,) and covariance `covariances[k]`
    (D, D), which may be singular. An example is (D,). All else is as in a `GaussianMixture`, but
    for one thing: x0_variance, and the reverse step with it, leave out how entries go together
    given x_t. Raises ValueError for weights that are not a distribution, shapes that do not fit, or
    covariances that are none.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        weights: list[float],
        means: list[list[float]] | Tensor,
        covariances: list[list[list[float]]] | Tensor,
    ) -> None:
        _check_weights(weights)
        self.schedule = schedule
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.means = torch.as_tensor(means, dtype=torch.float64)
        self.covariances = torch.as_tensor(covariances, dtype=torch.float64)
        self.true_prior = False
        fitting = self.means.ndim == 2 and len(self.means) == len(weights)
        if not fitting or self.covariances.shape != (*self.means.shape, self.means.shape[-1]):
            raise ValueError(
                f"{len(weights)} weights, means of shape {tuple(self.means.shape)}, covariances of "
                f"shape {tuple(self.covariances.shape)}: give (K,), (K, D) and (K, D, D)"
            )
        check_finite("means", self.means)
        check_finite("covariances", self.covariances)
        lengths, self.axes = torch.linalg.eigh(self.covariances)
        uneven = (self.covariances - self.covariances.mT).abs().max()
        if float(uneven) > 1e-9 or float(lengths.min()) < -1e-9:
            raise ValueError(
                f"covariances = {self.covariances.tolist()}: each must be symmetric, with no "
                f"negative eigenvalue"
            )
        self.lengths = lengths.clamp(min=0)
        self.shape = tuple(self.means.shape[1:])

    def entry(self, index: int) -> GaussianMixture:
        """One entry alone: a mixture in one dimension. It must not be known exactly."""
        variances = self.covariances[:, index, index].tolist()
        weights, means = self.weights.tolist(), self.means[:, index].tolist()
        return GaussianMixture(self.schedule, weights, means, variances)

    def given(self, A: Tensor, y: Tensor, sigma: float) -> tuple["JointMixture", Tensor]:
        """The mixture of x_0 given y = A x_0 + sigma n, with n ~ N(0, I), and ln p(y), in nats.

        A is (M, D), y (M,), sigma >= 0 a standard deviation. Each component is conditioned on its
        own, and its weight multiplied by the density with which it foresees y.
        """
        A, y = A.double(), y.double()
        noise = sigma**2 * torch.eye(len(y), dtype=torch.float64)
        spread = A @ self.covariances @ A.T + noise
        gain = self.covariances @ A.T @ torch.linalg.inv(spread)
        seen = MultivariateNormal(self.means @ A.T, spread).log_prob(y) + self.weights.log()
        means = self.means + (gain @ (y - self.means @ A.T)[..., None])[..., 0]
        covariances = self.covariances - gain @ A @ self.covariances
        covariances = (covariances + covariances.mT) / 2
        weights = seen.softmax(0).tolist()
        return JointMixture(self.schedule, weights, means, covariances), seen.logsumexp(0)

    def _along_axes(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x_t less the mean of each component, along the axes of its covariance; with alpha_bar.

        And the variance of x_t along them; all broadcast to (B, K, D).
        """
        x = x_t[:, None].double()
        alpha_bar = match(self.schedule.alpha_bar_at(t), x)
        away = torch.einsum("bkd,kde->bke", x - alpha_bar.sqrt() * self.means, self.axes)
        return away, alpha_bar, alpha_bar * self.lengths + 1 - alpha_bar

    def _component_log_probs(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Ln of weight times density of each component at x_t: one for all entries, (B, 1, K)."""
        away, _, spread = self._along_axes(x_t, t)
        each = normal_log_prob(away, torch.zeros_like(away), spread.log()).sum(-1)
        return (self.weights.log() + each)[:, None]

    def _component_moments(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        away, alpha_bar, spread = self._along_axes(x_t, t)
        moved = alpha_bar.sqrt() * self.lengths / spread * away
        means = self.means + torch.einsum("bke,kde->bkd", moved, self.axes)
        within = self.lengths * (1 - alpha_bar) / spread
        variances = torch.einsum("bke,kde->bkd", within, self.axes.square())
        return means.mT, variances.mT

    def _component_scores(self, x_t: Tensor, t: Tensor) -> Tensor:
        away, _, spread = self._along_axes(x_t, t)
        return -torch.einsum("bke,kde->bkd", away / spread, self.axes).mT


def _check_weights(weights: list[float]) -> None:
    if abs(sum(weights) - 1) > 1e-9 or min(weights) <= 0:
        raise ValueError(f"weights = {weights}: they must be positive and sum to 1")
