import math

import diffusers
import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ddpm_tutorial import NoiseSchedule, timestep_pairs
from ddpm_tutorial.forward import posterior_variance

NAMES = ("linear", "cosine", "sigmoid")


def build(name: str, T: int) -> NoiseSchedule:
    return getattr(NoiseSchedule, name)(T)


# The tables


def test_golden_values() -> None:
    linear, cosine = NoiseSchedule.linear(), NoiseSchedule.cosine()
    assert linear.T == cosine.T == 1000
    assert float(linear.alpha_bar[1000]) == pytest.approx(4.03583e-5, rel=1e-6)
    beta_tilde_2 = posterior_variance(linear, torch.tensor([2]))
    assert float(beta_tilde_2) == pytest.approx(5.45319e-5, rel=1e-6)
    assert float(cosine.alpha_bar[1000]) == pytest.approx(2.43e-9, rel=2e-3)
    assert float(NoiseSchedule.linear(T=100).alpha_bar[100]) == pytest.approx(0.364, abs=5e-4)


@given(name=st.sampled_from(NAMES), T=st.integers(2, 2000))
def test_tables_are_float64_indexed_by_t_and_fall_strictly_from_1(name: str, T: int) -> None:
    schedule = build(name, T)
    assert schedule.T == T
    for table in (schedule.beta, schedule.alpha, schedule.alpha_bar, schedule.snr):
        assert table.dtype == torch.float64
        assert table.shape == (T + 1,)
    assert (schedule.beta[0], schedule.alpha[0], schedule.alpha_bar[0]) == (0, 1, 1)
    assert schedule.snr[0] == math.inf
    assert (schedule.alpha_bar.diff() < 0).all()
    assert (schedule.snr.diff() < 0).all()
    assert schedule.alpha_bar[T] > 0
    assert schedule.snr[1:].isfinite().all()
    assert ((schedule.beta[1:] > 0) & (schedule.beta[1:] <= 0.999)).all()


@given(name=st.sampled_from(NAMES), T=st.integers(2, 300))
def test_every_table_follows_from_the_clipped_beta(name: str, T: int) -> None:
    schedule = build(name, T)
    alpha_bar = 1.0
    for t in range(1, T + 1):
        alpha_bar *= 1 - float(schedule.beta[t])
        assert float(schedule.alpha[t]) == 1 - float(schedule.beta[t])
        assert float(schedule.alpha_bar[t]) == pytest.approx(alpha_bar, rel=1e-12)
        assert float(schedule.snr[t]) == pytest.approx(alpha_bar / (1 - alpha_bar), rel=1e-9)


def test_the_first_step_keeps_its_digits() -> None:
    """A product in float32 is off by 1.7e-4 in 1 - alpha_bar_1."""
    linear = NoiseSchedule.linear()
    assert float(1 - linear.alpha_bar[1]) == pytest.approx(1e-4, rel=1e-11)
    with mpmath.workdps(40):
        product = mpmath.mpf(1)
        for t in range(1, 1001):
            # The end points as float64 has them; in between, exact arithmetic.
            first, last = mpmath.mpf(1e-4), mpmath.mpf(0.02)
            product *= 1 - (first + (last - first) * (t - 1) / 999)
            exact = float(1 - product)
            assert float(1 - linear.alpha_bar[t]) == pytest.approx(exact, rel=1e-11)


@given(T=st.integers(2, 1000))
def test_linear_beta_runs_evenly_between_its_end_points(T: int) -> None:
    beta = NoiseSchedule.linear(T, 2e-4, 0.3).beta
    expected = torch.tensor([2e-4 + (0.3 - 2e-4) * (t - 1) / (T - 1) for t in range(1, T + 1)])
    torch.testing.assert_close(beta[1:], expected.double(), rtol=1e-6, atol=0)
    assert (float(beta[1]), float(beta[T])) == (2e-4, 0.3)


def exact_alpha_bar(signal, T: int) -> Tensor:
    """alpha_bar from the continuous curve, clipped like Nichol and Dhariwal, with 40 digits."""
    with mpmath.workdps(40):
        product, table = mpmath.mpf(1), [1.0]
        for t in range(1, T + 1):
            beta = 1 - signal(mpmath.mpf(t) / T) / signal(mpmath.mpf(t - 1) / T)
            product *= 1 - min(beta, mpmath.mpf("0.999"))
            table.append(float(product))
    return torch.tensor(table, dtype=torch.float64)


