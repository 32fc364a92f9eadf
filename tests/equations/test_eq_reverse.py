"""Chapter "The way back": the reverse process and what a perfect model pays."""

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence
from toys import kl, log_normal, nodes_of_normal, number, tables

from ddpm_tutorial import (
    GaussianMixture,
    NoiseSchedule,
    elbo_terms,
    p_reverse,
    posterior_kl,
    q_posterior,
    q_transition,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha, beta, alpha_bar, SNR = SCHEDULE.alpha, SCHEDULE.beta, SCHEDULE.alpha_bar, SCHEDULE.snr
TABLES = tables(SCHEDULE)
TOY = GaussianMixture(SCHEDULE, [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])
# Each row of what follows is one pair of a step and a place x_t. The points of a row lie so close
# that a sum over them is an integral to rounding.
t = torch.tensor([2, 2, 3, 5, 8, 8, 12, 20, 20, 30, 39, 40])
X_T = torch.tensor([0.1, -0.5, 0.6, -0.1, -0.2, 0.5, 0.0, 1.0, -0.9, 0.3, -1.7, 0.4]).double()
GRID_X0 = torch.linspace(-2.5, 2.5, 10_001, dtype=torch.float64)
GRID = torch.linspace(-8, 8, 16_001, dtype=torch.float64)  # for x_{t-1}


def log_marginal(x, alpha_bar):
    """Ln q(x_t) of the toy, by torch.distributions; alpha_bar is one number for each row of x."""
    signal = torch.as_tensor(alpha_bar).sqrt()[..., None, None]
    spread = (signal**2 * TOY.variances + 1 - signal**2).sqrt()
    parts = Categorical(TOY.weights.expand(spread.shape))
    return MixtureSameFamily(parts, Normal(signal * TOY.means, spread)).log_prob(x)


def average(weights, values):
    return (weights * values).sum(1)


# q(x_0 | x_t) on its points, by Bayes' rule: the data and the forward process, nothing else.
GIVEN = log_normal(X_T[:, None], alpha_bar[t, None].sqrt() * GRID_X0, 1 - alpha_bar[t, None])
Q_X0 = (log_marginal(GRID_X0, number(1.0)) + GIVEN).softmax(1)
MEAN_X0 = average(Q_X0, GRID_X0)
VAR_X0 = average(Q_X0, (GRID_X0 - MEAN_X0[:, None]) ** 2)
# q(x_{t-1} | x_t) on its points, by Bayes' rule: the marginal before, and one forward step.
STEP = log_normal(X_T[:, None], alpha[t, None].sqrt() * GRID, beta[t, None])
Q_BEFORE = (log_marginal(GRID, alpha_bar[t - 1]) + STEP).softmax(1)
MEAN_BEFORE = average(Q_BEFORE, GRID)
VAR_BEFORE = average(Q_BEFORE, (GRID - MEAN_BEFORE[:, None]) ** 2)
POSTERIOR_VARIANCE = 1 / (1 / (1 - alpha_bar[t - 1]) + alpha[t] / beta[t])


def posterior_means(x0):
    """The mean of q(x_{t-1} | x_t, x_0) for x_0 (points) at every row: two measurements joined."""
    readings = alpha_bar[t - 1].sqrt()[:, None] * x0 / (1 - alpha_bar[t - 1, None])
    return POSTERIOR_VARIANCE[:, None] * (readings + (alpha[t].sqrt() / beta[t] * X_T)[:, None])


def price(mean, variance):
    """KL(q(x_{t-1} | x_t, x_0) || N(mean, variance)), averaged over q(x_0 | x_t)."""
    known = Normal(posterior_means(GRID_X0), POSTERIOR_VARIANCE.sqrt()[:, None])
    return average(Q_X0, kl_divergence(known, Normal(mean[:, None], variance.sqrt()[:, None])))


def unavoidable_price(row):
    """KL(q(x_{t-1} | x_t, x_0) || q(x_{t-1} | x_t)) at one row, averaged over q(x_0 | x_t)."""
    fewer = slice(None, None, 10)  # still so close that a sum is an integral
    share = Q_X0[row, fewer] / Q_X0[row, fewer].sum()
    mean = posterior_means(GRID_X0[fewer])[row, :, None]
    points = torch.linspace(-8, 8, 161, dtype=torch.float64)  # in standard deviations
    weights = (-(points**2) / 2).softmax(0)
    x = mean + POSTERIOR_VARIANCE[row].sqrt() * points
    log_known = log_normal(x, mean, POSTERIOR_VARIANCE[row])
    log_before = (
        log_marginal(x, alpha_bar[t[row] - 1])
        + log_normal(X_T[row], alpha[t[row]].sqrt() * x, beta[t[row]])
        - log_marginal(X_T[row : row + 1], alpha_bar[t[row]])
    )
    return share @ ((log_known - log_before) @ weights)


def seen_before():
    """What the package sees at every point of x_{t-1}: mean and variance of x_0, each (rows, N)."""
    rows = [TOY(GRID[:, None], torch.full((len(GRID),), k - 1)) for k in t.tolist()]
    guesses, spreads = ([getattr(row, name) for row in rows] for name in ("x0_hat", "x0_variance"))
    return torch.cat(guesses, 1).T, torch.cat(spreads, 1).T


@pytest.mark.equation("eq-back-mixture", latex="0ad95cd8", code=[q_posterior, q_transition])
def test_a_step_back_is_an_average_over_the_data(claim):
    x = torch.linspace(-1.5, 1.5, 7).double()
    rows = torch.arange(3, len(t))  # where a step is wide enough for the points of x_0
    at, x_t = t[rows], X_T[rows]
    for value in x:
        before = value.expand(len(rows))
        mean, variance = q_transition(SCHEDULE, before, at)
        by_bayes = (
            log_normal(x_t, mean, variance)
            + log_marginal(before[:, None], alpha_bar[at - 1])[:, 0]
            - log_marginal(x_t[:, None], alpha_bar[at])[:, 0]
        )
        many = GRID_X0.expand(len(rows), -1)
        mean, variance = q_posterior(SCHEDULE, many, x_t[:, None].expand_as(many), at)
        apart = GRID_X0[1] - GRID_X0[0]
        densities = {
            r"\int": 1,
            r"q(x_{t-1} \mid x_t, x_0)": log_normal(value, mean, variance).exp(),
            r"q(x_0 \mid x_t)": Q_X0[rows] / apart,
            r"dx_0": apart,
        }
        printed = claim.printed(densities).sum(1)
        claim.equal(1 + by_bayes.exp(), 1 + printed)


@pytest.mark.equation("eq-back-mean", latex="30c786c6", code=[q_posterior])
def test_mean_of_a_step_back(claim):
    printed = claim.printed({r"\mathbb{E}[x_0 \mid x_t]": MEAN_X0}, **TABLES, t=t, x_t=X_T)
    claim.equal(MEAN_BEFORE, printed)
    claim.equal(q_posterior(SCHEDULE, MEAN_X0, X_T, t)[0], printed)
    claim.equal(p_reverse(TOY, X_T[:, None], t)[0][:, 0], printed)


@pytest.mark.equation("eq-back-variance", latex="42305036", code=[GaussianMixture._x0_moments])
def test_variance_of_a_step_back(claim):
    printed = claim.printed({r"\mathrm{Var}(x_0 \mid x_t)": VAR_X0}, **TABLES, t=t)
    claim.equal(VAR_BEFORE, printed)
    claim.equal(p_reverse(TOY, X_T[:, None], t)[1][:, 0].exp(), printed)


@pytest.mark.equation("eq-back-score", latex="71711d76", code=[GaussianMixture.score])
def test_mean_of_a_step_back_from_the_score(claim):
    x = X_T[:, None].clone().requires_grad_()
    (slope,) = torch.autograd.grad(log_marginal(x, alpha_bar[t]).sum(), x)
    printed = claim.printed({r"\nabla \ln q(x_t)": slope[:, 0]}, **TABLES, t=t, x_t=X_T)
    claim.equal(MEAN_BEFORE, printed)
    claim.equal((X_T + beta[t] * TOY.score(X_T[:, None], t)[:, 0]) / alpha[t].sqrt(), printed)


@pytest.mark.equation("eq-guess-stays", latex="6317004d", code=[GaussianMixture._x0_moments])
def test_the_guess_moves_by_chance_alone(claim):
    guesses, _ = seen_before()
    printed = MEAN_X0
    claim.equal(average(Q_BEFORE, guesses), printed)


@pytest.mark.equation("eq-guess-sharpens", latex="01b3c036", code=[GaussianMixture._x0_moments])
def test_what_the_spread_loses_the_guess_moves(claim):
    guesses, spreads = seen_before()
    mean = average(Q_BEFORE, guesses)
    moved = average(Q_BEFORE, (guesses - mean[:, None]) ** 2)
    parts = {
        r"\mathbb{E}[\mathrm{Var}(x_0 \mid x_{t-1}) | x_t]": average(Q_BEFORE, spreads),
        r"\mathrm{Var}(\mathbb{E}[x_0 \mid x_{t-1}] | x_t)": moved,
    }
    printed = claim.printed(parts)
    claim.equal(VAR_X0, printed)


@pytest.mark.equation("eq-price-splits", latex="1ab6ed6c")
def test_a_price_in_two_parts(claim):
    """For normal steps that are right, and for some that are off in mean and in variance.

    The three divergences are computed each in its own way: the left one by the formula for two
    normals, the unavoidable one by a sum around every x_0, the misfit by a sum over x_{t-1}.
    """
    log_before = Q_BEFORE.log().clamp(min=-700) - (GRID[1] - GRID[0]).log()
    unavoidable = torch.stack([unavoidable_price(row) for row in range(len(t))])
    before, known, model = (
        rf"{q}(x_{{t-1}} \mid x_t{given})" for q, given in (("q", ""), ("q", ", x_0"), ("p", ""))
    )
    for shift, factor in ((0.0, 1.0), (0.05, 1.5), (-0.1, 0.8)):
        mean, variance = MEAN_BEFORE + shift, VAR_BEFORE * factor
        log_model = log_normal(GRID, mean[:, None], variance[:, None])
        divergences = {
            rf"\mathbb{{E}}[{kl(known, before)} \mid x_t]": unavoidable,
            kl(before, model): average(Q_BEFORE, log_before - log_model),
        }
        printed = claim.printed(divergences)
        claim.equal(1 + price(mean, variance), 1 + printed)


@pytest.mark.equation("eq-price-fixed", latex="00575e7f")
def test_price_with_the_variance_of_the_posterior(claim):
    printed = claim.printed({r"\mathrm{Var}(x_0 \mid x_t)": VAR_X0}, side=1, **TABLES, t=t)
    claim.equal(1 + price(MEAN_BEFORE, POSTERIOR_VARIANCE), 1 + printed)
    claim.equal(claim.printed(u_t=(SNR[t - 1] - SNR[t]) * VAR_X0), printed)


@pytest.mark.equation("eq-price-perfect", latex="a00d08c8", code=[posterior_kl])
def test_price_with_the_true_variance(claim):
    printed = claim.printed({r"\mathrm{Var}(x_0 \mid x_t)": VAR_X0}, side=1, **TABLES, t=t)
    claim.equal(1 + price(MEAN_BEFORE, VAR_BEFORE), 1 + printed)
    claim.equal(1 + claim.printed(u_t=(SNR[t - 1] - SNR[t]) * VAR_X0), 1 + printed)
    # The package's own term at two x_0 of the right mean and spread: it is quadratic in x_0.
    mean, log_variance = p_reverse(TOY, X_T[:, None], t)
    ours = [
        posterior_kl(SCHEDULE, x0[:, None], X_T[:, None], t, mean, log_variance)
        for x0 in (MEAN_X0 + VAR_X0.sqrt(), MEAN_X0 - VAR_X0.sqrt())
    ]
    claim.equal(1 + torch.stack(ours).mean(0), 1 + printed)


@pytest.mark.equation("eq-price-normal", latex="924e65fa")
def test_price_of_the_perfect_model_of_normal_data(claim):
    for T in (2, 10, 100):
        schedule, mean, V = NoiseSchedule.cosine(T), number(0.3), number(0.25)
        snr = schedule.snr
        model = GaussianMixture(schedule, [1.0], [float(mean)], [float(V)])
        x0, weight_x0 = nodes_of_normal(mean, V, 5)
        eps, weight_eps = nodes_of_normal(number(0.0), number(1.0), 5)
        terms = elbo_terms(model, x0.repeat_interleave(5)[:, None], eps=eps.repeat(5)[:, None])
        paid = weight_x0 @ terms.denoising.sum(1).view(5, 5) @ weight_eps
        printed = claim.printed(SNR=snr, V=V, T=T)
        claim.equal(paid, printed)
        spread = V / (1 + V * snr)  # Var(x_0 | x_t): precisions add
        u = torch.cat([torch.zeros(1).double(), (snr[:-1] - snr[1:]) * spread[1:]])
        claim.equal(claim.printed(side=0, u=u, T=T), printed)
