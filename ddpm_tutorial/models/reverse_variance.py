"""Reverse variances: how far apart the draws of p(x_s | x_t) lie, as one object for each choice."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ddpm_tutorial.mathematics.forward import (
    Prediction,
    log_posterior_variance,
    q_posterior,
    q_transition,
)
from ddpm_tutorial.mathematics.schedule import NoiseSchedule

__all__ = [
    "REVERSE_VARIANCES",
    "LargeVariance",
    "LearnedVariance",
    "MatchedVariance",
    "ReverseVariance",
    "SmallVariance",
]


class ReverseVariance(ABC):
    """The log-variance of p(x_s | x_t), and what it takes to know it.

    `name` is the word for it. `outputs` is how many more output channels it needs of the network,
    for each channel of the image; `learned` whether the bound has to teach it; `needs_distribution`
    whether it is made for a prediction that is a distribution of x_0, and for no other.
    """

    name: str
    outputs = 0
    learned = False
    needs_distribution = False

    @abstractmethod
    def log_variance(
        self, schedule: NoiseSchedule, seen: Prediction, x_t: Tensor, t: Tensor, s: Tensor
    ) -> Tensor:
        """Log of the variance, which broadcasts with x_t (B, ...); t and s int64 (B,), s < t.

        `seen` is what was seen in x_t. At s = 0, where a variance may be 0, its value at s = 1
        stands in. Raises ValueError where `seen` does not say what is needed.
        """


class SmallVariance(ReverseVariance):
    """That of q(x_s | x_t, x_0). Source: Ho et al. (2020), section 3.2."""

    name = "small"

    def log_variance(
        self, schedule: NoiseSchedule, seen: Prediction, x_t: Tensor, t: Tensor, s: Tensor
    ) -> Tensor:
        """Ln of beta-tilde, for any stride t - s."""
        return log_posterior_variance(schedule, x_t, t, s)


class LargeVariance(ReverseVariance):
    """That of q(x_t | x_s). Source: Ho et al. (2020), section 3.2."""

    name = "large"

    def log_variance(
        self, schedule: NoiseSchedule, seen: Prediction, x_t: Tensor, t: Tensor, s: Tensor
    ) -> Tensor:
        """Ln of beta, for any stride t - s."""
        return q_transition(schedule, x_t, t, s)[1].log()


class LearnedVariance(ReverseVariance):
    """Between the small and the large one on a log scale, at each entry where the network says.

    Source: Nichol and Dhariwal (2021), equation 15.
    """

    name = "learned"
    outputs = 1
    learned = True

    def fraction(self, seen: Prediction) -> Tensor:
        """The place between small (0) and large (1), (B, ...)."""
        if seen.variance_output is None:
            raise ValueError(
                'the variance "learned" needs a model that was trained with it: choose another'
            )
        return (seen.variance_output + 1) / 2

    def log_variance(
        self, schedule: NoiseSchedule, seen: Prediction, x_t: Tensor, t: Tensor, s: Tensor
    ) -> Tensor:
        """The weighted mean of the two logarithms."""
        large = q_transition(schedule, x_t, t, s)[1].log()
        small = log_posterior_variance(schedule, x_t, t, s)
        fraction = self.fraction(seen)
        return fraction * large + (1 - fraction) * small


class MatchedVariance(ReverseVariance):
    """That of q(x_s | x_t, x_0), averaged over the x_0 that a distribution leaves open.

    With it, p(x_s | x_t) has the mean and the variance of that mixture. Source: Bao et al. (2022),
    theorem 1.
    """

    name = "matched"
    learned = True
    needs_distribution = True

    def log_variance(
        self, schedule: NoiseSchedule, seen: Prediction, x_t: Tensor, t: Tensor, s: Tensor
    ) -> Tensor:
        """Ln of beta-tilde, plus what x_0, known as a distribution only, adds."""
        if seen.x0_variance is None:
            raise ValueError(
                'the variance "matched" needs a prediction of x_0 as a distribution: choose another'
            )
        small = log_posterior_variance(schedule, x_t, t, s)
        # At t = 1 as at t = 2, like log_posterior_variance: the decoder takes over there.
        t, s = t.clamp(min=2), s.clamp(min=1)
        weight_x0, _ = q_posterior(schedule, torch.ones_like(x_t), torch.zeros_like(x_t), t, s)
        return small + torch.log1p(weight_x0.square() * seen.x0_variance * torch.exp(-small))


#: The reverse variances by their words.
REVERSE_VARIANCES: dict[str, ReverseVariance] = {
    one.name: one
    for one in (SmallVariance(), LargeVariance(), LearnedVariance(), MatchedVariance())
}