@pytest.mark.parametrize("T", [2, 7, 100, 1000])
def test_sigmoid_and_cosine_follow_their_curves_until_beta_is_clipped(T: int) -> None:
    def sigmoid(u):
        # Jabri et al. (2023), sigmoid_schedule, with start = -3, end = 3, tau = 1.
        v_start, v_end = (1 / (1 + mpmath.exp(-x)) for x in (-3, 3))
        return (v_end - 1 / (1 + mpmath.exp(-(u * 6 - 3)))) / (v_end - v_start)

    def cosine(u):
        s = mpmath.mpf("0.008")
        return mpmath.cos((u + s) / (1 + s) * mpmath.pi / 2) ** 2

    for schedule, signal in ((NoiseSchedule.sigmoid(T), sigmoid), (NoiseSchedule.cosine(T), cosine)):
        expected = exact_alpha_bar(signal, T)
        # 1 - alpha_bar comes from ratios near 1: some 1e-16 of rounding over a beta of 1e-5.
        torch.testing.assert_close(1 - schedule.alpha_bar, 1 - expected, rtol=1e-9, atol=0)
        torch.testing.assert_close(schedule.alpha_bar, expected, rtol=1e-9, atol=0)
        assert float(schedule.beta[T]) == 0.999
    scale = signal(mpmath.mpf(0))
    middle = NoiseSchedule.cosine(1000).alpha_bar[500]
    assert float(middle) == pytest.approx(float(cosine(mpmath.mpf("0.5")) / scale), rel=1e-9)


def test_cosine_takes_another_offset_and_another_highest_beta() -> None:
    schedule = NoiseSchedule.cosine(50, s=0.1, beta_max=0.5)
    level = [math.cos((t / 50 + 0.1) / 1.1 * math.pi / 2) ** 2 for t in range(51)]
    expected = [min(1 - level[t] / level[t - 1], 0.5) for t in range(1, 51)]
    torch.testing.assert_close(
        schedule.beta[1:], torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert float(schedule.beta[50]) == 0.5
    assert float(schedule.alpha_bar[50] / schedule.alpha_bar[49]) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("T", [10, 100, 1000])
def test_beta_and_alpha_bar_are_those_of_diffusers_one_index_on(T: int) -> None:
    for word, schedule in (
        ("linear", NoiseSchedule.linear(T)),
        ("squaredcos_cap_v2", NoiseSchedule.cosine(T)),
    ):
        theirs = diffusers.DDPMScheduler(num_train_timesteps=T, beta_schedule=word)
        for k in range(T):
            # They compute in float32.
            assert float(schedule.beta[k + 1]) == pytest.approx(float(theirs.betas[k]), rel=2e-4)
            assert float(schedule.alpha_bar[k + 1]) == pytest.approx(
                float(theirs.alphas_cumprod[k]), rel=2e-4
            )


def test_a_schedule_can_be_built_from_any_beta() -> None:
    schedule = NoiseSchedule(torch.tensor([0.0, 0.1, 0.5, 0.2], dtype=torch.float64))
    expected = torch.tensor([1, 0.9, 0.45, 0.36], dtype=torch.float64)
    torch.testing.assert_close(schedule.alpha_bar, expected, rtol=1e-14, atol=0)
    torch.testing.assert_close(schedule.snr[1:], expected[1:] / (1 - expected[1:]))
    assert NoiseSchedule(torch.tensor([0.0, 0.5])).alpha_bar.dtype == torch.float64


@pytest.mark.parametrize(
    "beta",
    [[0.1, 0.2], [0.0, 0.0], [0.0, 1.0], [0.0, 0.1, -0.1], [0.0, 0.1, 1.5], [0.0, float("nan")]],
)
def test_a_beta_that_leaves_the_open_interval_is_refused(beta: list[float]) -> None:
    with pytest.raises(ValueError, match=r"beta\[0\] must be 0"):
        NoiseSchedule(torch.tensor(beta))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 2)])
def test_a_beta_of_the_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"give T \+ 1 values"):
        NoiseSchedule(torch.zeros(shape))


