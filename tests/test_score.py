import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

from ddpm_tutorial import (
    DDPM,
    DDPMConfig,
    GaussianMixture,
    NoiseSchedule,
    UNetConfig,
    sample_path,
    timestep_pairs,
)
from ddpm_tutorial.forward import eps_from_x0
from ddpm_tutorial.score import (
    acceptance_probability,
    annealed_langevin,
    langevin,
    langevin_step,
    metropolis_adjusted_langevin,
    predictor_corrector_path,
    probability_flow_log_prob,
    score,
    tweedie,
)

T = 40
SCHEDULE = NoiseSchedule.cosine(T)
TOY = GaussianMixture(SCHEDULE, [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])
NORMAL = GaussianMixture(SCHEDULE, [1.0], [0.3], [0.25])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def at(t: int, like: Tensor) -> Tensor:
    return torch.full((len(like),), t)


def best_ddpm(toy: GaussianMixture) -> DDPM:
    """A DDPM of single numbers whose network is the best there is."""

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return eps_from_x0(toy.schedule, x_t, t, toy.denoise(x_t, t)).to(x_t)

    return DDPM(network, toy.schedule, "eps", shape=(1,))


def last(path) -> Tensor:
    *_, (t, x, x0_hat) = path
    assert t == 0
    assert x0_hat is x
    return x


@pytest.mark.parametrize("t", [0, 1, 15, T])
def test_score_of_a_mixture_is_the_slope_of_its_log_density(t):
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).view(6, 2).requires_grad_()
    (slope,) = torch.autograd.grad(TOY.log_prob(x, at(t, x)).sum(), x)
    torch.testing.assert_close(score(TOY, x, at(t, x)).detach(), slope, rtol=1e-10, atol=1e-10)


@given(t=st.integers(1, T), x=st.floats(-3, 3))
@settings(deadline=None, max_examples=30)
def test_score_of_a_ddpm_is_that_of_the_data_if_its_network_is_the_best(t, x):
    x_t = torch.tensor([[x]], dtype=torch.float64)
    ours, true = (score(model, x_t, at(t, x_t)) for model in (best_ddpm(TOY), TOY))
    torch.testing.assert_close(ours, true, rtol=1e-8, atol=1e-8)
    guess = tweedie(SCHEDULE, x_t, at(t, x_t), ours)
    torch.testing.assert_close(guess, TOY.denoise(x_t, at(t, x_t)), rtol=1e-6, atol=1e-6)


def test_score_leaves_dropout_off_and_the_mode_as_it_was():
    torch.manual_seed(0)
    model = DDPMConfig(T=12, unet=UNetConfig(channels=(8, 16), blocks=1, dropout=0.5)).build()
    # The last convolution starts at zero, which would hide the dropout before it.
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    x = torch.randn(2, 1, 28, 28, generator=seeded())
    model.train()
    first, second = (score(model, x, at(5, x)) for _ in range(2))
    assert torch.equal(first, second)
    assert model.training


def test_langevin_settles_at_the_variance_of_the_formula():
    for h in (0.1, 1.0):
        x = torch.full((20_000, 1), 0.5, dtype=torch.float64)
        *_, x = langevin(lambda x: -(x - 0.5) / 2, x, h, 150, seeded())
        expected = 2 / (1 - h / 4)
        # Standard error of a variance: sqrt(2 / N) of it.
        assert abs(float(x.var()) / expected - 1) < 4 * math.sqrt(2 / 20_000)
        assert abs(float(x.mean()) - 0.5) < 4 * math.sqrt(expected / 20_000)


def test_langevin_yields_each_step_and_draws_from_its_generator():
    x = torch.ones(3, 2)
    states = list(langevin(lambda x: -x, x, 0.1, 4, seeded(1)))
    again = list(langevin(lambda x: -x, x, 0.1, 4, seeded(1)))
    assert len(states) == 4
    assert all(torch.equal(a, b) for a, b in zip(states, again, strict=True))
    z = torch.randn(3, 2, generator=seeded(1))
    torch.testing.assert_close(states[0], 0.9 * x + math.sqrt(0.2) * z)
    assert (x == 1).all()


