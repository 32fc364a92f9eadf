"""Chapter 18: two steps of a teacher as one of its student."""

import math

import pytest
import torch
from toys import tables

from ddpm_tutorial import (
    Denoiser,
    NoiseSchedule,
    Prediction,
    eps_from_x0,
    q_sample,
    two_steps,
    x0_of_step,
)

SCHEDULE = NoiseSchedule.cosine(40)
alpha_bar = SCHEDULE.alpha_bar
sigma_bar = (1 - alpha_bar).sqrt()
r = sigma_bar / alpha_bar.sqrt()
TABLES = {**tables(SCHEDULE), "sigma_bar": sigma_bar, "r": r}
t = torch.arange(6, 41)
s = t - 6
m = t - 2
X_T = torch.linspace(-2, 1.7, 35).double()


class Guess(Denoiser):
    """Some guess of the data."""

    schedule = SCHEDULE
    shape = ()

    def __call__(self, x_t, t):
        x0_hat = torch.sin(x_t + t / 9)
        return Prediction(x0_hat, eps_from_x0(SCHEDULE, x_t, t, x0_hat))


@pytest.mark.equation("eq-few-target", latex="54f125ef", code=[x0_of_step])
def test_what_a_student_has_to_see_to_arrive_at_a_given_place(claim):
    x0 = torch.linspace(-1, 0.9, 35).double()
    x_s = q_sample(SCHEDULE, x0, s, eps_from_x0(SCHEDULE, X_T, t, x0))
    printed = claim.printed(**TABLES, t=t, s=s, x_t=X_T, x_s=x_s)
    claim.equal(x0, printed)
    claim.equal(x0, x0_of_step(SCHEDULE, X_T, t, x_s, s))


@pytest.mark.equation("eq-few-mean", latex="a14a6a51", code=[two_steps])
def test_the_target_is_a_weighted_mean_of_the_teachers_guesses(claim):
    first = Guess()(X_T, t)
    second = Guess()(q_sample(SCHEDULE, first.x0_hat, m, first.eps_hat), m)
    printed = claim.printed(
        **TABLES, t=t, s=s, r_m=r[m], x0_hat=first.x0_hat, x0_hat_prime=second.x0_hat
    )
    x_s = two_steps(Guess(), X_T, t, m, s)
    at_t, at_s = alpha_bar[t].sqrt(), alpha_bar[s].sqrt()
    target = (sigma_bar[t] * x_s - sigma_bar[s] * X_T) / (sigma_bar[t] * at_s - sigma_bar[s] * at_t)
    claim.equal(target, printed)
    assert math.isclose(float(target[0]), float(second.x0_hat[0]), rel_tol=1e-12)  # s = 0
