"""Chapter 15: what three of the mistakes do, in formulas."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from toys import nodes_of_normal, number

from ddpm_tutorial import NoiseSchedule, kl_normal, q_marginal

SCHEDULE = NoiseSchedule.cosine(40)


@pytest.mark.equation("eq-mistake-variance", latex="f38d8e81", code=[q_marginal])
def test_variance_of_x_t_when_the_variance_itself_is_a_root(claim):
    """Noise with the standard deviation that a variance of sqrt(1 - alpha_bar) asks for."""
    variance_of_data = number(0.37)
    x0, weights_x0 = nodes_of_normal(number(0.3), variance_of_data, 8)
    eps, weights_eps = nodes_of_normal(number(0.0), number(1.0), 8)
    pairs = weights_x0[:, None] * weights_eps
    for step in range(1, 41):
        printed = claim.printed(alpha_bar=SCHEDULE.alpha_bar, t=step, v=variance_of_data)
        mean, variance = q_marginal(SCHEDULE, x0, torch.full((8,), step))
        x_t = mean[:, None] + variance.sqrt().sqrt()[:, None] * eps  # the root of the root
        first = (pairs * x_t).sum()
        claim.equal((pairs * (x_t - first) ** 2).sum(), printed)


@pytest.mark.equation("eq-mistake-log-variance", latex="d93ed350", code=[kl_normal])
def test_divergence_when_a_variance_is_taken_for_its_logarithm(claim):
    m, v = torch.linspace(-0.4, 0.5, 7).double(), torch.linspace(0.2, 1.3, 7).double()
    printed = claim.printed(v=v, m=m)
    oracle = kl_divergence(Normal(m, (v / 2).exp()), Normal(number(0.0), number(1.0)))
    claim.equal(oracle, printed)
    claim.equal(kl_normal(m, v, number(0.0), number(0.0)), printed)


@pytest.mark.equation("eq-mistake-float32", latex="82e15396")
def test_largest_relative_error_of_a_small_beta_in_float32(claim):
    """Reached where 1 - beta lies half-way between two float32 numbers."""
    spacing = 2.0**-24  # of the float32 numbers between 1/2 and 1
    beta = (torch.arange(1000, 1005).double() + 0.5) * spacing
    stored = (1 - beta).float().double()
    printed = claim.printed(beta_1=beta)
    claim.equal(((1 - stored) - beta).abs() / beta, printed)
    others = beta + 0.3 * spacing
    stored = (1 - others).float().double()
    claim.at_least(2.0**-25 / others, ((1 - stored) - others).abs() / others)
