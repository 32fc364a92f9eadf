import itertools
import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial import SCHEDULES, NoiseSchedule, check_pairs, timestep_pairs

BUILDERS = {
    "linear": NoiseSchedule.linear,
    "cosine": NoiseSchedule.cosine,
    "sigmoid": NoiseSchedule.sigmoid,
    "straight": NoiseSchedule.straight,
}
BY_NOISE = ("log-snr", "karras")


def test_golden_values():
    linear = NoiseSchedule.linear(1000)
    assert float(linear.alpha_bar[1000]) == pytest.approx(4.03583e-5, rel=1e-5)
    beta_tilde_2 = (1 - linear.alpha_bar[1]) / (1 - linear.alpha_bar[2]) * linear.beta[2]
    assert float(beta_tilde_2) == pytest.approx(5.45319e-5, rel=1e-5)
    assert float(NoiseSchedule.cosine(1000).alpha_bar[1000]) == pytest.approx(2.43e-9, rel=2e-3)
    assert float(NoiseSchedule.linear(100).alpha_bar[100]) == pytest.approx(0.364, abs=5e-4)


@given(st.sampled_from(sorted(BUILDERS)), st.integers(1, 1500))
def test_tables_are_indexed_by_t_and_the_signal_only_falls(name, T):
    schedule = BUILDERS[name](T)
    assert schedule.T == T
    for table in (schedule.beta, schedule.alpha, schedule.alpha_bar, schedule.snr):
        assert table.dtype == torch.float64
        assert table.shape == (T + 1,)
    assert schedule.alpha_bar[0] == 1
    assert (schedule.alpha_bar.diff() < 0).all()
    assert (schedule.alpha_bar > 0).all()
    assert torch.equal(schedule.alpha, 1 - schedule.beta)
    assert (schedule.beta[1:] <= 0.999).all()
    # Recomputed from the (possibly clipped) beta, not kept from the formula.
    product = np.cumprod(schedule.alpha.numpy())
    np.testing.assert_allclose(schedule.alpha_bar, product, rtol=1e-12)
    np.testing.assert_allclose(schedule.snr[1:], product[1:] / (1 - product[1:]), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")]
)
def test_equals_diffusers_shifted_by_one(name, theirs):
    other = DDPMScheduler(1000, beta_schedule=theirs)
    # 1e-7, 2e-6: their tables are float32.
    ours = BUILDERS[name](1000)
    np.testing.assert_allclose(ours.beta[1:], other.betas, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(ours.alpha_bar[1:], other.alphas_cumprod, rtol=3e-5, atol=1e-7)


def test_sigmoid_equals_its_formula():
    T = 500
    raw = 1 / (1 + np.exp(-(6 * np.arange(T + 1) / T - 3)))
    levels = (raw[-1] - raw) / (raw[-1] - raw[0])
    ours = NoiseSchedule.sigmoid(T)
    np.testing.assert_allclose(ours.alpha_bar[:-1], levels[:-1], rtol=1e-10)
    assert ours.beta[T] == pytest.approx(0.999)


@given(st.integers(2, 1500), st.floats(-3, 3), st.floats(-3, 3))
def test_the_straight_schedule_is_the_straight_path_up_to_a_factor(T, x0, eps):
    alpha_bar = NoiseSchedule.straight(T).alpha_bar[:-1]  # the last step is clipped
    u = torch.arange(T) / T
    scale = alpha_bar.sqrt() + (1 - alpha_bar).sqrt()
    path = (alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps) / scale
    np.testing.assert_allclose(path, (1 - u.double()) * x0 + u.double() * eps, atol=1e-6)
    assert NoiseSchedule.straight(T).beta[T] == pytest.approx(0.999)


def test_one_minus_alpha_bar_1_keeps_its_digits():
    """In float32, a cumulative product loses 1.7e-4 of it."""
    schedule = NoiseSchedule.linear(1000)
    assert float(1 - schedule.alpha_bar[1]) == pytest.approx(1e-4, rel=1e-10)


def test_look_up():
    schedule = NoiseSchedule.cosine(10)
    t = torch.tensor([[0, 10], [3, 3]])
    assert torch.equal(schedule.alpha_bar_at(t), schedule.alpha_bar[t])
    for wrong in (-1, 11):
        with pytest.raises(ValueError, match=rf"0\.\.10.*{wrong}"):
            schedule.alpha_bar_at(torch.tensor([1, wrong]))


@given(st.sampled_from(sorted(BUILDERS)), st.integers(1, 1200), st.floats(0.1, 30))
def test_a_shift_divides_the_signal_to_noise_ratio(name, T, factor):
    schedule = BUILDERS[name](T)
    shifted = schedule.shifted(factor)
    assert shifted.T == T
    # 1e-9: the ratio ends on 1 - alpha_bar, which has lost digits where it is small.
    expected = schedule.snr[1:] / factor**2
    np.testing.assert_allclose(shifted.snr[1:], expected, rtol=1e-9)
    np.testing.assert_allclose(shifted.shifted(1 / factor).beta, schedule.beta, rtol=1e-7)


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: NoiseSchedule.cosine(10).shifted(0), "factor = 0"),
        (lambda: NoiseSchedule.cosine(10).shifted(-2), "factor = -2"),
        (lambda: NoiseSchedule.cosine(10).shifted(math.inf), "factor = inf"),
        (lambda: NoiseSchedule.linear(0), "T = 0"),
        (lambda: NoiseSchedule.cosine(0), "T = 0"),
        (lambda: NoiseSchedule.linear(10, beta_1=0.0), "beta_1 = 0.0"),
        (lambda: NoiseSchedule.linear(10, beta_T=1.0), "beta_T = 1.0"),
        (lambda: NoiseSchedule.cosine(10, beta_max=1.0), "beta_max = 1.0"),
        (lambda: NoiseSchedule.cosine(10, s=-1.0), "s = -1.0"),
        (lambda: NoiseSchedule(torch.tensor([0.1, 0.2])), r"beta\[0\]"),
        (lambda: NoiseSchedule(torch.tensor([0.0, 1.0])), "strictly between"),
        (lambda: NoiseSchedule(torch.zeros(1)), "shape"),
        (lambda: timestep_pairs(10, 0), "steps = 0"),
        (lambda: timestep_pairs(10, 11), "steps = 11"),
        (lambda: timestep_pairs(10, 5, "leading"), "leading.*trailing, quadratic, log-snr, karras"),
        (lambda: timestep_pairs(10, 5, "karras"), '"karras" goes by noise levels.*not T = 10'),
        (lambda: timestep_pairs(NoiseSchedule.cosine(10), 11, "karras"), "steps = 11"),
        (lambda: check_pairs(10, []), r"pairs = \[\].*from \(T, \.\) to \(\., 0\) with T = 10"),
        (lambda: check_pairs(10, [(9, 0)]), r"pairs = \[\(9, 0\)\]"),
        (lambda: check_pairs(10, [(10, 1)]), r"pairs = \[\(10, 1\)\]"),
        (lambda: check_pairs(10, [(10, 6), (5, 0)]), r"pairs = .*\(5, 0\)"),
        (lambda: check_pairs(10, [(10, 4), (4, 6), (6, 0)]), r"pairs = .*\(4, 6\)"),
        (lambda: check_pairs(10, [(10, 4), (4, 4), (4, 0)]), r"pairs = .*\(4, 4\)"),
    ],
)
def test_bad_values_are_named(build, named):
    with pytest.raises(ValueError, match=named):
        build()


