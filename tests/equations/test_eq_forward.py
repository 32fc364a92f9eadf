"""Chapter 4: the forward process."""

import pytest
import torch
from scipy import integrate
from toys import log_normal, number

from ddpm_tutorial import (
    GaussianMixture,
    NoiseSchedule,
    prior_term,
    q_marginal,
    q_sample,
    q_transition,
)

SCHEDULES = [NoiseSchedule.linear(40), NoiseSchedule.cosine(40), NoiseSchedule.sigmoid(40)]
STEPS = torch.arange(1, 41)
X0 = torch.linspace(-0.9, 0.8, 40).double()


@pytest.mark.equation("eq-sum-of-normals")
def test_the_sum_of_independent_normals_is_normal(claim):
    a, b = number(0.7), number(1.1)
    for total in (-0.6, 0.2, 2.3):
        convolution, _ = integrate.quad(
            lambda y: float(
                torch.exp(
                    log_normal(number(y), number(0.0), a**2)
                    + log_normal(number(total - y), number(0.0), b**2)  # noqa: B023 (used at once)
                )
            ),
            -8,
            8,
            epsabs=1e-14,
        )
        printed = log_normal(number(total), number(0.0), a**2 + b**2)
        claim.equal(number(convolution), printed.exp())


@pytest.mark.equation("eq-marginal", code=[q_marginal, q_transition])
def test_t_steps_at_once(claim):
    """Mean and variance carried through the steps one by one, against the closed form."""
    for schedule in SCHEDULES:
        alpha_bar, mean, variance = schedule.alpha_bar, X0, torch.zeros(40).double()
        for step in range(1, 41):
            t = torch.full((40,), step)
            mean, added = q_transition(schedule, mean, t)
            variance = schedule.alpha[step] * variance + added
            printed = torch.stack([alpha_bar[t].sqrt() * X0, 1 - alpha_bar[t]])
            claim.equal(torch.stack([mean, variance]), printed)
            claim.equal(torch.stack(q_marginal(schedule, X0, t)), printed)


@pytest.mark.equation("eq-draw", code=[q_sample])
def test_a_draw_from_the_marginal(claim):
    """Noise of mean 0 and variance 1 becomes x_t of the right mean and variance, and is normal."""
    schedule = NoiseSchedule.cosine(40)
    alpha_bar, t = schedule.alpha_bar, STEPS
    eps = torch.tensor([[-1.0], [1.0]]).double()  # mean 0 and variance 1
    printed = alpha_bar[t].sqrt() * X0 + (1 - alpha_bar[t]).sqrt() * eps
    mean, variance = q_marginal(schedule, X0, t)
    claim.equal(mean, printed.mean(0))
    claim.equal(variance, printed.var(0, correction=0))
    for sign in (0, 1):
        claim.equal(q_sample(schedule, X0, t, eps[sign].expand(40)), printed[sign])


@pytest.mark.equation("eq-between", code=[q_transition])
def test_from_one_step_to_a_later_one(claim):
    for schedule in SCHEDULES:
        alpha_bar, t = schedule.alpha_bar, 30
        for s in (1, 12, 29):
            mean, variance = number(1.0), number(0.0)
            for step in range(s + 1, t + 1):
                mean = schedule.alpha[step].sqrt() * mean
                variance = schedule.alpha[step] * variance + schedule.beta[step]
            ratio = alpha_bar[t] / alpha_bar[s]
            printed = torch.stack([ratio.sqrt(), 1 - ratio])
            claim.equal(torch.stack([mean, variance]), printed)
            ones = torch.ones(1).double()
            ours = q_transition(schedule, ones, torch.tensor([t]), torch.tensor([s]))
            claim.equal(torch.cat(ours), printed)


@pytest.mark.equation("eq-noise-adds-up")
def test_what_is_left_of_each_steps_noise(claim):
    for schedule in SCHEDULES:
        alpha, beta, alpha_bar = schedule.alpha, schedule.beta, schedule.alpha_bar
        for t in (1, 2, 17, 40):
            printed = sum(beta[s] * alpha[s + 1 : t + 1].prod() for s in range(1, t + 1))
            claim.equal(1 - alpha_bar[t], printed)


@pytest.mark.equation("eq-variance-of-x-t")
def test_variance_stays_between_that_of_the_data_and_one(claim):
    """Over data and noise: the law of total variance, with the moments of the exact mixture."""
    schedule = NoiseSchedule.cosine(40)
    model = GaussianMixture(schedule, [0.3, 0.7], [-0.6, 0.5], [0.04, 0.02], true_prior=True)
    alpha_bar = schedule.alpha_bar
    mean = (model.weights * model.means).sum()
    variance = (model.weights * (model.variances + model.means**2)).sum() - mean**2
    grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    for t in (1, 15, 40):
        density = model.log_prob(grid[:, None], torch.full((20_001,), t)).exp()
        density = density / density.sum()
        centre = (density * grid).sum()
        spread = (density * (grid - centre) ** 2).sum()
        printed = alpha_bar[t] * variance + (1 - alpha_bar[t])
        claim.equal(spread, printed)


@pytest.mark.equation("eq-alpha-bar-from-snr")
def test_signal_share_from_the_signal_to_noise_ratio(claim):
    for schedule in SCHEDULES:
        snr = schedule.snr[1:]
        printed = 1 / (1 + torch.exp(-snr.log()))
        claim.equal(schedule.alpha_bar[1:], printed)


@pytest.mark.equation("eq-prior-kl", code=[prior_term, q_marginal])
def test_what_the_end_of_the_chain_costs(claim):
    for schedule in SCHEDULES:
        T = schedule.T
        alpha_bar = schedule.alpha_bar
        printed = (alpha_bar[T] * X0**2 - alpha_bar[T] - torch.log1p(-alpha_bar[T])) / 2
        model = GaussianMixture(schedule, [1.0], [0.0], [1.0])
        claim.equal(prior_term(model, X0[:, None]), printed)
        end = torch.distributions.Normal(alpha_bar[T].sqrt() * X0, (1 - alpha_bar[T]).sqrt())
        standard = torch.distributions.Normal(number(0.0), number(1.0))
        # The oracle subtracts numbers near 1, so it is good to some 1e-16 of 1, not of itself.
        oracle = torch.distributions.kl_divergence(end, standard)
        claim.equal(1 + oracle, 1 + printed)
