import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from ddpm_tutorial import discretized_normal_log_prob, kl_normal
from ddpm_tutorial.gaussian import is_on_256_levels, normal_entropy, normal_log_prob

LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1
MEANS = st.floats(-3, 3)
LOG_VARIANCES = st.floats(-12, 4)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random_gaussians(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """x, mean and log-variance, (7, 5) each."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    return draws[0], 2 * draws[1], 3 * draws[2]


# Densities, entropy, KL


def test_log_density_agrees_with_torch_and_scipy() -> None:
    x, mean, log_variance = random_gaussians(0)
    sigma = (0.5 * log_variance).exp()
    ours = normal_log_prob(x, mean, log_variance)
    torch.testing.assert_close(ours, Normal(mean, sigma).log_prob(x), rtol=1e-12, atol=1e-12)
    theirs = torch.from_numpy(scipy.stats.norm.logpdf(x, mean, sigma))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_entropy_agrees_with_torch_and_scipy() -> None:
    _, _, log_variance = random_gaussians(1)
    sigma = (0.5 * log_variance).exp()
    ours = normal_entropy(log_variance)
    theirs = Normal(torch.zeros_like(sigma), sigma).entropy()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    theirs = torch.from_numpy(scipy.stats.norm.entropy(scale=sigma))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_kl_agrees_with_torch() -> None:
    _, mean_1, log_variance_1 = random_gaussians(2)
    _, mean_2, log_variance_2 = random_gaussians(3)
    theirs = kl_divergence(
        Normal(mean_1, (0.5 * log_variance_1).exp()), Normal(mean_2, (0.5 * log_variance_2).exp())
    )
    ours = kl_normal(mean_1, log_variance_1, mean_2, log_variance_2)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_kl_agrees_with_numerical_integration() -> None:
    mean_1, log_variance_1, mean_2, log_variance_2 = tensor(0.4, -1.3, -0.2, 0.7)
    x = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    log_p, log_q = (
        normal_log_prob(x, mean_1, log_variance_1),
        normal_log_prob(x, mean_2, log_variance_2),
    )
    integral = torch.trapezoid(log_p.exp() * (log_p - log_q), x)
    ours = kl_normal(mean_1, log_variance_1, mean_2, log_variance_2)
    torch.testing.assert_close(ours, integral, rtol=1e-10, atol=0)


@given(mean_1=MEANS, log_variance_1=LOG_VARIANCES, mean_2=MEANS, log_variance_2=LOG_VARIANCES)
def test_kl_is_positive_between_different_gaussians_and_zero_for_equals(
    mean_1: float, log_variance_1: float, mean_2: float, log_variance_2: float
) -> None:
    one, two = (tensor(mean_1), tensor(log_variance_1)), (tensor(mean_2), tensor(log_variance_2))
    kl = float(kl_normal(*one, *two))
    assert kl >= -1e-15
    if abs(mean_1 - mean_2) > 1e-6 or abs(log_variance_1 - log_variance_2) > 1e-6:
        assert kl > 0
    assert float(kl_normal(*one, *one)) == 0


def test_kl_keeps_its_digits_between_nearly_equal_variances() -> None:
    for difference in (1e-3, 1e-5, 1e-7):
        with mpmath.workdps(50):
            r = mpmath.mpf(difference)
            exact = float((mpmath.exp(r) - 1 - r) / 2)
        ours = kl_normal(tensor(0), tensor(difference), tensor(0), tensor(0))
        # expm1(r) - r still subtracts two numbers of size r to get r ** 2 / 2.
        assert float(ours) == pytest.approx(exact, rel=1e-15 / difference, abs=0)


def test_arguments_broadcast() -> None:
    x, mean, log_variance = random_gaussians(4)
    column, row, zero = mean[:, :1], log_variance[:1], torch.zeros(())
    expected = normal_log_prob(x, column.expand_as(x), row.expand_as(x))
    torch.testing.assert_close(normal_log_prob(x, column, row), expected, rtol=0, atol=0)
    expected = kl_normal(
        column.expand_as(x), row.expand_as(x), torch.zeros_like(x), torch.zeros_like(x)
    )
    torch.testing.assert_close(kl_normal(column, row, zero, zero), expected, rtol=0, atol=0)
    level = LEVELS[[0, 3, 100, 200, 255]]
    expected = discretized_normal_log_prob(
        level.expand_as(x), column.expand_as(x), row.expand_as(x)
    )
    ours = discretized_normal_log_prob(level, column, row)
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)


# The 256-bin likelihood


def exact_bin_log_prob(level: int, mean: float, log_variance: float) -> float:
    """ln of the bin's probability with 60 digits, by the definition."""
    with mpmath.workdps(60):
        center, sigma = mpmath.mpf(2 * level - 255) / 255, mpmath.exp(mpmath.mpf(log_variance) / 2)
        scale = sigma * mpmath.sqrt(2)
        # erfc of a positive argument is a tail, and keeps all its digits; ncdf does not.
        lower = (center - mpmath.mpf(1) / 255 - mpmath.mpf(mean)) / scale
        upper = (center + mpmath.mpf(1) / 255 - mpmath.mpf(mean)) / scale
        lower = -mpmath.inf if level == 0 else lower
        upper = mpmath.inf if level == 255 else upper
        if lower + upper > 0 or level == 255:
            inside = mpmath.erfc(lower) - mpmath.erfc(upper)
        else:
            inside = mpmath.erfc(-upper) - mpmath.erfc(-lower)
        return float(mpmath.log(inside / 2))


@given(mean=MEANS, log_variance=LOG_VARIANCES)
def test_the_256_probabilities_sum_to_1(mean: float, log_variance: float) -> None:
    log_prob = discretized_normal_log_prob(LEVELS, tensor(mean), tensor(log_variance))
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-10)
    single = discretized_normal_log_prob(
        LEVELS.float(), torch.tensor([mean]), torch.tensor([log_variance])
    )
    # float32 rounds the levels to 6e-8, which a narrow Gaussian (sigma = 0.0025) feels as 2e-5.
    assert single.exp().sum().item() == pytest.approx(1, abs=1e-3)