def test_acceptance_probability_is_the_ratio_that_multivariate_normals_give():
    h = 0.07
    target = MultivariateNormal(
        torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 0.4, 2.0])).double()
    )
    x, y = torch.randn(2, 50, 3, generator=seeded(), dtype=torch.float64)

    def slope(x):
        return -x / torch.tensor([1.0, 0.4, 2.0], dtype=torch.float64)

    def q(to, start):
        return Normal(start + h * slope(start), math.sqrt(2 * h)).log_prob(to).sum(1)

    log_ratio = target.log_prob(y) + q(x, y) - target.log_prob(x) - q(y, x)
    ours = acceptance_probability(
        x, y, (target.log_prob(x), slope(x)), (target.log_prob(y), slope(y)), h
    )
    torch.testing.assert_close(ours, log_ratio.exp().clamp(max=1))
    assert 0.1 < float((ours < 1).double().mean()) < 0.9


@pytest.mark.parametrize("h", [0.02, 0.3])
def test_adjusted_chains_keep_exact_draws_exact(h):
    """Both a small step and one at which plain Langevin is far off."""
    weights = torch.tensor([0.4, 0.6]).double()
    parts = MultivariateNormal(
        torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(),
        torch.tensor([[[0.3, 0.1], [0.1, 0.2]], [[0.2, 0.0], [0.0, 0.5]]]).double(),
    )
    target = MixtureSameFamily(Categorical(weights), parts)
    torch.manual_seed(0)
    x = target.sample((20_000,))
    chain = metropolis_adjusted_langevin(target.log_prob, x, h, 40, seeded())
    rates = []
    for x, moved in chain:  # noqa: B007
        rates.append(float(moved.double().mean()))
    assert moved.dtype == torch.bool
    assert moved.shape == (20_000,)
    error = 4 / math.sqrt(20_000)
    assert ((x.mean(0) - target.mean).abs() < error * target.stddev).all()
    assert ((x.var(0) / target.variance - 1).abs() < 2 * error).all()
    share = (x[:, 0] < 0).double().mean()
    true = (
        weights * Normal(parts.mean[:, 0], parts.stddev[:, 0]).cdf(torch.zeros(2).double())
    ).sum()
    assert abs(float(share - true)) < error / 2
    assert rates[-1] > 0.9 if h == 0.02 else 0.2 < rates[-1] < 0.9


def test_a_refused_chain_stays_where_it_is():
    x = torch.zeros(500, 1, dtype=torch.float64)
    chain = metropolis_adjusted_langevin(lambda x: -8 * x.square().sum(1), x, 0.2, 5, seeded())
    refused = 0
    for after, moved in chain:
        assert torch.equal(after[~moved], x[~moved])
        assert (after[moved] != x[moved]).all()
        refused += int((~moved).sum())
        x = after
    assert refused > 0


def test_annealed_langevin_finds_the_weights_that_a_cold_chain_does_not():
    start = torch.randn(4000, 1, generator=seeded(), dtype=torch.float64)
    x = last(annealed_langevin(TOY, start, timestep_pairs(T), 0.5, 20, seeded(1)))
    *_, cold = langevin(lambda x: score(TOY, x, at(0, x)), start, 0.002, 400, seeded(2))
    assert abs(float((x < 0).double().mean()) - 0.3) < 4 * math.sqrt(0.21 / 4000)
    assert float((cold < 0).double().mean()) > 0.4


def test_annealed_langevin_evaluates_and_yields_as_often_as_it_says():
    calls = []
    model = best_ddpm(TOY)
    network = model.network
    model.network = lambda x, t: calls.append(int(t[0])) or network(x, t)
    start = torch.zeros(2, 1)
    path = list(annealed_langevin(model, start, [(T, 30), (30, 10), (10, 0)], 0.3, 2, seeded()))
    assert calls == [T, T, 30, 30, 10, 10, 10]
    assert [t for t, _, _ in path] == [T, T, 30, 30, 10, 10, 0]
    # The first step, by hand.
    slope = score(TOY, start, at(T, start))
    step = 0.3 * (1 - SCHEDULE.alpha_bar[T]).item()
    z = torch.randn(2, 1, generator=seeded())
    torch.testing.assert_close(path[1][1].double(), langevin_step(start, slope, step, z).double())
    torch.testing.assert_close(
        path[-1][1].double(),
        TOY.denoise(path_before_the_end(path, model), at(10, start)),
        rtol=1e-4,
        atol=1e-4,
    )


