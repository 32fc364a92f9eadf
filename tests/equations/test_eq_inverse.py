"""Chapter 17: the score of an answer, guidance towards a measurement, replacement, particles."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal
from toys import log_normal, nodes_of_normal, number, tables

from ddpm_tutorial import (
    GaussianMixture,
    JointMixture,
    Mask,
    MatchedGuidance,
    Measurement,
    NoiseSchedule,
    PosteriorGuidance,
    particle_filter,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha_bar = SCHEDULE.alpha_bar
TABLES = tables(SCHEDULE)
t = torch.arange(1, 41)
# One entry of two is measured, with an error.
WEIGHTS = torch.tensor([0.3, 0.7]).double()
MEANS = torch.tensor([[-0.3, -0.6], [0.3, 0.5]]).double()
COVARIANCES = torch.tensor([[[0.06, 0.02], [0.02, 0.01]], [[0.06, 0.01], [0.01, 0.02]]]).double()
TOY = JointMixture(SCHEDULE, WEIGHTS.tolist(), MEANS, COVARIANCES)
A, Y, SIGMA = torch.tensor([[1.0, 0.0]]).double(), number(-0.15), number(0.1)
GIVEN, _ = TOY.given(A, Y[None], float(SIGMA))
X_T = torch.stack([torch.linspace(-1.4, 1.5, 40), torch.linspace(1.1, -1.3, 40)], 1).double()
SLOPE = r"\nabla \ln q(\mathbf{y} \mid \mathbf{x}_t)"


def slope_of(log_density, x=X_T):
    """The derivative of a function, at each row of x."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(log_density(x).sum(), x)[0]


def log_marginal(x, with_y):
    """Ln q(x_t), or ln q(x_t, y), by torch.distributions, (40,): x_t and y are normal together."""
    signal, eye = alpha_bar[t].sqrt()[:, None, None, None], torch.eye(2).double()
    of_x = signal**2 * COVARIANCES + (1 - signal**2) * eye
    across = signal * COVARIANCES @ A.T
    of_y = (A @ COVARIANCES @ A.T + SIGMA**2).expand(40, 2, 1, 1)
    covariance = torch.cat([torch.cat([of_x, across], 3), torch.cat([across.mT, of_y], 3)], 2)
    mean = torch.cat([signal[..., 0] * MEANS, (MEANS @ A.T).expand(40, 2, 1)], 2)
    size = 3 if with_y else 2
    parts = MultivariateNormal(mean[..., :size], covariance[..., :size, :size])
    mixture = MixtureSameFamily(Categorical(WEIGHTS.expand(40, 2)), parts)
    return mixture.log_prob(torch.cat([x, Y.expand(40, 1)], 1)[:, :size])


def log_likelihood(x):
    """Ln q(y | x_t)."""
    return log_marginal(x, True) - log_marginal(x, False)


@pytest.mark.equation("eq-inverse-score", latex="c3e3a5dd", code=[JointMixture._component_scores])
def test_the_score_of_an_answer_is_a_sum(claim):
    parts = {r"\nabla \ln q(\mathbf{x}_t)": TOY.score(X_T, t), SLOPE: slope_of(log_likelihood)}
    printed = claim.printed(parts)
    claim.equal(slope_of(lambda x: log_marginal(x, True)), printed)
    claim.equal(slope_of(lambda x: GIVEN.log_prob(x, t)), printed)
    claim.equal(GIVEN.score(X_T, t), printed)


@pytest.mark.equation("eq-inverse-guess", latex="6a26d8b6")
def test_the_best_guess_given_a_measurement(claim):
    guess = {
        r"\mathbb{E}[\mathbf{x}_0 \mid \mathbf{x}_t]": TOY(X_T, t).x0_hat,
        SLOPE: slope_of(log_likelihood),
    }
    printed = claim.printed(guess, **TABLES, t=t[:, None])
    claim.equal(GIVEN(X_T, t).x0_hat, printed)


RUNNING = GaussianMixture(SCHEDULE, [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])


