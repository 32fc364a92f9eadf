"""DDPM: a noise schedule, a network, and what the network predicts."""

import math
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ddpm_tutorial.errors import check_choice
from ddpm_tutorial.forward import (
    eps_from_x0,
    level_log_probs,
    match,
    posterior_variance,
    q_posterior,
    q_sample,
    q_transition,
    v_from_x0_and_eps,
    x0_from_eps,
    x0_from_v,
)
from ddpm_tutorial.gaussian import discretized_normal_log_prob, grey_levels, kl_normal
from ddpm_tutorial.schedule import NoiseSchedule
from ddpm_tutorial.unet import UNet, UNetConfig

Predicts = Literal["eps", "x0", "v", "levels"]
Variance = Literal["small", "large", "learned", "matched"]
SCHEDULES: dict[str, Callable[[int], NoiseSchedule]] = {
    "linear": NoiseSchedule.linear,
    "cosine": NoiseSchedule.cosine,
    "sigmoid": NoiseSchedule.sigmoid,
    "log-snr": NoiseSchedule.log_snr,
}
# Nichol and Dhariwal (2021), section 3.1: small enough to leave L_simple in charge.
VARIATIONAL_WEIGHT = 1e-3
# Beside the bound: enough to teach the decoder, whose own term is drawn once in T.
CROSS_ENTROPY_WEIGHT = 0.3


class Prediction(NamedTuple):
    """One prediction, seen two ways, each (B, ...).

    `variance_fraction` is the network's place between the small and the large log-variance:
    (B, ...), or None where the variance is not learned. `level_log_probs` (B, ..., 256) is
    ln p(x_0 = level | x_t) of each entry, where the network predicts levels; x0_hat is then the
    mean of that distribution, and `x0_variance` (B, ...) its variance.
    """

    x0_hat: Tensor
    eps_hat: Tensor
    variance_fraction: Tensor | None = None
    level_log_probs: Tensor | None = None
    x0_variance: Tensor | None = None


class LossTerms(NamedTuple):
    """The training loss by terms, each (B,).

    `simple` is the mean squared error over the dimensions of one example (Ho et al., 2020,
    equation 14), before any weight; of a network that predicts levels, the cross-entropy of x_0
    given x_t, in nats per dimension. `variational` is the term of the bound at t, in nats per
    dimension, times T; None where only `simple` is minimised. `total` is what is minimised.
    """

    simple: Tensor
    variational: Tensor | None
    total: Tensor


