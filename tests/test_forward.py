import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial import (
    NoiseSchedule,
    eps_from_x0,
    normal_log_prob,
    posterior_variance,
    q_marginal,
    q_posterior,
    q_sample,
    q_transition,
    standard_normal,
    v_from_x0_and_eps,
    x0_from_eps,
    x0_from_v,
)

T = 40
SCHEDULES = {
    "linear": NoiseSchedule.linear(T, beta_T=0.3),
    "cosine": NoiseSchedule.cosine(T),
    "sigmoid": NoiseSchedule.sigmoid(T),
}
names = st.sampled_from(sorted(SCHEDULES))
numbers = st.floats(-2, 2)


def at(t, count=1):
    return torch.full((count,), t, dtype=torch.int64)


def images(count, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 4, 4, generator=generator, dtype=dtype) * 2 - 1


@given(names, st.data(), numbers, numbers, numbers)
def test_posterior_times_marginal_is_the_joint(name, data, x0, x_s, x_t):
    """Bayes: q(x_s | x_t, x_0) q(x_t | x_0) = q(x_t | x_s) q(x_s | x_0), for any s < t."""
    schedule = SCHEDULES[name]
    t = data.draw(st.integers(2, T))
    s = data.draw(st.integers(1, t - 1))
    x0, x_s, x_t = (torch.tensor([[x]], dtype=torch.float64) for x in (x0, x_s, x_t))

    def log_density(x, moments):
        return normal_log_prob(x, moments[0], moments[1].log())

    left = log_density(x_s, q_posterior(schedule, x0, x_t, at(t), at(s))) + log_density(
        x_t, q_marginal(schedule, x0, at(t))
    )
    right = log_density(x_t, q_transition(schedule, x_s, at(t), at(s))) + log_density(
        x_s, q_marginal(schedule, x0, at(s))
    )
    # Log-densities grow as large as (x / sigma)^2; rounding grows with them.
    torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-7)


@given(names, st.data())
def test_transitions_compose_to_the_marginal(name, data):
    schedule = SCHEDULES[name]
    t = data.draw(st.integers(1, T))
    x0 = images(2, seed=t)
    mean, variance = x0, torch.zeros(2, 1, 1, 1, dtype=torch.float64)
    for step in range(1, t + 1):
        scale, _ = q_transition(schedule, torch.ones_like(mean), at(step, 2))
        mean, added = q_transition(schedule, mean, at(step, 2))
        variance = scale[:, :, :1, :1] ** 2 * variance + added
    expected_mean, expected_variance = q_marginal(schedule, x0, at(t, 2))
    torch.testing.assert_close(mean, expected_mean, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(variance, expected_variance, rtol=1e-10, atol=1e-12)


def test_a_single_step_has_variance_beta():
    schedule = SCHEDULES["linear"]
    x = images(1, 0)
    mean, variance = q_transition(schedule, x, at(7))
    torch.testing.assert_close(mean, schedule.alpha[7].sqrt() * x, rtol=1e-12, atol=0)
    torch.testing.assert_close(variance.squeeze(), schedule.beta[7], rtol=1e-12, atol=0)


def test_sample_is_mean_plus_sigma_times_noise():
    schedule = SCHEDULES["cosine"]
    x0, eps, t = images(5, 0), images(5, 1), torch.tensor([1, 2, 20, 39, 40])
    mean, variance = q_marginal(schedule, x0, t)
    torch.testing.assert_close(
        q_sample(schedule, x0, t, eps), mean + variance.sqrt() * eps, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(NoiseSchedule.linear(1000), "linear"), (NoiseSchedule.cosine(1000), "squaredcos_cap_v2")],
)
def test_equals_diffusers_shifted_by_one(ours, theirs):
    other = DDPMScheduler(1000, beta_schedule=theirs, clip_sample=False, prediction_type="sample")
    x0, eps, t = images(6, 0), images(6, 1), torch.tensor([1, 2, 100, 500, 999, 1000])
    # Their tables are float32, which costs 1 - alpha_bar its last digits at small t.
    close = {"rtol": 1e-3, "atol": 2e-5}
    x_t = q_sample(ours, x0, t, eps)
    torch.testing.assert_close(x_t, other.add_noise(x0, eps, t - 1).double(), **close)
    v = v_from_x0_and_eps(ours, t, x0, eps)
    torch.testing.assert_close(v, other.get_velocity(x0, eps, t - 1).double(), **close)
    mean, variance = q_posterior(ours, x0, x_t, t)
    for i in range(1, len(t)):
        step = int(t[i]) - 1
        scale = float(other._get_variance(step))
        assert float(variance[i].squeeze()) == pytest.approx(scale, rel=1e-3)
        # Two draws of the same noise, with and without it, give their mean.
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(x0[i : i + 1].shape, generator=generator, dtype=torch.float64)
        stepped = other.step(
            x0[i : i + 1], step, x_t[i : i + 1], generator=torch.Generator().manual_seed(0)
        ).prev_sample
        torch.testing.assert_close(
            mean[i : i + 1], (stepped - scale**0.5 * noise).double(), rtol=2e-3, atol=5e-5
        )


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("t", [1, 2, T])
def test_posterior_at_s_0_is_the_data_itself(name, t):
    x0, x_t = images(2, 0), images(2, 1)
    mean, variance = q_posterior(SCHEDULES[name], x0, x_t, at(t, 2), at(0, 2))
    torch.testing.assert_close(mean, x0, rtol=1e-12, atol=1e-14)
    assert (variance == 0).all()


