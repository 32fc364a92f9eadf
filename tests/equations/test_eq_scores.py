"""Chapter 12: the score, chains that use it, and the probability flow."""

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal
from toys import log_normal, nodes_of_normal, number, tables

from ddpm_tutorial import (
    DDPM,
    GaussianMixture,
    NoiseSchedule,
    acceptance_probability,
    eps_from_x0,
    langevin_step,
    score,
    tweedie,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha_bar = SCHEDULE.alpha_bar
TABLES = tables(SCHEDULE)
TOY = GaussianMixture(SCHEDULE, [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])
t = torch.arange(1, 41)
X_T = torch.linspace(-1.4, 1.5, 40).double()


def mixture(alpha_bar):
    """q(x_t) of the toy, by torch.distributions."""
    means, variances = alpha_bar.sqrt() * TOY.means, alpha_bar * TOY.variances + 1 - alpha_bar
    return MixtureSameFamily(Categorical(TOY.weights), Normal(means, variances.sqrt()))


def slope_of(log_density, x):
    """The derivative of a function of one number, at each entry of x."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(log_density(x).sum(), x)[0]


SCORE = torch.stack(
    [slope_of(mixture(alpha_bar[k]).log_prob, x) for k, x in zip(t, X_T, strict=True)]
)


def posterior_mean_of_x0():
    """E[x_0 | x_t], by a sum over a fine grid of x_0."""
    grid = torch.linspace(-2.5, 2.5, 20_001, dtype=torch.float64)
    log_prior = mixture(number(1.0)).log_prob(grid)
    log_likelihood = log_normal(
        X_T[:, None], alpha_bar[t].sqrt()[:, None] * grid, 1 - alpha_bar[t][:, None]
    )
    return (log_prior + log_likelihood).softmax(1) @ grid


@pytest.mark.equation("eq-tweedie", latex="7f3470a8", code=[tweedie, GaussianMixture.score])
def test_mean_of_the_data_from_the_score(claim):
    printed = claim.printed({r"\nabla \ln q(\mathbf{x}_t)": SCORE}, **TABLES, t=t, x_t=X_T)
    claim.equal(posterior_mean_of_x0(), printed)
    claim.equal(tweedie(SCHEDULE, X_T, t, TOY.score(X_T[:, None], t)[:, 0]), printed)


@pytest.mark.equation("eq-score-eps", latex="d10e635c", code=[score])
def test_the_mean_of_the_noise_is_the_score_up_to_a_factor(claim):
    mean_eps = (X_T - alpha_bar[t].sqrt() * posterior_mean_of_x0()) / (1 - alpha_bar[t]).sqrt()
    average = r"\mathbb{E}[\boldsymbol\epsilon \mid \mathbf{x}_t]"
    printed = claim.printed({average: mean_eps}, **TABLES, t=t)
    claim.equal(SCORE, printed)

    def best_network(x_t, t):
        return eps_from_x0(SCHEDULE, x_t, t, TOY(x_t, t).x0_hat)

    best_network.num_classes = 0
    model = DDPM(best_network, SCHEDULE, "eps", shape=(1,))
    for denoiser in (model.denoiser(), TOY):
        claim.equal(score(denoiser, X_T[:, None], t)[:, 0], printed)


@pytest.mark.equation("eq-score-matching", latex="396e89bc")
def test_two_objectives_differ_by_a_constant(claim):
    """Normal data, and a score that is off: all averages are of polynomials, and exact."""
    mean, variance, at = number(0.3), number(0.25), 12
    x0, weight_x0 = nodes_of_normal(mean, variance, 30)
    eps, weight_eps = nodes_of_normal(number(0.0), number(1.0), 30)
    x_t = alpha_bar[at].sqrt() * x0[:, None] + (1 - alpha_bar[at]).sqrt() * eps

    def average(values):
        return weight_x0 @ values @ weight_eps

    given_x0 = -(x_t - alpha_bar[at].sqrt() * x0[:, None]) / (1 - alpha_bar[at])
    spread = alpha_bar[at] * variance + 1 - alpha_bar[at]
    true = -(x_t - alpha_bar[at].sqrt() * mean) / spread
    for guess in (0.4 - 0.7 * x_t, 0.1 * x_t**3 - x_t, torch.zeros_like(x_t)):
        averages = {
            r"\mathbb{E}\|\mathbf{s} - \mathbf{g}\|^2": average((guess - true) ** 2),
            r"\mathbb{E}\|\mathbf{g}_0\|^2": average(given_x0**2),
            r"\mathbb{E}\|\mathbf{g}\|^2": average(true**2),
        }
        printed = claim.printed(averages)
        claim.equal(average((guess - given_x0) ** 2), printed)


@pytest.mark.equation("eq-score-loss", latex="a8a8f02a")
def test_error_of_the_score_is_the_error_of_the_noise_with_a_weight(claim):
    x0, eps, eps_hat = (torch.linspace(a, b, 40).double() for a, b in ((-1, 1), (2, -1), (0, 1)))
    x_t = (alpha_bar[t].sqrt() * x0 + (1 - alpha_bar[t]).sqrt() * eps).requires_grad_()
    log_density = log_normal(x_t, alpha_bar[t].sqrt() * x0, 1 - alpha_bar[t])
    (given_x0,) = torch.autograd.grad(log_density.sum(), x_t)
    guess = -eps_hat / (1 - alpha_bar[t]).sqrt()
    printed = claim.printed(**TABLES, t=t, eps=eps[:, None], eps_hat=eps_hat[:, None])
    claim.equal(claim.printed(side=0, s=guess[:, None], g0=given_x0[:, None]), printed)


@pytest.mark.equation("eq-langevin-variance", latex="1110ff0f", code=[langevin_step])
def test_stationary_variance_of_unadjusted_langevin(claim):
    """One step from a normal of this variance leads to the same variance again."""
    mean, v = number(0.4), number(0.09)
    for h in (0.005, 0.05, 0.15):
        printed = claim.printed(v=v, h=h)
        x, weight_x = nodes_of_normal(mean, printed, 20)
        z, weight_z = nodes_of_normal(number(0.0), number(1.0), 20)
        after = langevin_step(x[:, None], -(x[:, None] - mean) / v, h, z)
        claim.equal(weight_x @ (after - mean) ** 2 @ weight_z, printed)
        by_hand = mean + (1 - h / v) * (x[:, None] - mean) + (2 * number(h)).sqrt() * z
        claim.equal(after, by_hand)


@pytest.mark.equation("eq-detailed-balance", latex="3a753ba4", code=[acceptance_probability])
def test_the_adjusted_chain_moves_as_often_forth_as_back(claim):
    h = 0.03
    x, y = (v.flatten()[:, None] for v in torch.meshgrid(X_T, X_T + 0.05, indexing="ij"))
    p = mixture(number(1.0))

    def log_p(x):
        return p.log_prob(x)[:, 0]

    def q(to, start):
        """The density of a Langevin step."""
        return log_normal(to, start + h * slope_of(p.log_prob, start), number(2 * h))[:, 0].exp()

    def a(start, to):
        here, there = ((log_p(v), slope_of(p.log_prob, v)) for v in (start, to))
        return acceptance_probability(start, to, here, there, h)

    # Only pairs between which a move has a probability that can be told from 0.
    seen = torch.minimum(log_p(x) + q(y, x).log(), log_p(y) + q(x, y).log()) > -30
    x, y = x[seen], y[seen]
    forth = {
        r"p(\mathbf{x})": log_p(x).exp(),
        r"q(\mathbf{y} \mid \mathbf{x})": q(y, x),
        r"a(\mathbf{x} \to \mathbf{y})": a(x, y),
    }
    back = {
        r"p(\mathbf{y})": log_p(y).exp(),
        r"q(\mathbf{x} \mid \mathbf{y})": q(x, y),
        r"a(\mathbf{y} \to \mathbf{x})": a(y, x),
    }
    printed = claim.printed(back)
    claim.equal(claim.printed(forth, side=0), printed)
    ratio = log_p(y).exp() * q(x, y) / (log_p(x).exp() * q(y, x))
    claim.equal(a(x, y), ratio.clamp(max=1))


@pytest.mark.equation("eq-flow", latex="5178a762")
def test_the_flow_carries_each_marginal_into_the_next(claim):
    """Normal data: points at a fixed number of standard deviations move with this velocity."""
    mean, variance = number(0.3), number(0.25)
    z = torch.linspace(-2, 2, 9).double()[:, None]
    u = torch.linspace(0.1, 3, 12).double().requires_grad_()

    def at(u):
        share = torch.exp(-2 * u)
        spread = share * variance + 1 - share
        return share.sqrt() * mean + spread.sqrt() * z

    # The derivative by u of each of the nine points, one at a time.
    moved = torch.stack([torch.autograd.grad(at(u)[i].sum(), u)[0] for i in range(9)])
    share = torch.exp(-2 * u.detach())
    x = at(u.detach())
    true = -(x - share.sqrt() * mean) / (share * variance + 1 - share)
    printed = claim.printed({r"\nabla \ln q(\mathbf{x})": true}, x=x)
    claim.equal(moved, printed)


@pytest.mark.equation("eq-flow-density", latex="ba9c8ecd")
def test_log_density_along_the_flow(claim):
    """The toy: the change of ln q in time, and on the way that the flow takes."""
    x = torch.linspace(-1.2, 1.3, 40).double().requires_grad_()
    u = torch.linspace(0.02, 2.5, 40).double().requires_grad_()

    def log_q(x, u):
        share = torch.exp(-2 * u)[:, None]
        spread = share * TOY.variances + 1 - share
        parts = log_normal(x[:, None], share.sqrt() * TOY.means, spread)
        return (TOY.weights.log() + parts).logsumexp(1)

    by_x, by_u = torch.autograd.grad(log_q(x, u).sum(), (x, u), create_graph=True)
    (divergence,) = torch.autograd.grad(by_x.sum(), x)
    velocity = -(x + by_x)
    printed = claim.printed({r"\Delta \ln q(\mathbf{x})": divergence}, D=1)
    claim.equal((by_u + by_x * velocity).detach(), printed)