def test_impossible_settings_are_refused() -> None:
    for name in NAMES:
        for T in (0, -5):
            with pytest.raises(ValueError, match=f"T = {T}: a schedule needs at least 1 step"):
                build(name, T)
    for beta_1, beta_T in ((0, 0.02), (0.02, 0.01), (0.1, 1.0)):
        with pytest.raises(ValueError, match=f"beta_1 = {beta_1}, beta_T = {beta_T}"):
            NoiseSchedule.linear(10, beta_1, beta_T)
    for beta_max in (0.0, 1.0):
        with pytest.raises(ValueError, match=f"beta_max = {beta_max}"):
            NoiseSchedule.cosine(10, beta_max=beta_max)
    with pytest.raises(ValueError, match=r"s = -0\.1"):
        NoiseSchedule.cosine(10, s=-0.1)


# Looking up


def test_look_up_keeps_shape_and_precision() -> None:
    schedule = NoiseSchedule.linear(20)
    t = torch.tensor([[0, 20, 1], [7, 7, 19]])
    level = schedule.alpha_bar_at(t)
    assert level.dtype == torch.float64
    expected = [[float(schedule.alpha_bar[k]) for k in row] for row in t.tolist()]
    torch.testing.assert_close(level, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=0)


@pytest.mark.parametrize(("outside", "shown"), [(-1, "-1 to 3"), (11, "3 to 11")])
def test_a_step_outside_the_table_is_refused(outside: int, shown: str) -> None:
    with pytest.raises(ValueError, match=rf"t must lie in 0\.\.10, got values from {shown}"):
        NoiseSchedule.linear(10).alpha_bar_at(torch.tensor([3, outside]))


# Sub-sequences


@given(data=st.data(), T=st.integers(1, 1200), spacing=st.sampled_from(["trailing", "quadratic"]))
def test_pairs_lead_from_T_to_0_in_the_given_number_of_steps(
    data: st.DataObject, T: int, spacing: str
) -> None:
    steps = data.draw(st.one_of(st.none(), st.integers(1, T), st.just(T)))
    pairs = timestep_pairs(T, steps, spacing)
    assert len(pairs) == (T if steps is None else steps)
    assert pairs[0][0] == T
    assert pairs[-1][1] == 0
    assert all(type(time) is int for pair in pairs for time in pair)
    assert all(t > s for t, s in pairs)
    assert all(pairs[i][1] == pairs[i + 1][0] for i in range(len(pairs) - 1))


@pytest.mark.parametrize("spacing", ["trailing", "quadratic"])
def test_all_steps_visit_every_t(spacing: str) -> None:
    assert timestep_pairs(5, spacing=spacing) == [(5, 4), (4, 3), (3, 2), (2, 1), (1, 0)]
    assert timestep_pairs(5, 5, spacing) == timestep_pairs(5)


@given(T=st.integers(1, 100), steps=st.integers(1, 100))
def test_trailing_times_are_the_even_ones_to_the_nearest_step(T: int, steps: int) -> None:
    steps = min(steps, T)
    times = [t for t, _ in timestep_pairs(T, steps)]
    assert all(2 * abs(t * steps - T * (steps - i)) <= steps for i, t in enumerate(times))


@pytest.mark.parametrize("T", [10, 100, 1000])
def test_trailing_times_are_those_of_diffusers_one_index_on(T: int) -> None:
    theirs = diffusers.DDIMScheduler(num_train_timesteps=T, timestep_spacing="trailing")
    for steps in (1, 2, 3, 4, 7, 10, 25, 30, 50, 99, 100, 250, 999, 1000):
        if steps <= T:
            theirs.set_timesteps(steps)
            expected = [k + 1 for k in theirs.timesteps.tolist()]
            assert [t for t, _ in timestep_pairs(T, steps)] == expected


def test_quadratic_times_lie_on_a_parabola_and_crowd_towards_the_data() -> None:
    times = [t for t, _ in timestep_pairs(1000, 20, "quadratic")]
    assert times == [round(1000 * (k / 20) ** 2 + 1e-9) for k in range(20, 0, -1)]
    strides = [t - s for t, s in timestep_pairs(1000, 100, "quadratic")]
    assert strides[0] == 20
    assert strides[-3:] == [1, 1, 1]


def test_impossible_sub_sequences_are_refused() -> None:
    for steps in (0, -1, 11):
        with pytest.raises(ValueError, match=f"steps = {steps}: choose between 1 and T = 10"):
            timestep_pairs(10, steps)
    with pytest.raises(ValueError, match="T = 0: a schedule needs at least 1 step"):
        timestep_pairs(0)
    with pytest.raises(ValueError, match='spacing = "leading": choose "trailing" or "quadratic"'):
        timestep_pairs(10, 5, "leading")
