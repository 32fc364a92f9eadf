"""Chapter 6: the bound of a diffusion model, exactly, for a model that is off on purpose.

Every average over q below is exact: the integrands are quadratic in the path (see toys.py).
"""

import math

import pytest
import torch
from torch.distributions import kl_divergence
from toys import (
    AVERAGE,
    DATA,
    SCHEDULE,
    diffusion_chain,
    kl,
    log_normal,
    nodes_of_normal,
    number,
    tables,
)

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
TABLES = tables(SCHEDULE)


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


@pytest.mark.equation("eq-elbo", latex="ae1f2bc1")
def test_the_bound_lies_below_and_meets_the_evidence_at_the_posterior(claim):

    def printed_bound(log_p, log_q):
        densities = {
            r"\mathbb{E}_q": 1,
            r"p_\theta(\mathbf{x}_{0:T})": log_p.exp(),
            r"q(\mathbf{x}_{1:T} \mid \mathbf{x}_0)": log_q.exp(),
        }
        printed = claim.printed(densities, side=1).mean()
        return printed

    paths = CHAIN.paths(DATA)
    below = printed_bound(CHAIN.log_p(paths), CHAIN.log_q(paths))
    claim.at_least(CHAIN.log_marginal(DATA), below)
    # With p's own posterior in place of q, the logarithm of the ratio is the same on every path.
    posterior = CHAIN.true_posterior(DATA)
    noise = torch.randn(20, T, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    latents = posterior.mean + noise @ posterior.scale_tril.T
    path = torch.cat([DATA.expand(20, 1), latents], dim=1)
    meeting = printed_bound(CHAIN.log_p(path), posterior.log_prob(latents))
    claim.equal(CHAIN.log_marginal(DATA), meeting)


@pytest.mark.equation("eq-elbo-gap", latex="7f803205")
def test_the_gap_is_the_divergence_of_the_paths(claim):
    gap = kl_divergence(CHAIN.encoder(DATA), CHAIN.true_posterior(DATA))
    divergence = kl(
        r"q(\mathbf{x}_{1:T} \mid \mathbf{x}_0)", r"p_\theta(\mathbf{x}_{1:T} \mid \mathbf{x}_0)"
    )
    printed = claim.printed({divergence: gap}, ELBO=bound())
    claim.equal(CHAIN.log_marginal(DATA), printed)


@pytest.mark.equation("eq-elbo-three", latex="cf09d3a7", code=[q_transition])
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
    terms = AVERAGE | {
        r"\ln p_\theta(\mathbf{x}_0 \mid \mathbf{x}_1)": p[1].log_prob(x[0], x[1]),
        kl(r"q(\mathbf{x}_T \mid \mathbf{x}_{T-1})", r"p(\mathbf{x}_T)"): prior_kl,
        r"\ln p_\theta(\mathbf{x}_t \mid \mathbf{x}_{t+1})": lambda t: p[t + 1].log_prob(
            x[t], x[t + 1]
        ),
        r"\ln q(\mathbf{x}_t \mid \mathbf{x}_{t-1})": log_q,
    }
    printed = claim.printed(terms, T=T).mean()
    claim.equal(bound(), printed)


@pytest.mark.equation(
    "eq-bayes-step", latex="0b255588", code=[q_transition, q_posterior, q_marginal]
)
def test_one_step_turned_around(claim):
    x = CHAIN.paths(DATA).T
    for t in range(2, T + 1):
        at = times(t, x[t])
        mean, variance = q_transition(SCHEDULE, x[t - 1], at)
        left = log_normal(x[t], mean, variance)
        mean, variance = q_posterior(SCHEDULE, DATA.expand(len(at)), x[t], at)
        densities = {
            r"q(\mathbf{x}_{t-1} \mid \mathbf{x}_t, \mathbf{x}_0)": log_normal(
                x[t - 1], mean, variance
            ).exp(),
            r"q(\mathbf{x}_t \mid \mathbf{x}_0)": log_q_marginal(x[t], t).exp(),
            r"q(\mathbf{x}_{t-1} \mid \mathbf{x}_0)": log_q_marginal(x[t - 1], t - 1).exp(),
        }
        printed = claim.printed(densities)
        claim.equal(left.exp(), printed)


@pytest.mark.equation("eq-telescope", latex="322dd2c8", code=[q_marginal])
def test_the_sum_collapses(claim):
    """A sum of differences collapses whatever the function is, so each side has its own densities.

    Those on the left are the package's. Those on the right are taken from the distribution of the
    whole path, which is put together from single steps.
    """
    x = CHAIN.paths(DATA).T
    path = CHAIN.encoder(DATA)

    def log_q_of_path(t):
        return log_normal(x[t], path.mean[t - 1], path.covariance_matrix[t - 1, t - 1])

    densities = {
        r"\ln q(\mathbf{x}_t \mid \mathbf{x}_0)": lambda t: log_q_marginal(x[t], t),
        r"\ln q(\mathbf{x}_{t-1} \mid \mathbf{x}_0)": lambda t: log_q_marginal(x[t - 1], t - 1),
    }
    left = claim.printed(densities, side=0, T=T)
    ends = {
        r"\ln q(\mathbf{x}_T \mid \mathbf{x}_0)": log_q_of_path(T),
        r"\ln q(\mathbf{x}_1 \mid \mathbf{x}_0)": log_q_of_path(1),
    }
    printed = claim.printed(ends)
    claim.equal(left, printed)


@pytest.mark.equation("eq-elbo-kl", latex="ebb7d234", code=[denoising_term, prior_term, p_reverse])
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

    denoising = kl(
        r"q(\mathbf{x}_{t-1} \mid \mathbf{x}_t, \mathbf{x}_0)",
        r"p_\theta(\mathbf{x}_{t-1} \mid \mathbf{x}_t)",
    )
    terms = AVERAGE | {
        r"\ln p_\theta(\mathbf{x}_0 \mid \mathbf{x}_1)": p[1].log_prob(x[0], x[1]),
        kl(r"q(\mathbf{x}_T \mid \mathbf{x}_0)", r"p(\mathbf{x}_T)"): prior_kl,
        denoising: denoising_kl,
    }
    printed = claim.printed(terms, T=T).mean()
    claim.equal(bound(), printed)
    # The package's own terms, averaged over eps = -1, 1: they are quadratic in it.
    eps = torch.tensor([[-1.0], [1.0]]).double()
    ours = elbo_terms(CHAIN, DATA.expand(2, 1), eps=eps).bound().mean()
    claim.equal(ours, printed)


@pytest.mark.equation("eq-elbo-tight", latex="4a8bfefa", code=[posterior_kl])
def test_gaussian_data_leave_no_gap(claim):
    model = GaussianMixture(SCHEDULE, [1.0], [0.3], [0.25], true_prior=True)
    x0 = torch.tensor([-0.7, 0.3, 1.9]).double().repeat_interleave(2)[:, None]
    eps = torch.tensor([-1.0, 1.0]).double().repeat(3)[:, None]
    terms = elbo_terms(model, x0, eps=eps)
    pieces = AVERAGE | {
        r"\ln p(x_0 \mid x_1)": terms.reconstruction,
        kl(r"q(x_T \mid x_0)", "p(x_T)"): terms.prior,
        kl(r"q(x_{t-1} \mid x_t, x_0)", r"p(x_{t-1} \mid x_t)"): (
            lambda t: terms.denoising[:, t - 2]
        ),
    }
    printed = claim.printed(pieces, side=0, T=SCHEDULE.T).view(3, 2).mean(1)
    claim.equal(claim.printed(x0=x0[::2, 0], m=number(0.3), V=number(0.25)), printed)


def gradients_of_both_forms(draw, mean, variance, known, known_variance, of):
    """By autograd: of -ln N(draw; mean, variance), and of the divergence from what is known."""
    three = -log_normal(draw, mean, variance)
    divergence = kl_normal(known, known_variance.log(), mean, variance.log())
    return [
        torch.autograd.grad(loss.sum(), of, retain_graph=True)[0] for loss in (three, divergence)
    ]


@pytest.mark.equation("eq-gradient-noise", latex="6d6f3a91", code=[q_posterior, posterior_variance])
def test_what_a_drawn_state_adds_to_the_variance_of_a_gradient(claim):
    """Both gradients are linear in the path, so its 2 T points give their variances exactly."""
    x = CHAIN.paths(DATA).T
    nothing = number(torch.nan)
    sigma = torch.stack([nothing, *(number(step.variance).sqrt() for step in CHAIN.p[1:])])
    beta_tilde = torch.stack([nothing, *posterior_variance(SCHEDULE, torch.arange(1, T + 1))])
    left, right = [], []
    for t in range(2, T + 1):
        at, step = times(t, x[t]), CHAIN.p[t]
        mean = (step.slope * x[t] + step.shift).requires_grad_()
        known, spread = q_posterior(SCHEDULE, DATA.expand(len(at)), x[t], at)
        g_three, g_kl = gradients_of_both_forms(
            x[t - 1], mean, number(step.variance), known, spread, mean
        )
        claim.equal(g_three.mean(), g_kl.mean())
        variance = {r"\mathrm{Var}(g_\text{KL})": g_kl.var(correction=0)}
        printed = claim.printed(variance, beta_tilde=beta_tilde, sigma=sigma, t=t)
        left.append(g_three.var(correction=0))
        right.append(printed)
    claim.equal(torch.stack(left), torch.stack(right))


@pytest.mark.equation("eq-gradient-gain", latex="87fa009e", code=[q_posterior])
def test_how_much_less_the_gradient_varies_in_the_kl_form(claim):
    """Normal data and a guess that is off; sums over points stand for all three averages."""
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
        g_three, g_kl = gradients_of_both_forms(draw, mean, number(0.2), known, spread, guess)
        squares = {
            r"\mathbb{E} g_\text{three}^2": weights @ g_three**2,
            r"\mathbb{E} g_\text{KL}^2": weights @ g_kl**2,
        }
        left.append(claim.printed(squares, side=0))
        error = {r"\mathbb{E} (x_0 - \hat x_0)^2": weights @ (x0 - guess.detach()) ** 2}
        printed = claim.printed(error, **TABLES, t=t)
        right.append(printed)
    claim.equal(torch.stack(left), torch.stack(right))
