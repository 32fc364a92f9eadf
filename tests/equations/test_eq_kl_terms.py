"""Chapter 7: the posterior, the terms, and the views of one prediction."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from toys import log_normal, number, tables

from ddpm_tutorial import (
    NoiseSchedule,
    eps_from_x0,
    kl_normal,
    posterior_variance,
    q_posterior,
    q_sample,
    v_from_x0_and_eps,
    x0_from_eps,
    x0_from_v,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha, beta, alpha_bar = SCHEDULE.alpha, SCHEDULE.beta, SCHEDULE.alpha_bar
t = torch.arange(2, 41)
X0 = torch.linspace(-0.9, 0.8, 39).double()
X0_HAT = torch.linspace(0.7, -0.4, 39).double()
EPS = torch.linspace(2.1, -1.3, 39).double()
X_T = q_sample(SCHEDULE, X0, t, EPS)
TABLES = tables(SCHEDULE)


def term():
    """KL of the posterior and the same posterior at X0_HAT: what the model's step costs at t."""
    mean, variance = q_posterior(SCHEDULE, X0, X_T, t)
    mean_hat, _ = q_posterior(SCHEDULE, X0_HAT, X_T, t)
    return kl_divergence(Normal(mean, variance.sqrt()), Normal(mean_hat, variance.sqrt()))


@pytest.mark.equation("eq-complete-square", latex="3185daa3")
def test_two_squares_become_one(claim):
    x = torch.linspace(-2, 3, 11).double()
    a, A, b, B = (number(value) for value in (0.4, 0.3, -1.1, 0.8))
    V = 1 / claim.printed(clause=1, A=A, B=B)
    m = claim.printed(clause=2, a=a, A=A, b=b, B=B, V=V)
    printed = claim.printed(x=x, m=m, V=V, a=a, A=A, b=b, B=B)
    claim.equal(claim.printed(side=0, x=x, a=a, A=A, b=b, B=B), printed)


