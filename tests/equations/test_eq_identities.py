"""The appendix: identities of normal distributions."""

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from toys import log_normal, nodes_of_normal, number

from ddpm_tutorial import normal_entropy, normal_log_prob

X = torch.linspace(-2, 3, 11).double()


@pytest.mark.equation("eq-id-density", latex="ec5f9305", code=[normal_log_prob])
def test_log_density(claim):
    mean, variance = number(0.4), number(0.3)
    printed = claim.printed(x=X, m=mean, V=variance)
    claim.equal(Normal(mean, variance.sqrt()).log_prob(X), printed)
    claim.equal(normal_log_prob(X, mean, variance.log()), printed)


@pytest.mark.equation("eq-id-affine", latex="806c355b")
def test_a_scaled_and_shifted_normal(claim):
    """By the change of variables: the density at y is that of x at (y - b) / a, over |a|."""
    a, b, mean, variance = (number(value) for value in (-0.7, 0.2, 0.4, 0.3))
    left = log_normal((X - b) / a, mean, variance) - a.abs().log()
    printed = log_normal(X, *claim.printed(a=a, b=b, m=mean, V=variance))
    claim.equal(left, printed)


@pytest.mark.equation("eq-id-product", latex="bc56df7e")
def test_the_product_of_two_densities(claim):
    a, A, b, B = (number(value) for value in (0.4, 0.3, -1.1, 0.8))
    V = claim.printed(clause=1, A=A, B=B)
    m = claim.printed(clause=2, a=a, A=A, b=b, B=B, V=V)
    printed = claim.printed(x=X, m=m, V=V, a=a, A=A, b=b, B=B)
    claim.equal((log_normal(X, a, A) + log_normal(X, b, B)).exp(), printed)


@pytest.mark.equation("eq-id-marginal", latex="39fc0361")
def test_a_normal_mean_that_is_normal_itself(claim):
    """x ~ N(m, V) and y | x ~ N(a x + b, W): the density of y by quadrature over x."""
    m, V, a, b, W = (number(value) for value in (0.4, 0.3, 0.8, -0.2, 0.5))
    x, weights = nodes_of_normal(m, V)
    average = torch.stack([weights @ log_normal(y, a * x + b, W).exp() for y in X])
    printed = claim.printed(y=X, a=a, m=m, b=b, V=V, W=W)
    claim.equal(average, printed)


@pytest.mark.equation("eq-id-condition", latex="a51b48dc")
def test_conditioning(claim):
    """The same x and y: p(x | y) = p(x, y) / p(y), with the joint density by torch."""
    m, V, a, b, W = (number(value) for value in (0.4, 0.3, 0.8, -0.2, 0.5))
    y = number(1.3)
    joint = MultivariateNormal(
        torch.stack([m, a * m + b]),
        torch.stack([torch.stack([V, a * V]), torch.stack([a * V, a**2 * V + W])]),
    )
    both = joint.log_prob(torch.stack([X, y.expand(11)], dim=1))
    left = both - log_normal(y, a * m + b, a**2 * V + W)
    k = claim.printed(clause=1, a=a, V=V, W=W)
    printed = log_normal(X, *claim.printed(m=m, k=k, y=y, a=a, b=b, V=V))
    claim.equal(left, printed)


@pytest.mark.equation("eq-id-entropy", latex="678c1784", code=[normal_entropy])
def test_entropy(claim):
    variance = number(0.3)
    printed = claim.printed(V=variance)
    claim.equal(Normal(number(0.4), variance.sqrt()).entropy(), printed)
    claim.equal(normal_entropy(variance.log()), printed)


@pytest.mark.equation("eq-id-cross", latex="e0dd8252")
def test_average_of_a_log_density(claim):
    m, V, mean, variance = (number(value) for value in (0.4, 0.3, -0.5, 0.8))
    x, weights = nodes_of_normal(m, V)
    printed = claim.printed(m=m, V=V, mu=mean, sigma=variance.sqrt())
    claim.equal(weights @ log_normal(x, mean, variance), printed)
