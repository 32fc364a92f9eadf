"""Parameterisations: what a network is trained towards, and how its output reads as x_0.

The noise, the data, v and the velocity are views of one guess; a distribution over the 256 grey
levels says more. Each is one object.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_tutorial.mathematics.forward import (
    Prediction,
    eps_from_x0,
    level_log_probs,
    match,
    noise_share,
    v_from_x0_and_eps,
    x0_from_eps,
    x0_from_v,
    x0_from_velocity,
)
from ddpm_tutorial.mathematics.gaussian import discretized_normal_log_prob, grey_levels
from ddpm_tutorial.mathematics.schedule import NoiseSchedule

__all__ = [
    "CROSS_ENTROPY_WEIGHT",
    "PARAMETERISATIONS",
    "VARIATIONAL_WEIGHT",
    "X0",
    "BoundTerm",
    "Drawn",
    "Eps",
    "Levels",
    "LossTerms",
    "Parameterisation",
    "SquaredError",
    "V",
    "Velocity",
]

#: What the bound weighs beside the squared error: little enough to leave that in charge. Source:
#: Nichol and Dhariwal (2021), section 3.1.
VARIATIONAL_WEIGHT = 1e-3
#: What the cross-entropy weighs beside the bound: enough to teach the decoder, whose own term is
#: drawn once in T.
CROSS_ENTROPY_WEIGHT = 0.3


class Drawn(NamedTuple):
    """What Algorithm 1 draws for a step, and the x_t that the schedule makes of it.

    x0, eps and x_t are (B, ...), t is int64 (B,).
    """

    schedule: NoiseSchedule
    x0: Tensor
    t: Tensor
    eps: Tensor
    x_t: Tensor


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


#: Of a prediction, the term of the bound at t; with ln p(x_0 | x_1) where that is known already.
BoundTerm = Callable[[Prediction, Tensor | None], Tensor]


class Parameterisation(ABC):
    """What the output of a network means.

    `name` is the word for it. `outputs` is how many output channels it needs for each channel of
    the image, `gives_distribution` whether it reads as a distribution of x_0 instead of a guess,
    and `usual_variance` the word for the reverse variance that goes with it unless another is
    asked for.
    """

    name: str
    outputs = 1
    gives_distribution = False
    usual_variance = "small"

    @abstractmethod
    def read(
        self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor, clip: bool = True
    ) -> Prediction:
        """The output (B, outputs * C, ...) at x_t (B, C, ...), t int64 (B,) in 1..T, as a guess.

        With `clip`, x0_hat is cut to [-1, 1] and eps_hat derived from what is left, so that the two
        always agree on x_t.
        """

    @abstractmethod
    def loss(
        self, drawn: Drawn, output: Tensor, min_snr: float | None, bound: BoundTerm | None
    ) -> LossTerms:
        """The loss of the output at what was drawn.

        `min_snr` is where the weight of a squared error is cut off, None for a weight of 1; `bound`
        gives the term of the bound, None where the variance asks for no such term.
        """

    def decoder_log_prob(
        self, x0: Tensor, seen: Prediction, mean: Tensor, log_variance: Tensor
    ) -> Tensor:
        """Ln p(x_0 | x_1) in nats, (B,), from what is seen in x_1 and p's mean and log-variance.

        A Gaussian cut into 256 bins. Source: Ho et al. (2020), equation 13.
        """
        return discretized_normal_log_prob(x0, mean, log_variance).flatten(1).sum(1)


class SquaredError(Parameterisation):
    """A guess that is learned by its squared error; their errors differ by a factor of t alone."""

    @abstractmethod
    def target(self, drawn: Drawn) -> Tensor:
        """What the output should be, shaped like x_0."""

    @abstractmethod
    def x0(self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The x_0 that the output stands for."""

    @abstractmethod
    def error_of_x0(self, alpha_bar: Tensor) -> Tensor:
        """The squared error of x_0 where that of the output is 1, (B,), from alpha_bar_t (B,)."""

    def read(
        self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor, clip: bool = True
    ) -> Prediction:
        """See `Parameterisation`."""
        x0_hat = self.x0(schedule, output, x_t, t)
        x0_hat = x0_hat.clamp(-1, 1) if clip else x0_hat
        return Prediction(x0_hat, eps_from_x0(schedule, x_t, t, x0_hat))

    def loss(
        self, drawn: Drawn, output: Tensor, min_snr: float | None, bound: BoundTerm | None
    ) -> LossTerms:
        """The squared error; and, for a learned variance, a small multiple of the bound.

        Source: Ho et al. (2020), equation 14; Hang et al. (2023), equation 8; Nichol and Dhariwal
        (2021), equation 16.
        """
        simple = (output - self.target(drawn)).square().flatten(1).mean(1)
        weighted = simple
        if min_snr is not None:
            alpha_bar = drawn.schedule.alpha_bar_at(drawn.t)
            of_x0 = (alpha_bar / (1 - alpha_bar)).clamp(max=min_snr)
            weighted = match(of_x0 * self.error_of_x0(alpha_bar), simple) * simple
        if bound is None:
            return LossTerms(simple, None, weighted)
        # The bound teaches the variance only: the mean already learns from L_simple.
        seen = self.read(drawn.schedule, output.detach(), drawn.x_t, drawn.t, clip=False)
        variational = bound(seen, None)
        return LossTerms(simple, variational, weighted + VARIATIONAL_WEIGHT * variational)