@pytest.mark.equation("eq-inverse-likelihood", latex="012c0f85")
def test_what_x_t_says_of_the_measurement_is_an_average_over_all_data(claim):
    """The running example: the average on a fine grid, beside the density of x_t and y together."""
    y, sigma, x_t = number(-0.2), number(0.4), X_T[:, :1]
    grid = torch.linspace(-2.5, 2.5, 20_001, dtype=torch.float64)
    log_prior = MixtureSameFamily(
        Categorical(RUNNING.weights), Normal(RUNNING.means, RUNNING.variances.sqrt())
    ).log_prob(grid)
    signal, noise = alpha_bar[t].sqrt()[:, None], 1 - alpha_bar[t][:, None]
    given_x_t = (log_prior + log_normal(x_t, signal * grid, noise)).softmax(1)
    average = given_x_t @ log_normal(y, grid, sigma**2).exp()
    right = r"\mathbb{E}[p(\mathbf{y} \mid \mathbf{x}_0) \mid \mathbf{x}_t]"
    printed = claim.printed({right: average})
    # Given x_t, each component is normal with known moments.
    spread = signal**2 * RUNNING.variances + noise
    of_component = RUNNING.weights.log() + log_normal(x_t, signal * RUNNING.means, spread)
    gain = signal * RUNNING.variances / spread
    mean = RUNNING.means + gain * (x_t - signal * RUNNING.means)
    variance = RUNNING.variances * noise / spread
    each = of_component.softmax(1) * log_normal(y, mean, variance + sigma**2).exp()
    claim.equal(each.sum(1), printed)


@pytest.mark.equation(
    "eq-inverse-covariance", latex="4120a966", code=[JointMixture._component_moments]
)
def test_the_covariance_of_the_data_is_the_slope_of_the_guess(claim):
    """The covariance from the matrices of each component; the slope by torch."""
    x = X_T.clone().requires_grad_()
    guess = TOY(x, t).x0_hat
    rows = [torch.autograd.grad(one.sum(), x, retain_graph=True)[0] for one in guess.unbind(1)]
    slope = torch.stack(rows, 1)
    derivative = r"\frac{\partial \hat{\mathbf{x}}_0}{\partial \mathbf{x}_t}"
    printed = claim.printed({derivative: slope}, **TABLES, t=t[:, None, None])
    signal = alpha_bar[t].sqrt()[:, None, None, None]
    of_x = signal**2 * COVARIANCES + (1 - signal**2) * torch.eye(2).double()
    gain = signal * COVARIANCES @ torch.linalg.inv(of_x)
    parts = MultivariateNormal(signal[..., 0] * MEANS, of_x)
    share = (WEIGHTS.log() + parts.log_prob(X_T[:, None])).softmax(1)
    means = MEANS + (gain @ (X_T[:, None] - signal[..., 0] * MEANS)[..., None])[..., 0]
    mean = (share[..., None] * means).sum(1)
    away = means - mean[:, None]
    within = COVARIANCES - gain @ (signal * COVARIANCES)
    each = within + away[..., :, None] * away[..., None, :]
    covariance = (share[..., None, None] * each).sum(1)
    claim.equal(covariance, printed)
    claim.equal(TOY(X_T, t).x0_variance, printed.diagonal(dim1=1, dim2=2))


# Normal data in one dimension, measured with an error.
MEAN, VARIANCE = number(0.3), number(0.25)
NORMAL = GaussianMixture(SCHEDULE, [1.0], [0.3], [0.25])
X = torch.linspace(-1.4, 1.5, 40).double()
SPREAD = alpha_bar[t] * VARIANCE + 1 - alpha_bar[t]
LEFT = VARIANCE * (1 - alpha_bar[t]) / SPREAD  # Var(x_0 | x_t)
GUESS = MEAN + alpha_bar[t].sqrt() * VARIANCE / SPREAD * (X - alpha_bar[t].sqrt() * MEAN)
MEASURED = Measurement(Y[None, None], Mask(torch.tensor([True])), float(SIGMA))
KNOWN = {"x0_hat": GUESS, "v_t": LEFT, "sigma_y": SIGMA, "y": Y}


