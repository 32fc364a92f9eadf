"""Diagonal Gaussians: densities, entropy, KL divergence and the 256-bin image likelihood.

Everything here is elementwise and in nats; the caller sums over dimensions, and turns the sum into
bits per dimension at the edge, if at all.
"""

import math

import torch
from torch import Tensor

__all__ = [
    "LOG_2_PI",
    "discretized_normal_log_prob",
    "grey_levels",
    "is_on_256_levels",
    "kl_normal",
    "normal_entropy",
    "normal_log_prob",
    "to_bits_per_dim",
]

LOG_2_PI = math.log(2 * math.pi)  #: ln(2 pi), of every normal density


def normal_log_prob(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-density of N(mean, exp(log_variance)) at x, in nats, elementwise.

        -1 / 2 (ln(2 pi variance) + (x - mean)^2 / variance)

    The three arguments broadcast against each other.
    """
    return -0.5 * (LOG_2_PI + log_variance + (x - mean).square() * torch.exp(-log_variance))


def normal_entropy(log_variance: Tensor) -> Tensor:
    """Differential entropy of a Gaussian from the logarithm of its variance.

        1 / 2 (1 + ln(2 pi variance))

    In nats, elementwise.
    """
    return 0.5 * (1 + LOG_2_PI + log_variance)


def kl_normal(
    mean_1: Tensor, log_variance_1: Tensor, mean_2: Tensor, log_variance_2: Tensor
) -> Tensor:
    """The divergence KL(N_1 || N_2) of two Gaussians, in nats, elementwise.

        1 / 2 (r - 1 - ln(r) + (mean_1 - mean_2)^2 / variance_2)

    where r is variance_1 divided by variance_2. The four arguments broadcast against each other. At
    least 0 up to rounding, and 0 only for equal arguments. Source: Kingma and Welling (2014),
    appendix B.
    """
    log_ratio = log_variance_1 - log_variance_2
    # expm1(r) - r keeps its digits where the variances nearly agree; exp(r) - 1 - r does not.
    return 0.5 * (
        torch.expm1(log_ratio) - log_ratio + (mean_1 - mean_2).square() * torch.exp(-log_variance_2)
    )


def discretized_normal_log_prob(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-probability of the grey level x under a Gaussian cut into 256 bins, in nats, elementwise.

    x is one of the 256 levels -1, -1 + 2/255, ..., 1 (see `is_on_256_levels`). A level's bin
    reaches half a level to each side; the two outer bins reach to infinity, so the 256
    probabilities sum to 1. No floor is applied: a level far from the mean really costs that much.
    Source: Ho et al. (2020), equation 13.
    """
    inverse_sigma = torch.exp(-0.5 * log_variance)
    lower = (x - mean - 1 / 255) * inverse_sigma
    upper = (x - mean + 1 / 255) * inverse_sigma
    # Mirror bins right of the mean: in the left tail log Phi keeps its relative precision.
    mirrored = lower + upper > 0
    lower, upper = torch.where(mirrored, -upper, lower), torch.where(mirrored, -lower, upper)
    leftmost, rightmost = x < -1 + 1 / 255, x > 1 - 1 / 255
    open_left = torch.where(mirrored, rightmost, leftmost)
    open_right = torch.where(mirrored, leftmost, rightmost)

    log_upper = torch.special.log_ndtr(upper)
    log_lower = torch.special.log_ndtr(lower)
    # log(Phi(upper) - Phi(lower)) without ever leaving the logarithm. The open bins are set
    # aside before the subtraction, so that they send no NaN into a gradient.
    closed = ~(open_left | open_right)
    gap = torch.where(closed, log_lower - log_upper, torch.full_like(log_upper, -1.0))
    log_inside = log_upper + torch.log(-torch.expm1(gap))
    return torch.where(
        open_left,
        log_upper,
        torch.where(open_right, torch.special.log_ndtr(-lower), log_inside),
    )


def grey_levels(like: Tensor) -> Tensor:
    """The 256 grey levels of an image in [-1, 1], (256,), of the dtype and device of `like`."""
    return torch.arange(256, dtype=like.dtype, device=like.device) / 127.5 - 1


def is_on_256_levels(x: Tensor) -> bool:
    """Whether every entry of x is one of the levels -1, -1 + 2/255, ..., 1 (to 1e-4 of a level)."""
    levels = (x.cpu().double() + 1) * 127.5  # MPS has no float64
    on_a_level = (levels - levels.round()).abs() < 1e-4
    return bool((on_a_level & (levels > -0.5) & (levels < 255.5)).all())


def to_bits_per_dim(nats: Tensor, dimensions: int) -> Tensor:
    """Nats for a whole example to bits for each of its `dimensions`."""
    return nats / (dimensions * math.log(2))