def test_default_s_is_the_step_before():
    schedule, x0, x_t, t = SCHEDULES["cosine"], images(2, 0), images(2, 1), torch.tensor([2, 30])
    for default, explicit in zip(
        q_posterior(schedule, x0, x_t, t), q_posterior(schedule, x0, x_t, t, t - 1), strict=True
    ):
        assert torch.equal(default, explicit)
    expected = (1 - schedule.alpha_bar[t - 1]) / (1 - schedule.alpha_bar[t]) * schedule.beta[t]
    torch.testing.assert_close(posterior_variance(schedule, t), expected, rtol=1e-10, atol=0)


@given(names, st.integers(1, T), st.integers(0, 1000))
def test_eps_x0_and_v_are_views_of_one_another(name, t, seed):
    schedule, t = SCHEDULES[name], at(t, 2)
    x0, eps = images(2, seed), images(2, seed + 1)
    x_t = q_sample(schedule, x0, t, eps)
    v = v_from_x0_and_eps(schedule, t, x0, eps)
    # Dividing by sqrt(alpha_bar_T), down to 1e-4, magnifies rounding.
    close = {"rtol": 1e-7, "atol": 1e-9}
    torch.testing.assert_close(x0_from_eps(schedule, x_t, t, eps), x0, **close)
    torch.testing.assert_close(eps_from_x0(schedule, x_t, t, x0), eps, **close)
    torch.testing.assert_close(x0_from_v(schedule, x_t, t, v), x0, **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_coefficients_keep_their_digits_in_low_precision(dtype):
    """Looked up in float64 and then cast: 1 - alpha_bar_1 = 1e-4 survives bfloat16."""
    schedule = NoiseSchedule.linear(1000)
    x_t = q_sample(schedule, torch.zeros(1, 1, dtype=dtype), at(1), torch.ones(1, 1, dtype=dtype))
    assert x_t.dtype == dtype
    assert float(x_t) == pytest.approx(0.01, rel=torch.finfo(dtype).eps)


def test_noise_is_normal_and_comes_from_the_generator():
    like = torch.empty(0)
    first = standard_normal((4000,), like, torch.Generator().manual_seed(3))
    assert torch.equal(first, standard_normal((4000,), like, torch.Generator().manual_seed(3)))
    # Four standard errors of mean, variance and fourth moment.
    assert abs(float(first.mean())) < 4 / 4000**0.5
    assert abs(float(first.var()) - 1) < 4 * (2 / 4000) ** 0.5
    assert abs(float((first**4).mean()) - 3) < 4 * (96 / 4000) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_variances_are_exact_until_they_are_cast(dtype):
    """In bfloat16 1 - alpha_bar_1 would be 0; in float32 it would be off by 1.7e-4."""
    schedule, one = NoiseSchedule.linear(), torch.ones(1, 1, dtype=dtype)
    rounding = {torch.float32: 1e-7, torch.bfloat16: 4e-3}[dtype]
    beta_1, beta_2 = 1e-4, 1e-4 + 0.0199 / 999
    beta_tilde_2 = beta_1 * beta_2 / (beta_1 + beta_2 - beta_1 * beta_2)
    for ours, exact in [
        (q_marginal(schedule, one, torch.tensor([1]))[1], beta_1),
        (q_transition(schedule, one, torch.tensor([2]))[1], beta_2),
        (q_posterior(schedule, one, one, torch.tensor([2]))[1], beta_tilde_2),
    ]:
        assert ours.dtype == dtype
        assert float(ours) == pytest.approx(exact, rel=rounding, abs=0)
