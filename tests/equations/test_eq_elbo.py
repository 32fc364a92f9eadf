"""Chapter 5: the bound of a diffusion model, exactly, for a model that is off on purpose.

Every average over q below is exact: the integrands are quadratic in the path (see toys.py).
"""

import math

import pytest
import torch
from torch.distributions import kl_divergence
from toys import DATA, SCHEDULE, diffusion_chain, log_normal, nodes_of_normal, number

from ddpm_tutorial import (
    GaussianMixture,
    denoising_term,
    elbo_terms,
    kl_normal,
    p_reverse,
    posterior_kl,
    posterior_variance,
    prior_term,
    q_marginal,
    q_posterior,
    q_transition,
)

CHAIN = diffusion_chain()
T = CHAIN.T


def bound():
    """The average of ln p(x_0:T) - ln q(x_1:T | x_0) over q."""
    path = CHAIN.paths(DATA)
    return (CHAIN.log_p(path) - CHAIN.log_q(path)).mean()


def times(t, like):
    return torch.full((len(like),), t)


def log_q_marginal(x_t, t):
    """Ln q(x_t | x_0)."""
    mean, variance = q_marginal(SCHEDULE, DATA.view(1), torch.tensor([t]))
    return log_normal(x_t, mean, variance)


@pytest.mark.equation("eq-elbo")
def test_the_bound_lies_below_and_meets_the_evidence_at_the_posterior(claim):
    claim.at_least(CHAIN.log_marginal(DATA), bound())
    # With p's own posterior in place of q, the logarithm of the ratio is the same on every path.
    posterior = CHAIN.true_posterior(DATA)
    latents = posterior.sample((20,))
    path = torch.cat([DATA.expand(20, 1), latents], dim=1)
    printed = (CHAIN.log_p(path) - posterior.log_prob(latents)).mean()
    claim.equal(CHAIN.log_marginal(DATA), printed)


@pytest.mark.equation("eq-elbo-gap")
def test_the_gap_is_the_divergence_of_the_paths(claim):
    gap = kl_divergence(CHAIN.encoder(DATA), CHAIN.true_posterior(DATA))
    printed = bound() + gap
    claim.equal(CHAIN.log_marginal(DATA), printed)


@pytest.mark.equation("eq-elbo-three", code=[q_transition])
def test_three_terms(claim):
    x = CHAIN.paths(DATA).T
    p = CHAIN.p

    def log_q(t):
        """Ln q(x_t | x_{t-1}) on every path."""
        mean, variance = q_transition(SCHEDULE, x[t - 1], times(t, x[t - 1]))
        return log_normal(x[t], mean, variance)

    before = x[T - 1]
    mean, variance = q_transition(SCHEDULE, before, times(T, before))
    prior_kl = kl_normal(mean, variance.log(), *CHAIN.prior(before))
    printed = (
        p[1].log_prob(x[0], x[1])
        - prior_kl
        + sum(p[t + 1].log_prob(x[t], x[t + 1]) - log_q(t) for t in range(1, T))
    ).mean()
    claim.equal(bound(), printed)


@pytest.mark.equation("eq-bayes-step", code=[q_transition, q_posterior, q_marginal])
def test_one_step_turned_around(claim):
    x = CHAIN.paths(DATA).T
    for t in range(2, T + 1):
        at = times(t, x[t])
        mean, variance = q_transition(SCHEDULE, x[t - 1], at)
        left = log_normal(x[t], mean, variance)
        mean, variance = q_posterior(SCHEDULE, DATA.expand(len(at)), x[t], at)
        posterior = log_normal(x[t - 1], mean, variance)
        printed = posterior + log_q_marginal(x[t], t) - log_q_marginal(x[t - 1], t - 1)
        claim.equal(left, printed)


@pytest.mark.equation("eq-telescope")
def test_the_sum_collapses(claim):
    x = CHAIN.paths(DATA).T
    left = sum(log_q_marginal(x[t], t) - log_q_marginal(x[t - 1], t - 1) for t in range(2, T + 1))
    printed = log_q_marginal(x[T], T) - log_q_marginal(x[1], 1)
    claim.equal(left, printed)


