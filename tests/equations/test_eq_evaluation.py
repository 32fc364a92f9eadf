"""Chapter 11: the estimator of the bound, the Frechet distance, counts, and dequantised data."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from toys import log_normal, nodes_of_normal, number

from ddpm_tutorial import frechet_distance

# An uneven curve in the place of the denoising terms of t = 2..T, and K stretches that do not
# divide T - 1, so that some t lie in two of them.
T, K = 50, 4
TERMS = torch.exp(-torch.linspace(0, 3, T - 1).double()) + 0.1 * torch.arange(T - 1).double().cos()


def chances():
    """The probability that stretch k draws each t, (K, T - 1): by the overlap of intervals."""
    edges = torch.linspace(0, T - 1, K + 1, dtype=torch.float64)
    low, high = edges[:-1, None], edges[1:, None]
    start = torch.arange(T - 1).double()
    overlap = (torch.minimum(high, start + 1) - torch.maximum(low, start)).clamp(min=0)
    return overlap / (high - low)


@pytest.mark.equation("eq-stratified-mean")
def test_the_estimator_has_the_right_mean(claim):
    mean_of_each_draw = chances() @ TERMS
    printed = TERMS.sum()
    claim.equal((T - 1) / K * mean_of_each_draw.sum(), printed)
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(20_000, K, generator=generator, dtype=torch.float64)
    index = ((torch.arange(K) + u) * ((T - 1) / K)).floor().long()  # t - 2, as measure_bound draws
    claim.mean((T - 1) / K * TERMS[index].sum(1), printed)


@pytest.mark.equation("eq-stratified-variance")
def test_what_stretches_save(claim):
    """Both variances from the probabilities of t: of K free draws, and of one in each stretch."""
    everywhere = torch.ones(T - 1, dtype=torch.float64) / (T - 1)
    plain = ((T - 1) / K) ** 2 * K * (everywhere @ TERMS**2 - (everywhere @ TERMS) ** 2)
    m = chances() @ TERMS
    stratified = ((T - 1) / K) ** 2 * (chances() @ TERMS**2 - m**2).sum()
    printed = ((T - 1) / K) ** 2 * ((m - m.mean()) ** 2).sum()
    claim.equal(plain - stratified, printed)


def two_normals():
    generator = torch.Generator().manual_seed(0)
    mean_1, mean_2 = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    root_1, root_2 = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    one = torch.eye(4, dtype=torch.float64)
    return mean_1, root_1 @ root_1.T + 0.5 * one, mean_2, root_2 @ root_2.T + 0.5 * one


def root(matrix):
    return torch.tensor(np.real(scipy.linalg.sqrtm(matrix.numpy())))


@pytest.mark.equation("eq-frechet", code=[frechet_distance])
def test_the_distance_of_two_normals_is_the_cost_of_the_best_map(claim):
    """x -> mean_2 + A (x - mean_1) carries the first onto the second; with A symmetric and

    positive it is the gradient of a convex function, and so no map moves the mass for less.
    """
    mean_1, cov_1, mean_2, cov_2 = two_normals()
    half = root(cov_1)
    A = torch.linalg.solve(half, torch.linalg.solve(half, root(half @ cov_2 @ half)).T)
    assert torch.allclose(A, A.T)
    assert torch.allclose(A @ cov_1 @ A.T, cov_2)
    B = torch.eye(4).double() - A
    cost = (mean_1 - mean_2) @ (mean_1 - mean_2) + (B @ cov_1 @ B.T).trace()
    printed = ((mean_1 - mean_2) ** 2).sum() + (cov_1 + cov_2 - 2 * root(cov_1 @ cov_2)).trace()
    claim.equal(cost, printed)
    # Features that have exactly these means and covariances:
    noise = torch.randn(30, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = noise - noise.mean(0)
    white = noise @ torch.linalg.inv(torch.linalg.cholesky(noise.T.cov())).T
    one, two = (
        mean + white @ torch.linalg.cholesky(cov).T
        for mean, cov in [(mean_1, cov_1), (mean_2, cov_2)]
    )
    claim.equal(number(frechet_distance(one, two)), printed)


@pytest.mark.equation("eq-frechet-line")
def test_the_distance_on_a_line_compares_quantiles(claim):
    """The integral over u, with u = Phi(z), is an average over z ~ N(0, 1)."""
    mean_1, sigma_1, mean_2, sigma_2 = (number(value) for value in (0.4, 1.3, -0.7, 0.5))
    z, weights = nodes_of_normal(number(0.0), number(1.0), 20)
    upper = z.numpy() > 0
    levels = np.where(upper, scipy.stats.norm.sf(z), scipy.stats.norm.cdf(z))

    def quantiles(mean, sigma):
        high = scipy.stats.norm.isf(levels, mean, sigma)
        low = scipy.stats.norm.ppf(levels, mean, sigma)
        return torch.tensor(np.where(upper, high, low))

    apart = quantiles(mean_1, sigma_1) - quantiles(mean_2, sigma_2)
    printed = (mean_1 - mean_2) ** 2 + (sigma_1 - sigma_2) ** 2
    claim.equal(weights @ apart**2, printed)


@pytest.mark.equation("eq-frechet-means")
def test_what_finite_sets_add_to_the_distance_of_the_means(claim):
    mean_1, cov_1, mean_2, cov_2 = two_normals()
    N, M, repeats = 7, 12, 20_000
    generator = torch.Generator().manual_seed(0)

    def means(count, mean, cov):
        noise = torch.randn(repeats, count, 4, generator=generator, dtype=torch.float64)
        return (mean + noise @ torch.linalg.cholesky(cov).T).mean(1)

    apart = means(N, mean_1, cov_1) - means(M, mean_2, cov_2)
    printed = ((mean_1 - mean_2) ** 2).sum() + cov_1.trace() / N + cov_2.trace() / M
    claim.mean((apart**2).sum(1), printed)


@pytest.mark.equation("eq-frechet-bias")
def test_the_distance_of_two_sets_of_one_normal_on_a_line(claim):
    N, sigma, repeats = 6, number(1.4), 100_000
    noise = torch.randn(2, repeats, N, generator=torch.Generator().manual_seed(0)).double()
    one, two = 0.3 + sigma * noise
    distance = (one.mean(1) - two.mean(1)) ** 2 + (one.std(1) - two.std(1)) ** 2
    c = math.sqrt(2 / (N - 1)) * math.exp(math.lgamma(N / 2) - math.lgamma((N - 1) / 2))
    printed = 2 * sigma**2 / N + 2 * sigma**2 * (1 - c**2)
    claim.mean(distance, printed)


@pytest.mark.equation("eq-chi-square")
def test_the_mean_of_chi_square(claim):
    """For N draws of C kinds, balanced or not; the statistic is that of scipy."""
    N, C, repeats = 60, 4, 20_000
    p = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(p, N * repeats, replacement=True, generator=generator)
    counts = torch.nn.functional.one_hot(drawn.view(repeats, N), C).sum(1)
    statistic = scipy.stats.chisquare(counts.numpy(), (N * p).numpy(), axis=1).statistic
    printed = number(C - 1.0)
    claim.mean(torch.tensor(statistic), printed)


def log_mixture(y):
    """A density on the line with two humps, one narrow: ln p(y)."""
    return torch.logaddexp(
        math.log(0.3) + log_normal(y, number(0.2), 0.09),
        math.log(0.7) + log_normal(y, number(1.5), 1.0),
    )


def legendre(count=200):
    points, weights = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(count))
    return (points + 1) / 2, weights / 2


@pytest.mark.equation("eq-dequantised")
def test_what_uniform_noise_costs(claim):
    """P by the distribution function, the rest by quadrature over u in [0, 1)."""
    x = torch.arange(-2, 4).double()
    P = sum(
        weight * torch.tensor(np.diff(scipy.stats.norm.cdf(np.stack([x, x + 1]), m, s), axis=0)[0])
        for weight, m, s in [(0.3, 0.2, 0.3), (0.7, 1.5, 1.0)]
    )
    u, weights = legendre()
    log_p = log_mixture(x[:, None] + u)
    given_level = log_p - torch.log(log_p.exp() @ weights)[:, None]  # ln p(u | x)
    divergence = -(given_level @ weights)  # KL(uniform || p(u | x)), since ln 1 = 0
    printed = log_p @ weights + divergence
    claim.equal(torch.log(P), printed)
    claim.at_least(torch.log(P), log_p @ weights)


@pytest.mark.equation("eq-density-bits")
def test_bits_from_a_density_of_pixels_between_0_and_1(claim):
    """By the change of variables y = (x + u) / 256, done by torch.distributions."""
    D = 5
    scaled = torch.rand(3, D, generator=torch.Generator().manual_seed(0)).double()  # y
    density = torch.distributions.Beta(number(2.0), number(3.0))
    stretch = torch.distributions.AffineTransform(0.0, 256.0)
    of_levels = torch.distributions.TransformedDistribution(density, [stretch])
    bits = -of_levels.log_prob(256 * scaled).sum(1) / (D * math.log(2))
    log_p = density.log_prob(scaled).sum(1)
    printed = 8 - log_p / (D * math.log(2))
    claim.equal(bits, printed)
