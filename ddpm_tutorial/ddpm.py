"""DDPM: a noise schedule, a network, and what the network predicts."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ddpm_tutorial.errors import check_choice
from ddpm_tutorial.forward import (
    eps_from_x0,
    match,
    posterior_variance,
    q_posterior,
    q_sample,
    q_transition,
    v_from_x0_and_eps,
    x0_from_eps,
    x0_from_v,
)
from ddpm_tutorial.gaussian import discretized_normal_log_prob, kl_normal
from ddpm_tutorial.schedule import NoiseSchedule
from ddpm_tutorial.unet import UNet, UNetConfig

Predicts = Literal["eps", "x0", "v"]
Variance = Literal["small", "large", "learned"]
SCHEDULES: dict[str, Callable[[int], NoiseSchedule]] = {
    "linear": NoiseSchedule.linear,
    "cosine": NoiseSchedule.cosine,
    "sigmoid": NoiseSchedule.sigmoid,
}
# Nichol and Dhariwal (2021), section 3.1: small enough to leave L_simple in charge.
VARIATIONAL_WEIGHT = 1e-3


class Prediction(NamedTuple):
    """One prediction, seen two ways, each (B, ...).

    `variance_fraction` is the network's place between the small and the large log-variance:
    (B, ...), or None where the variance is not learned.
    """

    x0_hat: Tensor
    eps_hat: Tensor
    variance_fraction: Tensor | None


class LossTerms(NamedTuple):
    """The training loss by terms, each (B,).

    `simple` is the mean squared error over the dimensions of one example (Ho et al., 2020,
    equation 14). `variational` is the term of the bound at t, in nats per dimension, times T; None
    unless the variance is learned. `total` is what is minimised.
    """

    simple: Tensor
    variational: Tensor | None
    total: Tensor


class DDPM(nn.Module):
    """A denoising diffusion model p(x_0:T) = p(x_T) prod_t p(x_{t-1} | x_t), with p(x_T) = N(0, I).

    `network(x_t, t)` or `network(x_t, t, label)` is any callable that returns (B, ...), or twice
    as many channels where `variance` is "learned". `predicts` says what its output means. `shape`
    is the shape of one example. Raises ValueError for an unknown word or a schedule with T < 2;
    warns where the schedule leaves so much data in x_T that N(0, I) is a poor start.
    """

    def __init__(
        self,
        network: Callable[..., Tensor],
        schedule: NoiseSchedule,
        predicts: Predicts = "v",
        variance: Variance = "small",
        shape: tuple[int, ...] = (1, 28, 28),
    ) -> None:
        super().__init__()
        check_choice("predicts", predicts, get_args(Predicts))
        check_choice("variance", variance, get_args(Variance))
        if schedule.T < 2:
            raise ValueError(f"the schedule has T = {schedule.T}: a DDPM needs at least 2 steps")
        signal_left = float(schedule.alpha_bar[schedule.T])
        if signal_left > 0.01:
            warnings.warn(
                f"alpha_bar[T] = {signal_left:.3f} at T = {schedule.T}: x_T still holds part of "
                f"the data, but sampling starts from N(0, I). Use the cosine schedule, or scale "
                f"beta by 1000 / T",
                stacklevel=2,
            )
        self.network = network
        self.schedule = schedule
        self.predicts = predicts
        self.variance = variance
        self.shape = shape

    @property
    def num_classes(self) -> int:
        """How many labels the network tells apart; 0 where it takes none."""
        return self.network.config.num_classes if isinstance(self.network, UNet) else 0

    def forward(self, x0: Tensor, t: Tensor, eps: Tensor, label: Tensor | None = None) -> LossTerms:
        """The training loss at the drawn t and eps: Algorithm 1, line 5, of Ho et al. (2020).

        Shapes: x0 and eps (B, ...), t and label int64 (B,), t in 1..T. A learned variance adds a
        small multiple of the bound (Nichol and Dhariwal, 2021, equation 16).
        """
        x_t = q_sample(self.schedule, x0, t, eps)
        output, fraction = self._run_network(x_t, t, label)
        if self.predicts == "eps":
            target = eps
        elif self.predicts == "x0":
            target = x0
        else:
            target = v_from_x0_and_eps(self.schedule, t, x0, eps)
        simple = (output - target).square().flatten(1).mean(1)
        if fraction is None:
            return LossTerms(simple, None, simple)
        # The bound teaches the variance only: the mean already learns from L_simple.
        x0_hat = self._read_as_x0(output.detach(), x_t, t)
        prediction = Prediction(x0_hat, eps_from_x0(self.schedule, x_t, t, x0_hat), fraction)
        mean, log_variance = self.reverse_given(prediction, x_t, t)
        variational = (
            self.schedule.T
            / x0[0].numel()
            * torch.where(
                t == 1,
                -self.decoder_log_prob(x0, mean, log_variance),
                posterior_kl(self.schedule, x0, x_t, t, mean, log_variance),
            )
        )
        return LossTerms(simple, variational, simple + VARIATIONAL_WEIGHT * variational)

    def predict(
        self, x_t: Tensor, t: Tensor, label: Tensor | None = None, clip: bool = True
    ) -> Prediction:
        """What the network sees in x_t, as data and as noise.

        Shapes: x_t (B, ...), t and label int64 (B,), t in 1..T. With `clip`, x0_hat is cut to
        [-1, 1] and eps_hat derived from what is left, so that the two always agree on x_t.
        """
        output, fraction = self._run_network(x_t, t, label)
        x0_hat = self._read_as_x0(output, x_t, t)
        if clip:
            x0_hat = x0_hat.clamp(-1, 1)
        elif self.predicts == "eps":
            return Prediction(x0_hat, output, fraction)
        return Prediction(x0_hat, eps_from_x0(self.schedule, x_t, t, x0_hat), fraction)

    def p_reverse(
        self,
        x_t: Tensor,
        t: Tensor,
        s: Tensor | None = None,
        label: Tensor | None = None,
        clip: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_s | x_t), default s = t - 1; both broadcast to (B, ...).

        The mean is that of q(x_s | x_t, x0_hat). The variance is, by `self.variance`, that of the
        same posterior ("small"), that of q(x_t | x_s) ("large"; Ho et al., 2020, section 3.2), or
        between the two on a log scale, as the network says ("learned"; Nichol and Dhariwal, 2021,
        equation 15).
        """
        return self.reverse_given(self.predict(x_t, t, label, clip), x_t, t, s)

    def reverse_given(
        self,
        prediction: Prediction,
        x_t: Tensor,
        t: Tensor,
        s: Tensor | None = None,
        variance: Literal["small", "large"] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `p_reverse`, from a prediction already made; `variance` overrules the model's own."""
        mean, _ = q_posterior(self.schedule, prediction.x0_hat, x_t, t, s)
        chosen = variance or self.variance
        if chosen == "small":
            return mean, log_posterior_variance(self.schedule, x_t, t, s)
        large = q_transition(self.schedule, x_t, t, s)[1].log()
        if chosen == "large":
            return mean, large
        small = log_posterior_variance(self.schedule, x_t, t, s)
        fraction = prediction.variance_fraction
        assert fraction is not None  # self.variance is "learned", so the network gave one
        return mean, fraction * large + (1 - fraction) * small

    def prior(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_T) = N(0, I), shaped like x_T."""
        return torch.zeros_like(x_T), torch.zeros_like(x_T)

    def decoder_log_prob(self, x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Ln p(x_0 | x_1) of images on 256 levels, in nats, (B,). Ho et al. (2020), equation 13."""
        return discretized_normal_log_prob(x0, mean, log_variance).flatten(1).sum(1)

    def _run_network(
        self, x_t: Tensor, t: Tensor, label: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The network's output and, with a learned variance, its place in [0, 1] on the scale."""
        output = self.network(x_t, t) if label is None else self.network(x_t, t, label)
        if self.variance != "learned":
            return output, None
        output, raw = output.chunk(2, dim=1)
        return output, (raw + 1) / 2

    def _read_as_x0(self, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        if self.predicts == "eps":
            return x0_from_eps(self.schedule, x_t, t, output)
        if self.predicts == "x0":
            return output
        return x0_from_v(self.schedule, x_t, t, output)


@dataclass(frozen=True)
class DDPMConfig:
    """What is needed to build a `DDPM` with a `UNet` again; a checkpoint carries it."""

    schedule: str = "cosine"
    T: int = 1000
    predicts: Predicts = "v"
    unet: UNetConfig = field(default_factory=UNetConfig)

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, tuple(SCHEDULES))
        check_choice("predicts", self.predicts, get_args(Predicts))

    def build(self) -> DDPM:
        """A freshly initialised model; the weights come from torch's global seed."""
        size = self.unet.image_size
        return DDPM(
            UNet(self.unet),
            SCHEDULES[self.schedule](self.T),
            predicts=self.predicts,
            variance="learned" if self.unet.learned_variance else "small",
            shape=(self.unet.image_channels, size, size),
        )


def posterior_kl(
    schedule: NoiseSchedule,
    x0: Tensor,
    x_t: Tensor,
    t: Tensor,
    mean: Tensor,
    log_variance: Tensor,
) -> Tensor:
    """KL(q(x_{t-1} | x_t, x_0) || N(mean, exp(log_variance))), in nats, summed, (B,); t in 2..T.

    Source: Ho et al. (2020), equation 5, L_{t-1}. At t = 1 the value means nothing (the posterior
    is a point there, and the decoder takes over), but it is finite.
    """
    posterior_mean, _ = q_posterior(schedule, x0, x_t, t)
    posterior_log_variance = log_posterior_variance(schedule, x_t, t, None)
    return kl_normal(posterior_mean, posterior_log_variance, mean, log_variance).flatten(1).sum(1)


def log_posterior_variance(
    schedule: NoiseSchedule, x_t: Tensor, t: Tensor, s: Tensor | None
) -> Tensor:
    """Log of the variance of q(x_s | x_t, x_0), shaped to broadcast with x_t.

    At s = 0 that variance is 0 and has no logarithm; the value at s = 1 (and t >= 2) stands in,
    as in the code of Ho et al. (2020).
    """
    s = t - 1 if s is None else s
    variance = posterior_variance(schedule, t.clamp(min=2), s.clamp(min=1))
    return match(variance.log(), x_t)