@given(
    st.data(),
    st.integers(1, 1200),
    st.sampled_from(["trailing", "quadratic", *BY_NOISE]),
    st.sampled_from(sorted(BUILDERS)),
)
def test_pairs_lead_from_T_to_0_in_strides(data, T, spacing, name):
    steps = data.draw(st.integers(1, T))
    schedule = BUILDERS[name](T)
    pairs = timestep_pairs(schedule, steps, spacing)
    if spacing not in BY_NOISE:
        assert timestep_pairs(T, steps, spacing) == pairs
    assert len(pairs) == steps
    assert pairs[0][0] == T
    assert pairs[-1][1] == 0
    assert all(t > s for t, s in pairs)
    assert all(first[1] == second[0] for first, second in itertools.pairwise(pairs))
    check_pairs(T, pairs)


def test_quadratic_strides_shrink():
    strides = [t - s for t, s in timestep_pairs(1000, 10, "quadratic")]
    assert strides == sorted(strides, reverse=True)
    assert timestep_pairs(7) == [(t, t - 1) for t in range(7, 0, -1)]


@pytest.mark.parametrize("name", [*sorted(BUILDERS), "log-snr"])
@pytest.mark.parametrize("steps", [2, 5, 18])
def test_steps_by_noise_level_are_the_nearest_to_the_formula(name, steps):
    """Levels as Karras et al. (2022, equation 5) write them, and the same with a logarithm."""
    schedule = SCHEDULES[name](1000)
    sigma = np.sqrt(1 / schedule.alpha_bar.numpy()[1:] - 1)
    high, low, i = min(sigma[-1], 80.0), sigma[0], np.arange(steps)
    rho = 7
    root = high ** (1 / rho) + i / (steps - 1) * (low ** (1 / rho) - high ** (1 / rho))
    wanted = {"karras": root**rho, "log-snr": high * (low / high) ** (i / (steps - 1))}
    for spacing in BY_NOISE:
        times = [t for t, _ in timestep_pairs(schedule, steps, spacing)]
        nearest = [1 + np.abs(np.log(sigma / level)).argmin() for level in wanted[spacing]]
        assert times[0] == 1000
        assert times[-1] == 1
        assert times[1:] == nearest[1:]  # so few that no two of them meet