@pytest.mark.equation("eq-posterior-mean", latex="e7e603b2", code=[q_posterior])
def test_posterior_mean(claim):
    """Against the slope of the log-density: at its mean, that of q(x_{t-1} | x_t, x_0) is 0."""
    printed = claim.printed(**TABLES, t=t, x0=X0, x_t=X_T)
    # ln q(x_t | x) + ln q(x | x_0) as a function of x = x_{t-1}: a parabola, so Newton's step from
    # anywhere ends at its peak.
    x = torch.zeros(39).double().requires_grad_()
    log_density = log_normal(X_T, alpha[t].sqrt() * x, beta[t]) + log_normal(
        x, alpha_bar[t - 1].sqrt() * X0, 1 - alpha_bar[t - 1]
    )
    (slope,) = torch.autograd.grad(log_density.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    claim.equal((x - slope / curvature).detach(), printed)
    claim.equal(q_posterior(SCHEDULE, X0, X_T, t)[0], printed)


@pytest.mark.equation("eq-posterior-variance", latex="abdd21e0", code=[posterior_variance])
def test_posterior_variance(claim):
    """Precisions add: that of x_{t-1} given x_0, and that of x_t as a measurement of x_{t-1}."""
    printed = claim.printed(**TABLES, t=t)
    precision = 1 / (1 - alpha_bar[t - 1]) + alpha[t] / beta[t]
    claim.equal(1 / precision, printed)
    claim.equal(posterior_variance(SCHEDULE, t), printed)


@pytest.mark.equation("eq-kl-vector", latex="73bc9d63", code=[kl_normal])
def test_divergence_of_vectors_with_independent_entries(claim):
    """The general formula for full covariances, by torch, against the sum over entries."""
    generator = torch.Generator().manual_seed(0)
    m_1, m_2 = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    v_1, v_2 = torch.rand(2, 5, generator=generator, dtype=torch.float64) + 0.1
    full = kl_divergence(
        torch.distributions.MultivariateNormal(m_1, torch.diag(v_1)),
        torch.distributions.MultivariateNormal(m_2, torch.diag(v_2)),
    )
    m, v = {}, {}  # by the number of the distribution and that of the entry
    for i in range(5):
        m[1, i], m[2, i], v[1, i], v[2, i] = m_1[i], m_2[i], v_1[i], v_2[i]
    printed = claim.printed(m=m, v=v, i=range(5))
    claim.equal(full, printed)
    claim.equal(kl_normal(m_1, v_1.log(), m_2, v_2.log()).sum(), printed)


@pytest.mark.equation("eq-kl-equal", latex="3ba67c01", code=[kl_normal])
def test_divergence_with_equal_variances(claim):
    m_1, m_2, variance = (number(value) for value in (0.4, -0.3, 0.07))
    printed = claim.printed(m_1=m_1, m_2=m_2, sigma=variance.sqrt())
    oracle = kl_divergence(Normal(m_1, variance.sqrt()), Normal(m_2, variance.sqrt()))
    claim.equal(oracle, printed)
    claim.equal(kl_normal(m_1, variance.log(), m_2, variance.log()), printed)


@pytest.mark.equation("eq-kl-large-variance", latex="d8b60536")
def test_what_the_large_variance_costs(claim):
    """The model takes beta_t where the posterior has beta tilde: with equal means."""
    printed = claim.printed(r=claim.printed(clause=1, **TABLES, t=t))
    zero = torch.zeros(39).double()
    small, large = (v.sqrt() for v in (posterior_variance(SCHEDULE, t), beta[t]))
    # The oracle subtracts numbers near 1, so it is good to some 1e-16 of 1, not of itself.
    oracle = kl_divergence(Normal(zero, small), Normal(zero, large))
    claim.equal(1 + oracle, 1 + printed)


@pytest.mark.equation("eq-mean-from-eps", latex="352b002e")
def test_posterior_mean_from_the_noise(claim):
    printed = claim.printed(**TABLES, t=t, x_t=X_T, eps=EPS)
    claim.equal(q_posterior(SCHEDULE, X0, X_T, t)[0], printed)


@pytest.mark.equation("eq-weight-x0", latex="b3a91aa5")
def test_weight_of_the_error_in_x0(claim):
    printed = claim.printed(**TABLES, t=t, x0=X0, x0_hat=X0_HAT)
    claim.equal(term(), printed)


@pytest.mark.equation("eq-weight-eps", latex="eedd8e35", code=[eps_from_x0])
def test_weight_of_the_error_in_eps(claim):
    eps_hat = eps_from_x0(SCHEDULE, X_T, t, X0_HAT)
    printed = claim.printed(**TABLES, t=t, eps=EPS, eps_hat=eps_hat)
    claim.equal(term(), printed)


@pytest.mark.equation("eq-weight-ratio", latex="de3853f4")
def test_weight_of_the_error_in_eps_from_ratios_alone(claim):
    eps_hat = eps_from_x0(SCHEDULE, X_T, t, X0_HAT)
    printed = claim.printed(**TABLES, t=t, eps=EPS, eps_hat=eps_hat)
    claim.equal(term(), printed)


@pytest.mark.equation("eq-views", latex="fba1acbc", code=[v_from_x0_and_eps, eps_from_x0])
def test_one_error_seen_three_ways(claim):
    eps_hat = eps_from_x0(SCHEDULE, X_T, t, X0_HAT)
    v, v_hat = (
        v_from_x0_and_eps(SCHEDULE, t, X0, EPS),
        v_from_x0_and_eps(SCHEDULE, t, X0_HAT, eps_hat),
    )
    printed = torch.stack(
        [
            claim.printed(side=1, **TABLES, t=t, eps=EPS, eps_hat=eps_hat),
            claim.printed(side=2, **TABLES, t=t, x0=X0, x0_hat=X0_HAT),
        ]
    )
    claim.equal(claim.printed(side=0, v=v, v_hat=v_hat), printed)


@pytest.mark.equation("eq-x0-from-v", latex="8e8946cf", code=[x0_from_v, v_from_x0_and_eps])
def test_data_and_noise_from_v(claim):
    v = v_from_x0_and_eps(SCHEDULE, t, X0, EPS)
    printed = torch.stack([claim.printed(clause=c, **TABLES, t=t, x_t=X_T, v=v) for c in (0, 1)])
    claim.equal(torch.stack([X0, EPS]), printed)
    claim.equal(x0_from_v(SCHEDULE, X_T, t, v), printed[0])
    claim.equal(x0_from_eps(SCHEDULE, X_T, t, EPS), printed[0])
