"""Chapter 13: the estimator of the bound, the Frechet distance, counts, and dequantised data."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from toys import kl, log_normal, nodes_of_normal, number

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


@pytest.mark.equation("eq-stratified-mean", latex="ebe1bdb6")
def test_the_estimator_has_the_right_mean(claim):
    mean_of_each_draw = chances() @ TERMS
    printed = claim.printed(L=torch.cat([torch.full((2,), torch.nan).double(), TERMS]), T=T)
    claim.equal((T - 1) / K * mean_of_each_draw.sum(), printed)
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(20_000, K, generator=generator, dtype=torch.float64)
    index = ((torch.arange(K) + u) * ((T - 1) / K)).floor().long()  # t - 2, as measure_bound draws
    claim.mean((T - 1) / K * TERMS[index].sum(1), printed)


@pytest.mark.equation("eq-stratified-variance", latex="9cd20a4b")
def test_what_stretches_save(claim):
    """Both variances from the probabilities of t: of K free draws, and of one in each stretch."""
    everywhere = torch.ones(T - 1, dtype=torch.float64) / (T - 1)
    plain = ((T - 1) / K) ** 2 * K * (everywhere @ TERMS**2 - (everywhere @ TERMS) ** 2)
    m = chances() @ TERMS
    stratified = ((T - 1) / K) ** 2 * (chances() @ TERMS**2 - m**2).sum()
    from_1 = torch.cat([number(math.nan)[None], m])
    printed = claim.printed(m=from_1, m_bar=m.mean(), T=T, K=K)
    claim.equal(plain - stratified, printed)


def two_normals():
    generator = torch.Generator().manual_seed(0)
    mean_1, mean_2 = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    root_1, root_2 = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    one = torch.eye(4, dtype=torch.float64)
    return mean_1, root_1 @ root_1.T + 0.5 * one, mean_2, root_2 @ root_2.T + 0.5 * one


def root(matrix):
    return torch.tensor(np.real(scipy.linalg.sqrtm(matrix.numpy())))


@pytest.mark.equation("eq-frechet", latex="dcf28c6e", code=[frechet_distance])
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
    traces = {  # the trace is linear
        r"\operatorname{tr}": 1,
        r"(\boldsymbol\Sigma_1 \boldsymbol\Sigma_2)^{1/2}": root(cov_1 @ cov_2).trace(),
        r"\boldsymbol\Sigma_1": cov_1.trace(),
        r"\boldsymbol\Sigma_2": cov_2.trace(),
    }
    printed = claim.printed(traces, mu_1=mean_1, mu_2=mean_2)
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


@pytest.mark.equation("eq-frechet-line", latex="60a19e21")
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
    printed = claim.printed(mu_1=mean_1, mu_2=mean_2, sigma_1=sigma_1, sigma_2=sigma_2)
    claim.equal(weights @ apart**2, printed)


@pytest.mark.equation("eq-frechet-means", latex="ddd0eb57")
def test_what_finite_sets_add_to_the_distance_of_the_means(claim):
    mean_1, cov_1, mean_2, cov_2 = two_normals()
    N, M, repeats = 7, 12, 20_000
    generator = torch.Generator().manual_seed(0)

    def means(count, mean, cov):
        noise = torch.randn(repeats, count, 4, generator=generator, dtype=torch.float64)
        return (mean + noise @ torch.linalg.cholesky(cov).T).mean(1)

    apart = means(N, mean_1, cov_1) - means(M, mean_2, cov_2)
    traces = {
        r"\operatorname{tr} \boldsymbol\Sigma_1": cov_1.trace(),
        r"\operatorname{tr} \boldsymbol\Sigma_2": cov_2.trace(),
    }
    printed = claim.printed(traces, mu_1=mean_1, mu_2=mean_2, N=N, M=M)
    claim.mean((apart**2).sum(1), printed)


@pytest.mark.equation("eq-frechet-bias", latex="f3a1200f")
def test_the_distance_of_two_sets_of_one_normal_on_a_line(claim):
    N, sigma, repeats = 6, number(1.4), 100_000
    noise = torch.randn(2, repeats, N, generator=torch.Generator().manual_seed(0)).double()
    one, two = 0.3 + sigma * noise
    distance = (one.mean(1) - two.mean(1)) ** 2 + (one.std(1) - two.std(1)) ** 2
    c = math.sqrt(2 / (N - 1)) * math.exp(math.lgamma(N / 2) - math.lgamma((N - 1) / 2))
    printed = claim.printed(N=N, sigma=sigma, c_N=c)
    claim.mean(distance, printed)


@pytest.mark.equation("eq-chi-square", latex="119d3986")
def test_the_mean_of_chi_square(claim):
    """For N draws of C kinds, balanced or not; the statistic is that of scipy."""
    N, C, repeats = 60, 4, 20_000
    p = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(p, N * repeats, replacement=True, generator=generator)
    counts = torch.nn.functional.one_hot(drawn.view(repeats, N), C).sum(1)
    statistic = scipy.stats.chisquare(counts.numpy(), (N * p).numpy(), axis=1).statistic
    printed = claim.printed(C=C)
    claim.equal(claim.printed(side=1, p=torch.cat([p[:1], p]), C=C), printed)
    claim.mean(torch.tensor(statistic), printed)


def log_mixture(y):
    """A density on the line with two humps, one narrow: ln p(y)."""
    return torch.logaddexp(
        math.log(0.3) + log_normal(y, number(0.2), 0.09),
        math.log(0.7) + log_normal(y, number(1.5), 1.0),
    )


def mixture_below(y):
    """The distribution function of that density."""
    return 0.3 * torch.special.ndtr((y - 0.2) / 0.3) + 0.7 * torch.special.ndtr(y - 1.5)


def legendre(count=200):
    points, weights = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(count))
    return (points + 1) / 2, weights / 2


@pytest.mark.equation("eq-dequantised", latex="5bb606d6")
def test_what_uniform_noise_costs(claim):
    """By quadrature over u in [0, 1). The density gives the first term, and it alone.

    P comes from the distribution function, and the divergence from that of u given the level,
    whose slope is p(u | x).
    """
    x = torch.arange(-2, 4).double()
    P = sum(
        weight * torch.tensor(np.diff(scipy.stats.norm.cdf(np.stack([x, x + 1]), m, s), axis=0)[0])
        for weight, m, s in [(0.3, 0.2, 0.3), (0.7, 1.5, 1.0)]
    )
    u, weights = legendre()
    log_p = log_mixture(x[:, None] + u)
    places = u.expand(len(x), -1).clone().requires_grad_()
    at_most_u = mixture_below(x[:, None] + places) - mixture_below(x[:, None])
    share = at_most_u / (mixture_below(x + 1) - mixture_below(x))[:, None]
    (given_level,) = torch.autograd.grad(share.sum(), places)
    parts = {
        r"\int_0^1 \ln p(x + u) du": log_p @ weights,
        kl(r"\mathcal{U}[0, 1)", r"p(u \mid x)"): -(torch.log(given_level) @ weights),
    }
    printed = claim.printed(parts)
    claim.equal(torch.log(P), printed)
    claim.at_least(torch.log(P), log_p @ weights)


@pytest.mark.equation("eq-density-bits", latex="1cbdd78a")
def test_bits_from_a_density_of_pixels_between_0_and_1(claim):
    """By the change of variables y = (x + u) / 256, done by torch.distributions."""
    D = 5
    scaled = torch.rand(3, D, generator=torch.Generator().manual_seed(0)).double()  # y
    density = torch.distributions.Beta(number(2.0), number(3.0))
    stretch = torch.distributions.AffineTransform(0.0, 256.0)
    of_levels = torch.distributions.TransformedDistribution(density, [stretch])
    bits = -of_levels.log_prob(256 * scaled).sum(1) / (D * math.log(2))
    log_p = density.log_prob(scaled).sum(1)
    printed = claim.printed({r"\ln p(\mathbf{y})": log_p}, D=D)
    claim.equal(bits, printed)