def test_as_many_steps_as_there_are_times_take_them_all_however_they_are_spaced():
    every = timestep_pairs(30)
    assert [timestep_pairs(NoiseSchedule.cosine(30), 30, one) for one in BY_NOISE] == [every] * 2


@pytest.mark.parametrize("steps", [1, 3, 7, 10, 50, 250, 1000])
def test_trailing_pairs_equal_diffusers_shifted_by_one(steps):
    other = DDIMScheduler(1000, timestep_spacing="trailing")
    other.set_timesteps(steps)
    assert [t for t, _ in timestep_pairs(1000, steps)] == (other.timesteps + 1).tolist()


def test_cosine_offset_is_the_papers():
    schedule = NoiseSchedule.cosine(1000)

    def f(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    assert float(schedule.alpha_bar[500]) == pytest.approx(f(500) / f(0), rel=1e-10)


# The log-SNR schedule


@pytest.mark.parametrize(("T", "first", "last"), [(2, 1.0, -1.0), (1000, 7.0, -7.0), (50, 9, -8)])
def test_the_log_snr_falls_along_a_line(T, first, last):
    schedule = NoiseSchedule.log_snr(T, first, last)
    expected = np.linspace(first, last, T)
    np.testing.assert_allclose(schedule.snr[1:].log().numpy(), expected, atol=1e-9)
    assert schedule.alpha_bar[0] == 1


def test_at_the_default_the_noise_at_t_1_is_some_grey_levels():
    sigma = float((1 / (1 + NoiseSchedule.log_snr().snr[1])).sqrt()) * 127.5
    assert sigma == pytest.approx(3.85, abs=0.01)
    assert math.isclose(float(NoiseSchedule.log_snr().alpha_bar[-1]), 1 / (1 + math.exp(7)))


def test_a_line_that_does_not_fall_is_refused():
    with pytest.raises(ValueError, match="T = 1: from log_snr_1 to log_snr_T takes at least 2"):
        NoiseSchedule.log_snr(1)
    for first, last in [(1.0, 1.0), (-1.0, 1.0), (math.inf, 0.0), (math.nan, 0.0)]:
        with pytest.raises(ValueError, match="the first must be the larger"):
            NoiseSchedule.log_snr(10, first, last)


def test_a_word_stands_for_the_schedule_of_that_name():
    assert list(SCHEDULES) == ["linear", "cosine", "sigmoid", "log-snr", "straight"]
    for word, make in SCHEDULES.items():
        named = getattr(NoiseSchedule, word.replace("-", "_"))
        assert torch.equal(make(100).beta, named(100).beta)