def path_before_the_end(path, model):
    """The state that the last guess was made at: Tweedie's formula, undone by bisection."""
    low, high = (torch.full((2, 1), v, dtype=torch.float64) for v in (-3.0, 3.0))
    for _ in range(60):
        middle = (low + high) / 2
        above = TOY.denoise(middle, at(10, middle)) > path[-1][1]
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return low


@pytest.mark.parametrize("predictor", ["ddpm", "ddim"])
@pytest.mark.parametrize("clip", [False, True])
def test_without_corrections_it_is_the_sampler(predictor, clip):
    model = best_ddpm(GaussianMixture(SCHEDULE, [0.5, 0.5], [-0.9, 0.9], [0.05, 0.05]))
    x_T = torch.randn(50, 1, generator=seeded())
    ours = predictor_corrector_path(
        model, x_T, timestep_pairs(T, 8), predictor, 0.1, 0, seeded(1), clip
    )
    theirs = sample_path(model, 50, predictor, steps=8, generator=seeded(1), x_T=x_T, clip=clip)
    for (t, x, x0_hat), (t_2, x_2, x0_hat_2) in zip(ours, theirs, strict=True):
        assert t == t_2
        torch.testing.assert_close(x.float(), x_2.float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(x0_hat.float(), x0_hat_2.float(), rtol=1e-4, atol=1e-5)


def test_corrections_cost_what_they_should_and_happen_at_the_new_level():
    calls = []
    model = best_ddpm(TOY)
    network = model.network
    model.network = lambda x, t: calls.append(int(t[0])) or network(x, t)
    pairs = [(T, 30), (30, 10), (10, 0)]
    path = list(predictor_corrector_path(model, torch.zeros(2, 1), pairs, "ddim", 0.1, 2, seeded()))
    assert calls == [T, 30, 30, 30, 10, 10, 10]
    assert [t for t, _, _ in path] == [T, 30, 10, 0]


@pytest.mark.parametrize("predictor", ["ddpm", "ddim"])
def test_corrections_mend_what_long_strides_do(predictor):
    """Ancestral steps with the small variance come out too narrow, and DDIM's too few."""
    schedule = NoiseSchedule.cosine(1000)
    normal = GaussianMixture(schedule, [1.0], [0.3], [0.25])
    start = torch.randn(20_000, 1, generator=seeded(), dtype=torch.float64)
    pairs = timestep_pairs(1000, 6)
    errors = []
    for corrections in (0, 8):
        path = predictor_corrector_path(
            normal, start, pairs, predictor, 0.2, corrections, seeded(1)
        )
        errors.append(abs(float(last(path).var()) - 0.25))
    assert errors[1] < 0.75 * errors[0]


def test_likelihood_of_the_flow_is_exact_up_to_its_steps():
    x0 = torch.linspace(-1, 1, 10, dtype=torch.float64).view(5, 2)  # two entries each
    errors = []
    for steps in (100, 400):
        toy = GaussianMixture(NoiseSchedule.cosine(steps), [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])
        error = probability_flow_log_prob(toy, x0, steps) - toy.log_prob(x0, at(0, x0))
        errors.append(float(error.abs().max()))
    assert errors[1] < errors[0] / 4
    assert errors[1] < 0.02


def test_likelihood_of_normal_data_is_that_of_torch():
    x0 = torch.linspace(-1, 1.5, 7, dtype=torch.float64)[:, None]
    normal = GaussianMixture(NoiseSchedule.linear(1000), [1.0], [0.3], [0.25], true_prior=True)
    torch.testing.assert_close(
        probability_flow_log_prob(normal, x0, 1000),
        Normal(0.3, 0.5).log_prob(x0)[:, 0],
        rtol=0,
        atol=1e-4,
    )
