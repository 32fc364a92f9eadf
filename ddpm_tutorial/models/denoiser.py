"""The contract of a denoiser: what samplers, correctors, the score and the bound ask of a model."""

from abc import abstractmethod
from typing import Protocol, Self, cast

import torch
from torch import Tensor

from ddpm_tutorial.errors import check_finite
from ddpm_tutorial.mathematics.forward import (
    Prediction,
    filled_like,
    log_posterior_variance,
    q_posterior,
)
from ddpm_tutorial.mathematics.gaussian import discretized_normal_log_prob, is_on_256_levels
from ddpm_tutorial.mathematics.schedule import NoiseSchedule

__all__ = [
    "Denoiser",
    "HasDenoiser",
    "as_denoiser",
    "p_reverse",
]


class Denoiser(Protocol):
    """A callable `(x_t, t) -> Prediction`, and the reverse process that it stands for.

    Whatever changes what is seen in x_t is a denoiser. A class that inherits from this one has to
    say its `schedule`, its `shape` and what it sees; the rest is that of images on 256 levels, of
    steps with the variance of q(x_s | x_t, x_0), and of a denoiser that holds no value for each
    sample, unless it says otherwise. A class that has all these methods need not inherit.
    """

    @property
    @abstractmethod
    def schedule(self) -> NoiseSchedule:
        """The noise schedule of q."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""

    @property
    def like(self) -> Tensor:
        """Any tensor with the dtype and the device of what it is called with."""
        return torch.empty(0)

    @property
    def count(self) -> int | None:
        """For how many samples it holds a value each, such as a label; None if for none."""
        return None

    @abstractmethod
    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        """What is seen in x_t (B, ...), with t int64 (B,) in 1..T."""

    def reverse_given(
        self, prediction: Prediction, x_t: Tensor, t: Tensor, s: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_s | x_t), default s = t - 1, from what is seen in x_t.

        Both broadcast to (B, ...). The mean is that of q(x_s | x_t, x0_hat).
        """
        mean, _ = q_posterior(self.schedule, prediction.x0_hat, x_t, t, s)
        return mean, log_posterior_variance(self.schedule, x_t, t, s)

    def prior(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(x_T), shaped like x_T: here those of N(0, I)."""
        return torch.zeros_like(x_T), torch.zeros_like(x_T)

    def decoder_log_prob(self, x0: Tensor, x_1: Tensor) -> Tensor:
        """Ln p(x_0 | x_1) in nats, (B,): here of a Gaussian cut into 256 bins.

        Takes one evaluation. Source: Ho et al. (2020), equation 13.
        """
        mean, log_variance = p_reverse(self, x_1, filled_like(x_1, 1))
        return discretized_normal_log_prob(x0, mean, log_variance).flatten(1).sum(1)

    def check_data(self, x0: Tensor) -> None:
        """Raise ValueError where p(x_0) is asked for an x_0 (B, ...) that it does not speak of."""
        if not len(x0) or x0.shape[1:] != self.shape:
            raise ValueError(
                f"x0 has shape {tuple(x0.shape)}: give {('B', *self.shape)}, with B at least 1"
            )
        if self.count not in (None, len(x0)):
            raise ValueError(
                f"the denoiser holds {self.count} labels: give one for each of the {len(x0)} images"
            )
        check_finite("x0", x0)
        if not is_on_256_levels(x0):
            raise ValueError(
                f"x0 (from {float(x0.min()):g} to {float(x0.max()):g}) is not on the 256 levels "
                f"-1, -1 + 2/255, ..., 1: the bound of resized, noisy or unscaled images means "
                f"nothing"
            )

    def rows(self, start: int, stop: int) -> Self:
        """The denoiser for samples start..stop - 1 of those for which it holds values."""
        return self

    def unclipped(self) -> "Denoiser":
        """The denoiser that sees the same, and cuts nothing off: what the score is read from."""
        return self


class HasDenoiser(Protocol):
    """A model, which gives a denoiser when it is asked for one."""

    def denoiser(self) -> Denoiser:
        """The denoiser of the model, with no label told."""


def as_denoiser(source: HasDenoiser | Denoiser) -> Denoiser:
    """The denoiser of a model; a denoiser stays what it is. Raises TypeError for anything else."""
    if hasattr(source, "rows"):  # a denoiser, whatever it may hold under the name of `denoiser`
        return cast(Denoiser, source)
    if not hasattr(source, "denoiser"):
        raise TypeError(
            f"{type(source).__name__} is neither a model nor a denoiser: give a DDPM, or what its "
            f"method denoiser() returns; of a DDPM that something wraps, give what is inside"
        )
    return source.denoiser()


def p_reverse(
    denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of p(x_s | x_t), default s = t - 1; both broadcast to (B, ...).

    x_t (B, ...), t and s int64 (B,), 0 <= s < t <= T. Takes one evaluation of the denoiser.
    Source: Ho et al. (2020), section 3.2.
    """
    return denoiser.reverse_given(denoiser(x_t, t), x_t, t, s)