@pytest.mark.equation("eq-elbo-kl", code=[denoising_term, prior_term, p_reverse])
def test_the_form_of_low_variance(claim):
    x = CHAIN.paths(DATA).T
    p = CHAIN.p
    prior_kl = kl_normal(
        SCHEDULE.alpha_bar[T].sqrt() * DATA,
        (1 - SCHEDULE.alpha_bar[T]).log(),
        number(CHAIN.prior_mean),
        number(math.log(CHAIN.prior_variance)),
    )

    def denoising_kl(t):
        """KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) on every path."""
        at = times(t, x[t])
        mean, variance = q_posterior(SCHEDULE, DATA.expand(len(at)), x[t], at)
        return kl_normal(mean, variance.log(), *p_reverse(CHAIN, x[t], at))

    printed = (
        p[1].log_prob(x[0], x[1]) - prior_kl - sum(denoising_kl(t) for t in range(2, T + 1))
    ).mean()
    claim.equal(bound(), printed)
    # The package's own terms, averaged over eps = -1, 1: they are quadratic in it.
    eps = torch.tensor([[-1.0], [1.0]]).double()
    ours = elbo_terms(CHAIN, DATA.expand(2, 1), eps=eps).bound().mean()
    claim.equal(ours, printed)


@pytest.mark.equation("eq-elbo-tight", code=[posterior_kl])
def test_gaussian_data_leave_no_gap(claim):
    model = GaussianMixture(SCHEDULE, [1.0], [0.3], [0.25], true_prior=True)
    x0 = torch.tensor([-0.7, 0.3, 1.9]).double().repeat_interleave(2)[:, None]
    eps = torch.tensor([-1.0, 1.0]).double().repeat(3)[:, None]
    terms = elbo_terms(model, x0, eps=eps)
    printed = terms.reconstruction - terms.prior - terms.denoising.sum(1)
    expected = log_normal(x0[::2, 0], number(0.3), number(0.25))
    claim.equal(expected, printed.view(3, 2).mean(1))


def gradients_of_both_forms(draw, mean, variance, known, known_variance, of):
    """By autograd: of -ln N(draw; mean, variance), and of the divergence from what is known."""
    three = -log_normal(draw, mean, variance)
    kl = kl_normal(known, known_variance.log(), mean, variance.log())
    return [torch.autograd.grad(loss.sum(), of, retain_graph=True)[0] for loss in (three, kl)]


@pytest.mark.equation("eq-gradient-noise", code=[q_posterior, posterior_variance])
def test_what_a_drawn_state_adds_to_the_variance_of_a_gradient(claim):
    """Both gradients are linear in the path, so its 2 T points give their variances exactly."""
    x = CHAIN.paths(DATA).T
    left, right = [], []
    for t in range(2, T + 1):
        at, step = times(t, x[t]), CHAIN.p[t]
        mean = (step.slope * x[t] + step.shift).requires_grad_()
        variance = number(step.variance)
        known, spread = q_posterior(SCHEDULE, DATA.expand(len(at)), x[t], at)
        three, kl = gradients_of_both_forms(x[t - 1], mean, variance, known, spread, mean)
        claim.equal(three.mean(), kl.mean())
        beta_tilde = posterior_variance(SCHEDULE, at[:1])[0]
        printed = kl.var(correction=0) + beta_tilde / variance**2
        left.append(three.var(correction=0))
        right.append(printed)
    claim.equal(torch.stack(left), torch.stack(right))


@pytest.mark.equation("eq-gradient-gain", code=[q_posterior])
def test_how_much_less_the_gradient_varies_in_the_kl_form(claim):
    """Normal data and a guess that is off; sums over points stand for all three averages."""
    snr = SCHEDULE.snr
    data, weights = nodes_of_normal(number(0.3), number(0.25), 4)
    eps, standard = nodes_of_normal(number(0.0), number(1.0), 4)
    x0, eps, z = (part.flatten() for part in torch.meshgrid(data, eps, eps, indexing="ij"))
    weights = (weights[:, None, None] * standard[:, None] * standard).flatten()
    left, right = [], []
    for t in range(2, T + 1):
        at = times(t, x0)
        x_t = SCHEDULE.alpha_bar[t].sqrt() * x0 + (1 - SCHEDULE.alpha_bar[t]).sqrt() * eps
        known, spread = q_posterior(SCHEDULE, x0, x_t, at)
        guess = (0.6 * x_t - 0.1).requires_grad_()
        mean, _ = q_posterior(SCHEDULE, guess, x_t, at)
        draw = known + spread.sqrt() * z
        three, kl = gradients_of_both_forms(draw, mean, number(0.2), known, spread, guess)
        error = weights @ (x0 - guess.detach()) ** 2
        printed = 1 + 1 / ((snr[t - 1] - snr[t]) * error)
        left.append(weights @ three**2 / (weights @ kl**2))
        right.append(printed)
    claim.equal(torch.stack(left), torch.stack(right))