class DDPM(nn.Module):
    """A denoising diffusion model p(x_0:T) = p(x_T) prod_t p(x_{t-1} | x_t), with p(x_T) = N(0, I).

    `network(x_t, t)` or `network(x_t, t, label)` is any callable that returns (B, ...), or twice
    as many channels where `variance` is "learned". `predicts` says what its output means. With
    "levels" it has 256 times as many channels, log-weights of the grey levels; `variance` is then
    "matched", the loss is the bound plus a little cross-entropy, and x0 must lie on those levels.
    `shape` is the shape of one example. `min_snr` (gamma > 0) weighs the squared error of x_0 by
    min(snr, gamma) (Hang et al., 2023, equation 8); None weighs what is predicted by 1. Raises
    ValueError for an unknown word, words that do not go together, or a schedule with T < 2; warns
    where the schedule leaves so much data in x_T that N(0, I) is a poor start.
    """

    def __init__(
        self,
        network: Callable[..., Tensor],
        schedule: NoiseSchedule,
        predicts: Predicts = "v",
        variance: Variance = "small",
        shape: tuple[int, ...] = (1, 28, 28),
        min_snr: float | None = None,
    ) -> None:
        super().__init__()
        check_choice("predicts", predicts, get_args(Predicts))
        check_choice("variance", variance, get_args(Variance))
        if (predicts == "levels") != (variance == "matched"):
            raise ValueError(
                f'predicts = "{predicts}" with variance = "{variance}": "levels" and "matched" go '
                f"together, and with no other"
            )
        _check_min_snr(min_snr, predicts)
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
        self.min_snr = min_snr

    @property
    def num_classes(self) -> int:
        """How many labels the network tells apart; 0 where it takes none."""
        return self.network.config.num_classes if isinstance(self.network, UNet) else 0

    def forward(self, x0: Tensor, t: Tensor, eps: Tensor, label: Tensor | None = None) -> LossTerms:
        """The training loss at the drawn t and eps: Algorithm 1, line 5, of Ho et al. (2020).

        Shapes: x0 and eps (B, ...), t and label int64 (B,), t in 1..T. A learned variance adds a
        small multiple of the bound (Nichol and Dhariwal, 2021, equation 16). A network that
        predicts levels learns the bound itself; in place of its term at t = 1, drawn too rarely,
        the cross-entropy at every t teaches the decoder.
        """
        x_t = q_sample(self.schedule, x0, t, eps)
        if self.predicts == "levels":
            prediction = self.predict(x_t, t, label)
            decoder_nats = -_log_prob_of_levels(x0, prediction)
            cross_entropy = decoder_nats / x0[0].numel()
            reverse = self.reverse_given(prediction, x_t, t)
            variational = self._variational(x0, x_t, t, reverse, decoder_nats)
            total = torch.where(t == 1, 0, variational) + CROSS_ENTROPY_WEIGHT * cross_entropy
            return LossTerms(cross_entropy, variational, total)
        output, fraction = self._run_network(x_t, t, label)
        if self.predicts == "eps":
            target = eps
        elif self.predicts == "x0":
            target = x0
        else:
            target = v_from_x0_and_eps(self.schedule, t, x0, eps)
        simple = (output - target).square().flatten(1).mean(1)
        weighted = simple if self.min_snr is None else self._min_snr_weight(t, simple) * simple
        if fraction is None:
            return LossTerms(simple, None, weighted)
        # The bound teaches the variance only: the mean already learns from L_simple.
        x0_hat = self._read_as_x0(output.detach(), x_t, t)
        prediction = Prediction(x0_hat, eps_from_x0(self.schedule, x_t, t, x0_hat), fraction)
        reverse = self.reverse_given(prediction, x_t, t)
        decoder_nats = -self._decoder_given(x0, prediction, *reverse)
        variational = self._variational(x0, x_t, t, reverse, decoder_nats)
        return LossTerms(simple, variational, weighted + VARIATIONAL_WEIGHT * variational)

    def predict(
        self,
        x_t: Tensor,
        t: Tensor,
        label: Tensor | None = None,
        clip: bool = True,
        guidance: float = 0.0,
    ) -> Prediction:
        """What the network sees in x_t, as data and as noise.

        Shapes: x_t (B, ...), t and label int64 (B,), t in 1..T. With `clip`, x0_hat is cut to
        [-1, 1] and eps_hat derived from what is left, so that the two always agree on x_t. The
        mean of a distribution over levels is never outside, and needs no clipping. `guidance` is w
        in (1 + w) output(label) - w output(null token): 0 for none, more for samples that show
        their label more plainly and vary less. Source: Ho and Salimans (2022), equation 6.
        """
        output, fraction = self._run_network(x_t, t, label, guidance)
        if self.predicts == "levels":
            log_weights = output.unflatten(1, (256, x_t.shape[1])).movedim(1, -1)
            log_probs = level_log_probs(self.schedule, x_t, t, log_weights)
            x0_hat, x0_variance = _moments_of_levels(log_probs)
            eps_hat = eps_from_x0(self.schedule, x_t, t, x0_hat)
            return Prediction(x0_hat, eps_hat, None, log_probs, x0_variance)
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
        same posterior ("small"), that of q(x_t | x_s) ("large"; Ho et al., 2020, section 3.2),
        between the two on a log scale, as the network says ("learned"; Nichol and Dhariwal, 2021,
        equation 15), or that of the posterior averaged over the x_0 that a distribution over
        levels leaves open ("matched").
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
        if chosen == "matched":
            return mean, self._matched_log_variance(prediction, small, x_t, t, s)
        fraction = prediction.variance_fraction
        assert fraction is not None  # self.variance is "learned", so the network gave one
        return mean, fraction * large + (1 - fraction) * small

    def prior(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_T) = N(0, I), shaped like x_T."""
        return torch.zeros_like(x_T), torch.zeros_like(x_T)

    def decoder_log_prob(self, x0: Tensor, x_1: Tensor, label: Tensor | None = None) -> Tensor:
        """Ln p(x_0 | x_1) of images on 256 levels, in nats, (B,).

        A Gaussian cut into 256 bins (Ho et al., 2020, equation 13), or the network's own
        distribution where it predicts levels. Takes one network evaluation.
        """
        t = torch.ones(len(x0), dtype=torch.int64, device=x0.device)
        prediction = self.predict(x_1, t, label)
        return self._decoder_given(x0, prediction, *self.reverse_given(prediction, x_1, t))

    def _decoder_given(
        self, x0: Tensor, prediction: Prediction, mean: Tensor, log_variance: Tensor
    ) -> Tensor:
        if prediction.level_log_probs is not None:
            return _log_prob_of_levels(x0, prediction)
        return discretized_normal_log_prob(x0, mean, log_variance).flatten(1).sum(1)

    def _variational(
        self,
        x0: Tensor,
        x_t: Tensor,
        t: Tensor,
        reverse: tuple[Tensor, Tensor],
        decoder_nats: Tensor,
    ) -> Tensor:
        """The term of the bound at t, in nats per dimension, times T, (B,).

        `decoder_nats` (B,) is that of t = 1, in nats; `reverse` is p(x_{t-1} | x_t).
        """
        kl = posterior_kl(self.schedule, x0, x_t, t, *reverse)
        nats = torch.where(t == 1, decoder_nats, kl)
        return self.schedule.T / x0[0].numel() * nats

    def _matched_log_variance(
        self,
        prediction: Prediction,
        small: Tensor,
        x_t: Tensor,
        t: Tensor,
        s: Tensor | None,
    ) -> Tensor:
        """Log of the posterior variance, plus what x_0, known as a distribution only, adds."""
        assert prediction.x0_variance is not None  # "matched" goes with "levels"
        # At t = 1 as at t = 2, like log_posterior_variance: the decoder takes over there.
        t = t.clamp(min=2)
        s = None if s is None else s.clamp(min=1)
        weight_x0, _ = q_posterior(self.schedule, torch.ones_like(x_t), torch.zeros_like(x_t), t, s)
        return small + torch.log1p(weight_x0.square() * prediction.x0_variance * torch.exp(-small))

    def _run_network(
        self, x_t: Tensor, t: Tensor, label: Tensor | None, guidance: float = 0.0
    ) -> tuple[Tensor, Tensor | None]:
        """The network's output and, with a learned variance, its place in [0, 1] on the scale."""
        untold = None
        if guidance:
            assert label is not None  # without one there is nothing to guide towards
            labels = torch.cat([label, torch.full_like(label, self.num_classes)])
            both = self.network(torch.cat([x_t, x_t]), torch.cat([t, t]), labels)
            told, untold = both.chunk(2)
        else:
            told = self.network(x_t, t) if label is None else self.network(x_t, t, label)
        output, raw = told.chunk(2, dim=1) if self.variance == "learned" else (told, None)
        if untold is not None:
            output = output + guidance * (output - untold[:, : output.shape[1]])
        return output, None if raw is None else (raw + 1) / 2

    def _min_snr_weight(self, t: Tensor, like: Tensor) -> Tensor:
        """The factor of the squared error of what is predicted, (B,)."""
        assert self.min_snr is not None
        alpha_bar = self.schedule.alpha_bar_at(t)
        of_x0 = (alpha_bar / (1 - alpha_bar)).clamp(max=self.min_snr)
        # The errors of the three views differ by a factor that depends on t alone.
        if self.predicts == "eps":
            of_x0 = of_x0 * (1 - alpha_bar) / alpha_bar
        elif self.predicts == "v":
            of_x0 = of_x0 * (1 - alpha_bar)
        return match(of_x0, like)

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
    min_snr: float | None = None

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, tuple(SCHEDULES))
        check_choice("predicts", self.predicts, get_args(Predicts))
        _check_min_snr(self.min_snr, self.predicts)
        if (self.predicts == "levels") != self.unet.levels:
            raise ValueError(
                f'predicts = "{self.predicts}" with UNetConfig(levels={self.unet.levels}): set '
                f'levels=True with "levels", and with no other'
            )

    def build(self) -> DDPM:
        """A freshly initialised model; the weights come from torch's global seed."""
        size = self.unet.image_size
        variance: Variance = "learned" if self.unet.learned_variance else "small"
        if self.predicts == "levels":
            variance = "matched"
        return DDPM(
            UNet(self.unet),
            SCHEDULES[self.schedule](self.T),
            predicts=self.predicts,
            variance=variance,
            shape=(self.unet.image_channels, size, size),
            min_snr=self.min_snr,
        )


def _check_min_snr(min_snr: float | None, predicts: str) -> None:
    if min_snr is None:
        return
    if not 0 < min_snr < math.inf:
        raise ValueError(f"min_snr = {min_snr}: it must be greater than 0, and finite")
    if predicts == "levels":
        raise ValueError(f"min_snr = {min_snr} weighs a squared error, and levels have none")


def _moments_of_levels(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance, both (B, ...), of distributions over the 256 levels, (B, ..., 256)."""
    levels = grey_levels(log_probs)
    # The products must not be rounded to bfloat16: a mean is good to a small part of a level.
    device = log_probs.device.type
    mixed = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if mixed else nullcontext():
        moments = log_probs.exp() @ torch.stack([levels, levels.square()], dim=1)
    mean, mean_square = moments.unbind(-1)
    return mean, (mean_square - mean.square()).clamp(min=0)


def _log_prob_of_levels(x0: Tensor, prediction: Prediction) -> Tensor:
    """Ln p(x_0 | x_t) under a distribution over levels for each entry, in nats, summed, (B,)."""
    assert prediction.level_log_probs is not None
    level = ((x0 + 1) * 127.5).round().long()[..., None]
    return prediction.level_log_probs.gather(-1, level).flatten(1).sum(1)


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