class Eps(SquaredError):
    """The network guesses the noise. Source: Ho et al. (2020), section 3.2."""

    name = "eps"

    def target(self, drawn: Drawn) -> Tensor:
        """The noise that was drawn."""
        return drawn.eps

    def x0(self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The data that, with the guessed noise, give x_t."""
        return x0_from_eps(schedule, x_t, t, output)

    def error_of_x0(self, alpha_bar: Tensor) -> Tensor:
        """1 / snr: little at small t, where x_t is nearly x_0 whatever the noise."""
        return (1 - alpha_bar) / alpha_bar

    def read(
        self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor, clip: bool = True
    ) -> Prediction:
        """Unclipped, the output itself is the noise, with no rounding on the way there and back."""
        if clip:
            return super().read(schedule, output, x_t, t)
        return Prediction(self.x0(schedule, output, x_t, t), output)


class X0(SquaredError):
    """The network guesses the data."""

    name = "x0"

    def target(self, drawn: Drawn) -> Tensor:
        """The data."""
        return drawn.x0

    def x0(self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The output itself."""
        return output

    def error_of_x0(self, alpha_bar: Tensor) -> Tensor:
        """1: the error is its own."""
        return torch.ones_like(alpha_bar)


class V(SquaredError):
    """The network guesses v, between noise and data. Source: Salimans and Ho (2022), appendix D."""

    name = "v"

    def target(self, drawn: Drawn) -> Tensor:
        """The v of what was drawn, see `v_from_x0_and_eps`."""
        return v_from_x0_and_eps(drawn.schedule, drawn.t, drawn.x0, drawn.eps)

    def x0(self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The data behind the guessed v."""
        return x0_from_v(schedule, x_t, t, output)

    def error_of_x0(self, alpha_bar: Tensor) -> Tensor:
        """1 - alpha_bar_t, the variance of the noise."""
        return 1 - alpha_bar


class Velocity(SquaredError):
    """The network guesses the velocity of flow matching. Source: Lipman et al. (2023).

    It is that of the straight path from data to noise, whatever the schedule: where on this path
    x_t lies follows from alpha_bar_t, see `noise_share`.
    """

    name = "velocity"

    def target(self, drawn: Drawn) -> Tensor:
        """Eps - x0, the same all along the path."""
        return drawn.eps - drawn.x0

    def x0(self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The data from which the guessed velocity leads here."""
        return x0_from_velocity(schedule, x_t, t, output)

    def error_of_x0(self, alpha_bar: Tensor) -> Tensor:
        """The square of the share of the noise: by that much of the velocity x_0 lies back."""
        return noise_share(alpha_bar).square()


class Levels(Parameterisation):
    """The network weighs the 256 grey levels of each entry; its loss is the bound itself.

    The output holds log-weights, all channels of level 0 first. They stand for what the rest of the
    image says; the entry's own x_t is added by Bayes' rule. x0 has to lie on the 256 levels.
    """

    name = "levels"
    outputs = 256
    gives_distribution = True
    usual_variance = "matched"

    def read(
        self, schedule: NoiseSchedule, output: Tensor, x_t: Tensor, t: Tensor, clip: bool = True
    ) -> Prediction:
        """Its x0_hat is a mean of levels, never outside [-1, 1]: `clip` has nothing to do."""
        log_weights = output.unflatten(1, (256, x_t.shape[1])).movedim(1, -1)
        log_probs = level_log_probs(schedule, x_t, t, log_weights)
        x0_hat, x0_variance = _moments_of_levels(log_probs)
        eps_hat = eps_from_x0(schedule, x_t, t, x0_hat)
        return Prediction(x0_hat, eps_hat, None, log_probs, x0_variance)

    def loss(
        self, drawn: Drawn, output: Tensor, min_snr: float | None, bound: BoundTerm | None
    ) -> LossTerms:
        """The bound; in place of its term at t = 1, drawn too rarely, a little cross-entropy.

        At every t, that teaches the decoder.
        """
        assert bound is not None  # the variance that is matched to a distribution asks for it
        seen = self.read(drawn.schedule, output, drawn.x_t, drawn.t)
        decoder_log_prob = _log_prob_of_levels(drawn.x0, seen)
        cross_entropy = -decoder_log_prob / drawn.x0[0].numel()
        variational = bound(seen, decoder_log_prob)
        total = torch.where(drawn.t == 1, 0, variational) + CROSS_ENTROPY_WEIGHT * cross_entropy
        return LossTerms(cross_entropy, variational, total)

    def decoder_log_prob(
        self, x0: Tensor, seen: Prediction, mean: Tensor, log_variance: Tensor
    ) -> Tensor:
        """The network's own probabilities of the levels."""
        return _log_prob_of_levels(x0, seen)


#: The parameterisations by their words.
PARAMETERISATIONS: dict[str, Parameterisation] = {
    one.name: one for one in (Eps(), X0(), V(), Velocity(), Levels())
}


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


def _log_prob_of_levels(x0: Tensor, seen: Prediction) -> Tensor:
    """Ln p(x_0 | x_t) under a distribution over levels for each entry, in nats, summed, (B,)."""
    assert seen.level_log_probs is not None
    level = ((x0 + 1) * 127.5).round().long()[..., None]
    return seen.level_log_probs.gather(-1, level).flatten(1).sum(1)
