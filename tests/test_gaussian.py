import math

import mpmath
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from ddpm_tutorial import (
    discretized_normal_log_prob,
    is_on_256_levels,
    kl_normal,
    normal_entropy,
    normal_log_prob,
)

LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1
means = st.floats(-3, 3)
log_variances = st.floats(-12, 4)


def tensors(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@given(means, log_variances, means, log_variances)
def test_kl_density_and_entropy_equal_torch_distributions(mean_1, log_var_1, mean_2, log_var_2):
    mean_1, log_var_1, mean_2, log_var_2 = tensors(mean_1, log_var_1, mean_2, log_var_2)
    p = Normal(mean_1, torch.exp(0.5 * log_var_1))
    q = Normal(mean_2, torch.exp(0.5 * log_var_2))
    kl = kl_normal(mean_1, log_var_1, mean_2, log_var_2)
    torch.testing.assert_close(kl, kl_divergence(p, q), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(
        normal_log_prob(mean_2, mean_1, log_var_1), p.log_prob(mean_2), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(normal_entropy(log_var_1), p.entropy(), rtol=1e-12, atol=1e-12)


def test_elementwise_over_a_broadcast_shape():
    mean = torch.randn(3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_variance = torch.linspace(-2, 2, 4, dtype=torch.float64)
    expected = scipy.stats.norm.logpdf(0.3, mean, torch.exp(0.5 * log_variance))
    actual = normal_log_prob(torch.tensor(0.3, dtype=torch.float64), mean, log_variance)
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=1e-12, atol=1e-12)


@given(means, log_variances, means, log_variances)
def test_kl_is_positive_and_zero_only_for_equals(mean_1, log_var_1, mean_2, log_var_2):
    same = kl_normal(*tensors(mean_1, log_var_1, mean_1, log_var_1))
    assert same == 0
    kl = kl_normal(*tensors(mean_1, log_var_1, mean_2, log_var_2))
    assert kl >= 0
    if abs(mean_1 - mean_2) > 1e-3 or abs(log_var_1 - log_var_2) > 1e-3:
        assert kl > 0


@given(st.floats(-1.5, 1.5), log_variances)
def test_the_256_probabilities_sum_to_one(mean, log_variance):
    log_prob = discretized_normal_log_prob(LEVELS, *tensors(mean, log_variance))
    assert float(log_prob.exp().sum()) == pytest.approx(1, abs=1e-12)


@given(st.floats(-1.2, 1.2), st.floats(-8, 2))
def test_each_bin_equals_the_difference_of_two_distribution_functions(mean, log_variance):
    log_prob = discretized_normal_log_prob(LEVELS, *tensors(mean, log_variance))
    edges = (torch.arange(257, dtype=torch.float64) - 0.5) / 127.5 - 1
    edges[0], edges[-1] = -math.inf, math.inf
    cdf = scipy.stats.norm.cdf(edges, mean, math.exp(0.5 * log_variance))
    expected = torch.tensor(cdf[1:] - cdf[:-1])
    # 1e-15: what is left of the digits when two numbers near 1 are subtracted.
    torch.testing.assert_close(log_prob.exp(), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("level", [0, 1, 100, 254, 255])
@pytest.mark.parametrize("sigma", [0.004, 0.02])
def test_far_tails_are_exact_and_have_no_floor(level, sigma):
    """Compared with 60-digit arithmetic, up to hundreds of standard deviations away."""
    mean = 0.9 if level < 128 else -0.9
    with mpmath.workdps(60):
        lower = -mpmath.inf if level == 0 else (level - mpmath.mpf(1) / 2) / 127.5 - 1
        upper = mpmath.inf if level == 255 else (level + mpmath.mpf(1) / 2) / 127.5 - 1

        def tail(edge):  # the upper tail, which keeps its digits
            return mpmath.erfc((edge - mean) / (mpmath.sqrt(2) * sigma)) / 2

        def head(edge):
            return mpmath.erfc((mean - edge) / (mpmath.sqrt(2) * sigma)) / 2

        p = tail(lower) - tail(upper) if level > 128 else head(upper) - head(lower)
        expected = float(mpmath.log(p))
    actual = discretized_normal_log_prob(LEVELS[level], *tensors(mean, 2 * math.log(sigma)))
    assert float(actual) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_everywhere(dtype):
    x = LEVELS.to(dtype).repeat(3)
    mean = torch.tensor([-1.0, 0.2, 1.0], dtype=dtype).repeat_interleave(256).requires_grad_()
    log_variance = torch.full_like(mean, -9.0, requires_grad=True)
    discretized_normal_log_prob(x, mean, log_variance).sum().backward()
    assert mean.grad.isfinite().all()
    assert log_variance.grad.isfinite().all()


def test_float32_still_sums_to_one():
    log_prob = discretized_normal_log_prob(LEVELS.float(), torch.tensor(0.1), torch.tensor(-6.0))
    assert float(log_prob.exp().sum()) == pytest.approx(1, abs=1e-5)


def test_levels_are_recognised():
    assert is_on_256_levels(LEVELS)
    assert is_on_256_levels(LEVELS.float())
    for wrong in (LEVELS[3] + 0.001, LEVELS[-1] + 2 / 255, LEVELS[0] - 2 / 255):
        assert not is_on_256_levels(torch.stack([LEVELS[7], wrong]))
