"""Chapter 4: the forward process."""

import pytest
import torch
from scipy import integrate
from toys import log_normal, number, tables

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


@pytest.mark.equation("eq-sum-of-normals", latex="dd492c5b")
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
        words = {r"\text{for independent} \epsilon": 1}
        mean, variance = claim.printed(words, a=a, b=b)
        printed = log_normal(number(total), mean, variance).exp()
        claim.equal(number(convolution), printed)


@pytest.mark.equation("eq-marginal", latex="b0487074", code=[q_marginal, q_transition])
def test_t_steps_at_once(claim):
    """Mean and variance carried through the steps one by one, against the closed form."""
    for schedule in SCHEDULES:
        mean, variance = X0, torch.zeros(40).double()
        for step in range(1, 41):
            t = torch.full((40,), step)
            mean, added = q_transition(schedule, mean, t)
            variance = schedule.alpha[step] * variance + added
            x_t = mean + torch.tensor([[-1.5], [0.5]]) * variance.sqrt()
            printed = claim.printed(**tables(schedule), t=t, x0=X0, x_t=x_t, I=1)
            claim.equal(log_normal(x_t, mean, variance).exp(), printed)
            claim.equal(log_normal(x_t, *q_marginal(schedule, X0, t)).exp(), printed)


@pytest.mark.equation("eq-draw", latex="fd38db1c", code=[q_sample])
def test_a_draw_from_the_marginal(claim):
    """Noise of mean 0 and variance 1 becomes x_t of the right mean and variance, and is normal."""
    schedule = NoiseSchedule.cosine(40)
    t = STEPS
    eps = torch.tensor([[-1.0], [1.0]]).double()  # mean 0 and variance 1
    printed = claim.printed(**tables(schedule), t=t, x0=X0, eps=eps)
    mean, variance = q_marginal(schedule, X0, t)
    claim.equal(mean, printed.mean(0))
    claim.equal(variance, printed.var(0, correction=0))
    for sign in (0, 1):
        claim.equal(q_sample(schedule, X0, t, eps[sign].expand(40)), printed[sign])


@pytest.mark.equation("eq-between", latex="e355ba88", code=[q_transition])
def test_from_one_step_to_a_later_one(claim):
    for schedule in SCHEDULES:
        t, x_s = 30, number(0.6)
        for s in (1, 12, 29):
            mean, variance = x_s, number(0.0)
            for step in range(s + 1, t + 1):
                mean = schedule.alpha[step].sqrt() * mean
                variance = schedule.alpha[step] * variance + schedule.beta[step]
            x_t = mean + torch.tensor([-1.5, 0.5]).double() * variance.sqrt()
            printed = claim.printed(**tables(schedule), s=s, t=t, x_s=x_s, x_t=x_t, I=1)
            claim.equal(log_normal(x_t, mean, variance).exp(), printed)
            ours = q_transition(schedule, x_s[None], torch.tensor([t]), torch.tensor([s]))
            claim.equal(log_normal(x_t, *ours).exp(), printed)


@pytest.mark.equation("eq-noise-adds-up", latex="b2900b46")
def test_what_is_left_of_each_steps_noise(claim):
    for schedule in SCHEDULES:
        for t in (1, 2, 17, 40):
            printed = claim.printed(**tables(schedule), t=t)
            claim.equal(claim.printed(side=0, **tables(schedule), t=t), printed)


@pytest.mark.equation("eq-variance-of-x-t", latex="852aea9d")
def test_variance_stays_between_that_of_the_data_and_one(claim):
    """Over data and noise: the law of total variance, with the moments of the exact mixture."""
    schedule = NoiseSchedule.cosine(40)
    model = GaussianMixture(schedule, [0.3, 0.7], [-0.6, 0.5], [0.04, 0.02], true_prior=True)
    mean = (model.weights * model.means).sum()
    variance = (model.weights * (model.variances + model.means**2)).sum() - mean**2
    grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    for t in (1, 15, 40):
        density = model.log_prob(grid[:, None], torch.full((20_001,), t)).exp()
        density = density / density.sum()
        centre = (density * grid).sum()
        spread = (density * (grid - centre) ** 2).sum()
        printed = claim.printed(**tables(schedule), t=t, V=variance)
        claim.equal(spread, printed)


@pytest.mark.equation("eq-alpha-bar-from-snr", latex="53422c08")
def test_signal_share_from_the_signal_to_noise_ratio(claim):
    for schedule in SCHEDULES:
        printed = claim.printed(SNR=schedule.snr, t=STEPS)
        claim.equal(schedule.alpha_bar[1:], printed)


@pytest.mark.equation("eq-prior-kl", latex="8f44cab7", code=[prior_term, q_marginal])
def test_what_the_end_of_the_chain_costs(claim):
    for schedule in SCHEDULES:
        T = schedule.T
        alpha_bar = schedule.alpha_bar
        printed = claim.printed(alpha_bar=alpha_bar, T=T, x0=X0)
        model = GaussianMixture(schedule, [1.0], [0.0], [1.0])
        # Numbers near 1 are subtracted, which is good to some 1e-16 of 1, not of the difference.
        claim.equal(1 + prior_term(model, X0[:, None]), 1 + printed)
        end = torch.distributions.Normal(alpha_bar[T].sqrt() * X0, (1 - alpha_bar[T]).sqrt())
        standard = torch.distributions.Normal(number(0.0), number(1.0))
        oracle = torch.distributions.kl_divergence(end, standard)
        claim.equal(1 + oracle, 1 + printed)