@pytest.mark.equation(
    "eq-inverse-normal", latex="5dd6b507", code=[PosteriorGuidance.look, MatchedGuidance.__call__]
)
def test_the_best_guess_of_normal_data(claim):
    """By conditioning x_0 on x_t and y, which are normal together; and by two kinds of guidance."""
    printed = claim.printed(**KNOWN)
    signal = alpha_bar[t].sqrt()
    across = torch.stack([signal * VARIANCE, VARIANCE.expand(40)], 1)
    corner, of_y = signal * VARIANCE, (VARIANCE + SIGMA**2).expand(40)
    of_both = torch.stack([SPREAD, corner, corner, of_y], 1)
    away = torch.stack([X - signal * MEAN, (Y - MEAN).expand(40)], 1)
    solved = torch.linalg.solve(of_both.view(40, 2, 2), away)
    claim.equal(MEAN + (across * solved).sum(1), printed)
    with_variance = PosteriorGuidance(NORMAL, MEASURED, with_variance=True)
    for guidance in (with_variance, MatchedGuidance(NORMAL, MEASURED, 1)):
        seen = guidance(X[:, None], t)
        claim.equal(seen.x0_hat[:, 0], printed)
        noise = (X - signal * printed) / (1 - alpha_bar[t]).sqrt()
        claim.equal(seen.eps_hat[:, 0], noise)


@pytest.mark.equation("eq-inverse-dps", latex="db9395bd", code=[PosteriorGuidance.look])
def test_what_dps_makes_of_normal_data(claim):
    """The slope of ln p(y | x0_hat(x_t)) by torch, in the formula of the best guess."""

    def log_p(x):
        signal = alpha_bar[t].sqrt()
        guess = MEAN + signal * VARIANCE / SPREAD * (x - signal * MEAN)
        return log_normal(Y, guess, SIGMA**2)

    middle = {r"\frac{\partial}{\partial x_t} \ln p(y \mid \hat{x}_0)": slope_of(log_p, X)}
    left = claim.printed(middle, side=0, **TABLES, t=t, x0_hat=GUESS)
    printed = claim.printed(**KNOWN)
    claim.equal(left, printed)
    seen = PosteriorGuidance(NORMAL, MEASURED)(X[:, None], t)
    claim.equal(seen.x0_hat[:, 0], printed)
    noise = (X - alpha_bar[t].sqrt() * printed) / (1 - alpha_bar[t]).sqrt()
    claim.equal(seen.eps_hat[:, 0], noise)


@pytest.mark.equation("eq-inverse-replacement", latex="20b79553")
def test_what_the_noisy_copy_says_of_the_other_entry(claim):
    """Two entries of variance 1: the mean over the noise in the copy, and the variance given it."""
    rho, signal = number(0.8), alpha_bar[t].sqrt()
    copies, weights = nodes_of_normal(signal[:, None] * Y, (1 - alpha_bar[t])[:, None])
    # Conditioning the other entry on the copy, whose variance is 1 as well.
    with_copy, of_copy = rho * signal, alpha_bar[t] * 1 + 1 - alpha_bar[t]
    means = (with_copy / of_copy)[:, None] * copies
    given = {"rho": rho, "y": Y, **TABLES}
    printed = claim.printed(t=t, **given)
    claim.equal(means @ weights, printed)
    printed = claim.printed(clause=1, t=t, **given)
    claim.equal(1 - with_copy**2 / of_copy, printed)


@pytest.mark.equation("eq-inverse-evidence", latex="b7748c31")
def test_the_weights_estimate_the_evidence_without_bias(claim):
    """A chain of few steps and few particles: ln p(y) of the chain is known, as x_0 is normal."""
    schedule = NoiseSchedule.cosine(4)
    chain = GaussianMixture(schedule, [1.0], [0.0], [1.0])  # every x_t is N(0, 1)
    y, sigma = number(0.9), number(0.5)
    measured = Measurement(y[None, None], Mask(torch.tensor([True])), float(sigma))
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(150):
        *_, last = particle_filter(PosteriorGuidance(chain, measured), 6, None, generator)
        found.append(last.log_evidence.exp())
    # The last step goes to x0_hat = sqrt(alpha_bar_1) x_1.
    exact = log_normal(y, number(0.0), schedule.alpha_bar[1] + sigma**2).exp()
    printed = claim.printed({r"p(\mathbf{y})": exact})
    claim.mean(torch.stack(found), printed)
    assert math.isfinite(float(exact))