@given(mean=st.floats(-1.5, 1.5), log_variance=st.floats(-9, 2))
def test_bins_are_differences_of_the_normal_distribution_function(
    mean: float, log_variance: float
) -> None:
    normal = scipy.stats.norm(mean, np.exp(log_variance / 2))
    edges = np.concatenate([[-np.inf], (np.arange(255) * 2 - 254) / 255, [np.inf]])
    expected = torch.from_numpy(np.diff(normal.cdf(edges)))
    ours = discretized_normal_log_prob(LEVELS, tensor(mean), tensor(log_variance)).exp()
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("mean", [-2.0, -0.999, -0.3, 0.0, 0.1, 1.0, 1.7])
@pytest.mark.parametrize("log_variance", [-9.0, -4.0, 0.0, 3.0])
def test_bins_are_exact_also_far_out_in_the_tails(mean: float, log_variance: float) -> None:
    """With sigma = 0.011 the levels lie up to 270 sigma from the mean: ln p near -36000."""
    levels = [0, 1, 40, 127, 128, 129, 200, 254, 255]
    expected = tensor(*(exact_bin_log_prob(level, mean, log_variance) for level in levels))
    ours = discretized_normal_log_prob(LEVELS[levels], tensor(mean), tensor(log_variance))
    torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-11)
    single = discretized_normal_log_prob(
        LEVELS[levels].float(), torch.tensor([mean]), torch.tensor([log_variance])
    )
    torch.testing.assert_close(single.double(), expected, rtol=2e-4, atol=2e-4)


def test_a_level_50_sigma_away_costs_1250_nats() -> None:
    sigma = 0.02
    for level, mean in [(255, 1 - 50 * sigma), (0, -1 + 50 * sigma), (200, LEVELS[200] + 1)]:
        ours = discretized_normal_log_prob(LEVELS[level], tensor(mean), 2 * tensor(sigma).log())
        exact = exact_bin_log_prob(level, float(mean), float(2 * tensor(sigma).log()))
        assert float(ours) == pytest.approx(exact, rel=1e-12)
        assert float(ours) < -1230


@given(mean=st.floats(-1.2, 1.2), log_variance=st.floats(-9, 2))
def test_mirrored_levels_under_a_mirrored_mean_are_equally_likely(
    mean: float, log_variance: float
) -> None:
    right = discretized_normal_log_prob(LEVELS, tensor(mean), tensor(log_variance))
    left = discretized_normal_log_prob(-LEVELS, tensor(-mean), tensor(log_variance))
    torch.testing.assert_close(right, left, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_variance", [-10.0, -4.0, 0.0, 4.0])
def test_gradients_are_finite_and_pull_the_mean_towards_the_level(
    dtype: torch.dtype, log_variance: float
) -> None:
    levels = LEVELS[[0, 1, 100, 254, 255]].to(dtype)
    for mean in (-2.0, -1.0, 0.05, 1.0, 2.0):
        at = torch.full_like(levels, mean, requires_grad=True)
        width = torch.full_like(levels, log_variance, requires_grad=True)
        log_prob = discretized_normal_log_prob(levels, at, width)
        gradients = torch.autograd.grad(log_prob.sum(), (at, width))
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)
        far = (levels - mean).abs() > 0.1
        assert (gradients[0] * (levels - mean) >= 0)[far].all()


def test_gradients_agree_with_finite_differences() -> None:
    levels = LEVELS[[0, 1, 100, 254, 255]]
    mean = tensor(-0.97, -0.9, 0.3, 0.9, 0.97).requires_grad_()
    log_variance = tensor(-5, -8, -3, -6, -7).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda m, lv: discretized_normal_log_prob(levels, m, lv), (mean, log_variance)
    )


def test_all_256_levels_are_on_the_levels_in_both_precisions() -> None:
    assert is_on_256_levels(LEVELS)
    assert is_on_256_levels(LEVELS.float())
    assert is_on_256_levels((torch.arange(256) / 255).mul(2).sub(1))


@pytest.mark.parametrize(
    "off", [0.0, 0.003, 1 + 2 / 255, -1 - 2 / 255, 3.0, float("nan"), float("inf")]
)
def test_one_entry_off_the_levels_is_noticed(off: float) -> None:
    images = LEVELS.clone()
    images[77] = off
    assert not is_on_256_levels(images)
