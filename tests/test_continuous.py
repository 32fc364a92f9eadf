"""Continuous time, against what is known in closed form of Gaussian data and of a mixture."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial import (
    DDIM,
    GaussianMixture,
    NoiseSchedule,
    bound_integral,
    bound_sum,
    filled_like,
    q_transition,
    reverse_drift,
    walk,
)

V = 0.25


def normal(schedule: NoiseSchedule) -> tuple[torch.Tensor, torch.Tensor]:
    """SNR and error of the best guess for data N(0, V), whose precision is 1 / V + SNR."""
    return schedule.snr, 1 / (1 / V + schedule.snr)


def exact(schedule: NoiseSchedule) -> float:
    snr = schedule.snr
    return 0.5 * math.log((1 + V * float(snr[1])) / (1 + V * float(snr[-1])))


@given(
    first=st.floats(1, 9),
    last=st.floats(-9, -1),
    factor=st.floats(0.3, 3),
    T=st.sampled_from([3000, 6000]),
)
def test_the_integral_depends_on_the_ends_alone(
    first: float, last: float, factor: float, T: int
) -> None:
    schedule = NoiseSchedule.log_snr(T, first, last).shifted(factor)
    found = bound_integral(*normal(schedule))
    assert float(found) == pytest.approx(exact(schedule), abs=1e-5)
    # The same ends, and another way between them: every other step of the first half left out.
    kept = torch.cat([torch.arange(0, T // 2, 2), torch.arange(T // 2, T + 1)])
    kept[1] = 1
    uneven = bound_integral(*(table[kept] for table in normal(schedule)))
    assert float(uneven) == pytest.approx(float(found), abs=1e-4)


@pytest.mark.parametrize("name", ["linear", "cosine", "sigmoid", "log_snr", "straight"])
def test_the_sum_exceeds_the_integral_by_less_and_less(name: str) -> None:
    surplus = []
    for T in (1000, 10_000):
        # So little noise is left at t = 1 of most that the sum over t counts it in a few steps.
        snr, error = normal(getattr(NoiseSchedule, name)(T))
        inside = torch.cat(
            [torch.zeros(1, dtype=torch.int64), (snr.log().abs() < 5).nonzero()[:, 0]]
        )
        snr, error = snr[inside], error[inside]
        surplus.append(float(bound_sum(snr, error) - bound_integral(snr, error)))
    assert 0 < surplus[1] < surplus[0]
    if name != "linear":  # whose beta is meant for T = 1000 alone
        assert surplus[1] == pytest.approx(surplus[0] / 10, rel=0.2)


def test_the_sum_by_hand() -> None:
    snr = torch.tensor([torch.inf, 5.0, 2.0, 0.5])
    error = torch.tensor([0.0, 0.1, 0.2, 0.4])
    assert float(bound_sum(snr, error)) == pytest.approx(0.5 * (3 * 0.2 + 1.5 * 0.4))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_drift_is_what_ddim_tends_to(eta: float) -> None:
    """Of a mixture: the mean of a step of DDIM, divided by its length, as the steps shrink."""
    x = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)[:, None]
    apart = []
    for T in (1000, 4000):
        schedule = NoiseSchedule.straight(T)
        toy = GaussianMixture(schedule, [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])
        step, t = T // 4, filled_like(x, T // 4)
        *_, (_, x_s, _) = walk(toy, x, [(step, step - 1)], MeanOf(eta))
        beta = -T * float(schedule.alpha[step].log())
        drift = reverse_drift(x, toy.score(x, t), beta, eta)
        apart.append(float((T * (x_s - x) - drift).abs().max() / drift.abs().max()))
    assert apart[0] < 0.05
    assert apart[1] == pytest.approx(apart[0] / 4, rel=0.15)


class MeanOf(DDIM):
    """DDIM without its fresh noise, which has mean 0."""

    def step(self, denoiser, here, s, noise):  # type: ignore[no-untyped-def]
        return super().step(denoiser, here, s, lambda: torch.zeros_like(here.x_t))


@pytest.mark.parametrize("eta", [0.0, 1.0, 1.5])
def test_every_way_back_keeps_mean_and_variance_of_normal_data(eta: float) -> None:
    """Moments of the step are exact for normal data; its error falls with the steps."""
    schedule = NoiseSchedule.linear(1000)
    mean, variance = 0.0, 1.0
    for t in range(1000, 0, -1):
        beta = -1000 * float(schedule.alpha[t].log())
        m, spread = 0.3 * schedule.alpha_bar[t] ** 0.5, 1 - (1 - V) * schedule.alpha_bar[t]
        at = torch.tensor([0.0, 1.0], dtype=torch.float64)
        shift, one = at + reverse_drift(at, (m - at) / spread, beta, eta) / 1000
        slope = float(one - shift)
        mean = slope * mean + float(shift)
        variance = slope**2 * variance + eta**2 * beta / 1000
    assert mean == pytest.approx(0.3, abs=0.02)
    assert variance == pytest.approx(V, abs=0.01)


def test_the_forward_process_is_that_of_the_equation() -> None:
    """Its transition is that of dx = -beta x / 2 du + sqrt(beta) dw with a constant rate."""
    schedule, t, s = NoiseSchedule.cosine(100), torch.tensor([60]), torch.tensor([59])
    beta = -float(schedule.alpha[60].log())  # over one step
    mean, variance = q_transition(schedule, torch.ones(1, 1, dtype=torch.float64), t, s)
    assert float(mean) == pytest.approx(math.exp(-beta / 2), rel=1e-12)
    assert float(variance) == pytest.approx(1 - math.exp(-beta), rel=1e-12)
