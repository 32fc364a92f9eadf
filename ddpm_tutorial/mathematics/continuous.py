"""Continuous time: the drift of the way back, and the bound as an integral over the SNR.

Time is u = t / T in [0, 1]. A chain of ever shorter steps becomes the stochastic differential
equation dx = -beta(u) x / 2 du + sqrt(beta(u)) dw, with alpha_bar(u) = exp(-integral of beta).
"""

import torch
from torch import Tensor

__all__ = [
    "bound_integral",
    "bound_sum",
    "reverse_drift",
]


def reverse_drift(x: Tensor, slope: Tensor, beta: float | Tensor, eta: float = 1.0) -> Tensor:
    """How fast the mean of x moves as u falls, per unit of u, shaped like x (B, ...).

        1 / 2 beta (x + (1 + eta^2) slope)

    `slope` is the score of q at x and u, `beta` > 0 the rate there. With fresh noise of variance
    eta^2 beta per unit of u beside it, every eta >= 0 has the marginals of the forward process:
    eta = 1 is the reverse process, eta = 0 the probability flow. Source: Anderson (1982); Song et
    al. (2021, SDE), equations 6 and 13.
    """
    return 0.5 * beta * (x + (1 + eta**2) * slope)


def bound_sum(snr: Tensor, error: Tensor) -> Tensor:
    """The denoising terms of a chain, from the error of its guess of x_0 at each t, in nats.

    `snr` and `error` (squared, summed over dimensions, averaged) are tables of length T + 1,
    indexed by t; entries 0 are not used. The reverse variance is that of the posterior. Source:
    Kingma et al. (2021), section 4.
    """
    return 0.5 * (-snr[1:].diff() * error[2:]).sum()


def bound_integral(snr: Tensor, error: Tensor) -> Tensor:
    """What `bound_sum` tends to as the steps shrink: half the integral of the error over the SNR.

    Takes the same tables; the trapezoid rule, in the logarithm of the SNR. Source: Kingma et al.
    (2021), section 5.1.
    """
    return -0.5 * torch.trapezoid(snr[1:] * error[1:], snr[1:].log())
