import itertools
import math
from functools import partial

import pytest
import torch
from chains import CHAINS, WithNoise
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import labelled, unlabelled
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal
from torch.utils._pytree import tree_leaves

from ddpm_tutorial import (
    DDIM,
    DDPM,
    Ancestral,
    Corrected,
    DDPMConfig,
    DPMSolver,
    GaussianMixture,
    Here,
    NoiseSchedule,
    UNetConfig,
    acceptance_probability,
    annealed_langevin,
    eps_from_x0,
    filled_like,
    langevin,
    langevin_step,
    metropolis_adjusted_langevin,
    probability_flow_log_prob,
    sample,
    sample_path,
    score,
    standard_normal,
    timestep_pairs,
    tweedie,
    walk,
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
        return eps_from_x0(toy.schedule, x_t, t, toy(x_t, t).x0_hat).to(x_t)

    return DDPM(unlabelled(network), toy.schedule, "eps", shape=(1,))


def last(path) -> Tensor:
    *_, (t, x, x0_hat) = path
    assert t == 0
    assert x0_hat is x
    return x


def tiny_ddpm() -> DDPM:
    """A network with dropout, in training mode."""
    torch.manual_seed(0)
    model = DDPMConfig(T=12, network=UNetConfig(channels=(8, 16), blocks=1, dropout=0.5)).build()
    # The last convolution starts at zero, which would hide the dropout before it.
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return model.train()


every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
every_predictor = pytest.mark.parametrize(
    "predictor", [Ancestral("small"), DDIM()], ids=["ddpm", "ddim"]
)


@every_chain
def test_a_chain_draws_from_its_generator_alone_with_dropout_off(chain):
    model = tiny_ddpm()
    x = torch.randn(2, 1, 28, 28, generator=seeded())
    ends = []
    for unrelated, seed in [(1, 5), (2, 5), (2, 6)]:
        torch.manual_seed(unrelated)
        before = torch.get_rng_state()
        *_, state = chain(model, x, seeded(seed))
        ends.append(next(part for part in tree_leaves(state) if isinstance(part, Tensor)))
        assert torch.equal(torch.get_rng_state(), before)
        assert model.training
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@every_chain
def test_a_chain_keeps_no_graph_and_leaves_gradients_on_outside(chain):
    x = torch.randn(2, 1, 28, 28, generator=seeded()).requires_grad_()
    for state in chain(tiny_ddpm(), x, seeded()):
        assert torch.is_grad_enabled()
        for part in tree_leaves(state):
            # A path hands the start back as it was given.
            assert part is x or not isinstance(part, Tensor) or not part.requires_grad


@pytest.mark.parametrize("t", [0, 1, 15, T])
def test_score_of_a_mixture_is_the_slope_of_its_log_density(t):
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).view(6, 2).requires_grad_()
    (slope,) = torch.autograd.grad(TOY.log_prob(x, at(t, x)).sum(), x)
    torch.testing.assert_close(TOY.score(x, at(t, x)).detach(), slope, rtol=1e-10, atol=1e-10)
    if t > 0:  # there is no guess at t = 0
        ours = score(TOY, x, at(t, x)).detach()
        torch.testing.assert_close(ours, slope, rtol=1e-10, atol=1e-10)


@given(t=st.integers(1, T), x=st.floats(-3, 3))
@settings(deadline=None, max_examples=30)
def test_score_of_a_ddpm_is_that_of_the_data_if_its_network_is_the_best(t, x):
    x_t = torch.tensor([[x]], dtype=torch.float64)
    true = TOY.score(x_t, at(t, x_t))
    for denoiser in (best_ddpm(TOY).denoiser(), TOY):
        ours = score(denoiser, x_t, at(t, x_t))
        torch.testing.assert_close(ours, true, rtol=1e-8, atol=1e-8)
        guess = tweedie(SCHEDULE, x_t, at(t, x_t), ours)
        torch.testing.assert_close(guess, TOY(x_t, at(t, x_t)).x0_hat, rtol=1e-6, atol=1e-6)


def test_score_and_tweedie_take_a_level_for_each_example():
    x_t = torch.randn(T, 2, 3, generator=seeded(), dtype=torch.float64)
    t = torch.arange(1, T + 1)
    signal = SCHEDULE.alpha_bar[t].sqrt().view(T, 1, 1)
    variance = 1 - SCHEDULE.alpha_bar[t].view(T, 1, 1)
    guess = TOY(x_t, t).x0_hat
    slope = (signal * guess - x_t) / variance
    for denoiser in (best_ddpm(TOY).denoiser(), TOY):
        torch.testing.assert_close(score(denoiser, x_t, t), slope, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(tweedie(SCHEDULE, x_t, t, slope), guess, rtol=1e-8, atol=1e-8)


def test_score_leaves_dropout_off_and_the_mode_as_it_was():
    model = tiny_ddpm()
    x = torch.randn(2, 1, 28, 28, generator=seeded())
    first, second = (score(model.denoiser(), x, at(5, x)) for _ in range(2))
    assert torch.equal(first, second)
    assert model.training


@given(step=st.floats(1e-6, 2))
def test_a_langevin_step_is_the_formula_to_rounding(step):
    x, slope, z = torch.randn(3, 4, 2, 3, generator=seeded(), dtype=torch.float64)
    expected = x.numpy() + step * slope.numpy() + math.sqrt(2 * step) * z.numpy()
    for shape in ((), (4, 1, 1)):
        ours = langevin_step(x, slope, torch.full(shape, step, dtype=torch.float64), z)
        torch.testing.assert_close(ours, torch.from_numpy(expected), rtol=1e-14, atol=1e-14)
    ours = langevin_step(x, slope, step, z)
    torch.testing.assert_close(ours, torch.from_numpy(expected), rtol=1e-14, atol=1e-14)


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


@pytest.mark.parametrize("h", [0.07, 0.4])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1, 1)], ids=str)
def test_acceptance_probability_is_the_ratio_that_multivariate_normals_give(h, shape):
    target = MultivariateNormal(
        torch.zeros(3).double(), torch.diag(torch.tensor([1.0, 0.4, 2.0])).double()
    )
    x, y = torch.randn(2, 50, 3, generator=seeded(), dtype=torch.float64)

    def slope(x):
        return -x / torch.tensor([1.0, 0.4, 2.0], dtype=torch.float64)

    def q(to, start):
        return Normal(start + h * slope(start), math.sqrt(2 * h)).log_prob(to).sum(1)

    log_ratio = target.log_prob(y) + q(x, y) - target.log_prob(x) - q(y, x)
    x_in_shape, y_in_shape, slope_x, slope_y = (
        v.view(50, *shape) for v in (x, y, slope(x), slope(y))
    )
    at_x, at_y = (target.log_prob(x), slope_x), (target.log_prob(y), slope_y)
    ours = acceptance_probability(x_in_shape, y_in_shape, at_x, at_y, h)
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


def test_adjusted_chains_step_as_written_out_with_torch_distributions():
    """Chains of two by three entries, beside plain lines on six that share the draws."""
    h, scales = 0.3, torch.tensor([1.0, 0.4, 2.0, 0.7, 1.5, 0.5], dtype=torch.float64)
    target = MultivariateNormal(torch.full((6,), 0.2, dtype=torch.float64), torch.diag(scales))
    x = torch.randn(40, 6, generator=seeded(3), dtype=torch.float64)
    ours = metropolis_adjusted_langevin(
        lambda x: target.log_prob(x.flatten(1)) + 7, x.view(40, 2, 3), h, 4, seeded(1)
    )

    def proposal(x):
        return Normal(x - h * (x - 0.2) / scales, math.sqrt(2 * h))

    generator, rates = seeded(1), []
    for state, moved in ours:
        z = torch.randn(40, 6, generator=generator, dtype=torch.float64)
        y = proposal(x).mean + proposal(x).stddev * z
        ratio = target.log_prob(y) + proposal(y).log_prob(x).sum(1)
        ratio = ratio - target.log_prob(x) - proposal(x).log_prob(y).sum(1)
        u = torch.rand(40, generator=generator, dtype=torch.float64)
        accepted = u.log() < ratio
        x = torch.where(accepted[:, None], y, x)
        assert torch.equal(moved, accepted)
        torch.testing.assert_close(state.flatten(1), x, rtol=1e-10, atol=1e-10)
        rates.append(float(moved.double().mean()))
    assert len(rates) == 4
    assert all(0.1 < rate < 1 for rate in rates)


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
    *_, cold = langevin(lambda x: TOY.score(x, at(0, x)), start, 0.002, 400, seeded(2))
    assert abs(float((x < 0).double().mean()) - 0.3) < 4 * math.sqrt(0.21 / 4000)
    assert float((cold < 0).double().mean()) > 0.4


def test_annealed_langevin_evaluates_and_yields_as_often_as_it_says():
    calls = []
    model = best_ddpm(TOY)
    network = model.network
    model.network = lambda x, t: calls.append(int(t[0])) or network(x, t)
    start = torch.zeros(2, 1, dtype=torch.float64)
    pairs = [(T, 30), (30, 10), (10, 0)]
    path = list(annealed_langevin(model.denoiser(), start, pairs, 0.3, 2, seeded()))
    assert calls == [T, T, 30, 30, 10, 10, 10]
    assert [t for t, _, _ in path] == [T, T, 30, 30, 10, 10, 0]
    # All of it, by hand.
    generator, x = seeded(), start
    for t, x_t, x0_hat in path[:-1]:
        torch.testing.assert_close(x_t, x, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(x0_hat, TOY(x, at(t, x)).x0_hat, rtol=1e-8, atol=1e-8)
        step = 0.3 * (1 - SCHEDULE.alpha_bar[t])
        z = torch.randn(2, 1, generator=generator, dtype=torch.float64)
        x = x + step * TOY.score(x, at(t, x)) + (2 * step).sqrt() * z
    torch.testing.assert_close(path[-1][1], TOY(x, at(10, x)).x0_hat, rtol=1e-8, atol=1e-8)


@every_predictor
@pytest.mark.parametrize("clip", [False, True])
def test_with_corrections_of_next_to_no_size_it_is_the_sampler(predictor, clip):
    model = best_ddpm(GaussianMixture(SCHEDULE, [0.5, 0.5], [-0.9, 0.9], [0.05, 0.05]))
    denoiser = model.denoiser(clip=clip)
    x_T = torch.randn(50, 1, generator=seeded())
    one, other = (
        WithNoise(predictor, partial(standard_normal, x_T.shape, generator=seeded(1)))
        for _ in range(2)
    )
    ours = walk(denoiser, x_T, timestep_pairs(T, 8), Corrected(one, 1e-30, 2), seeded(2))
    theirs = sample_path(denoiser, 50, other, 8, x_T=x_T)
    for (t, x, x0_hat), (t_2, x_2, x0_hat_2) in zip(ours, theirs, strict=True):
        assert t == t_2
        torch.testing.assert_close(x.float(), x_2.float(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(x0_hat.float(), x0_hat_2.float(), rtol=1e-4, atol=1e-5)


@every_predictor
@pytest.mark.parametrize("corrections", [0, 2])
def test_a_mixture_and_the_best_network_take_the_same_path(predictor, corrections):
    x_T = torch.randn(50, 1, generator=seeded(), dtype=torch.float64)
    pairs = timestep_pairs(T, 8)
    sampler = Corrected(predictor, 0.1, corrections) if corrections else predictor
    paths = (
        walk(denoiser, x_T, pairs, sampler, seeded(1))
        for denoiser in (TOY, best_ddpm(TOY).denoiser(clip=False))
    )
    for exact, learned in zip(*paths, strict=True):
        torch.testing.assert_close(exact, learned, rtol=1e-8, atol=1e-8)


@every_predictor
def test_a_correction_is_a_langevin_step_at_the_new_level(predictor):
    x_T = torch.randn(50, 1, generator=seeded(), dtype=torch.float64)
    t, s, relative_step, generator = 30, 12, 0.4, seeded(1)
    _, (_, ours, x0_hat), _ = walk(
        TOY, x_T, [(t, s), (s, 0)], Corrected(predictor, relative_step, 2), seeded(1)
    )
    alpha_bar_t, alpha_bar_s = SCHEDULE.alpha_bar[[t, s]]
    guess = TOY(x_T, at(t, x_T)).x0_hat
    eps_hat = (x_T - alpha_bar_t.sqrt() * guess) / (1 - alpha_bar_t).sqrt()
    # The variance that goes into fresh noise; the rest stays along eps_hat (Song et al., eq. 12).
    fresh = (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)
    fresh = fresh if predictor.name == "ddpm" else 0 * fresh
    x = alpha_bar_s.sqrt() * guess + (1 - alpha_bar_s - fresh).sqrt() * eps_hat
    if predictor.name == "ddpm":
        x = x + fresh.sqrt() * torch.randn(50, 1, generator=generator, dtype=torch.float64)
    step = relative_step * (1 - alpha_bar_s)
    for _ in range(2):
        slope = TOY.score(x, at(s, x))
        z = torch.randn(50, 1, generator=generator, dtype=torch.float64)
        x = x + step * slope + (2 * step).sqrt() * z
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(x0_hat, TOY(x, at(s, x)).x0_hat, rtol=1e-10, atol=1e-10)


def told_ddpm() -> DDPM:
    """A network in float64 that tells 3 classes apart, with entries beyond [-1, 1] as x0."""

    def network(x_t, t, label):
        return 2 * torch.sin(x_t + t[:, None] / 9) + label[:, None] / 2

    return DDPM(labelled(network, 3), SCHEDULE, "x0", shape=(2,))


def test_corrections_go_with_a_solver_and_with_a_denoiser_that_is_told_labels_and_guided():
    """All of it, by hand: the predictor sees what is clipped, and the corrector what is not."""
    model, label = told_ddpm(), torch.tensor([0, 2, 1])
    x_T = torch.randn(3, 2, generator=seeded(), dtype=torch.float64)
    pairs, relative_step, w = [(T, 25), (25, 9), (9, 0)], 0.2, 1.5
    denoiser = model.denoiser(label, guidance=w)
    ours = list(walk(denoiser, x_T, pairs, Corrected(DPMSolver(), relative_step, 2), seeded(1)))

    def guess(x, t):
        told, untold = (
            model.network(x, at(t, x), labels) for labels in (label, torch.full((3,), 3))
        )
        return (1 + w) * told - w * untold

    generator, x, before = seeded(1), x_T, None
    for (t, s), (t_ours, x_ours, x0_hat_ours) in zip(pairs, ours, strict=False):
        clipped = guess(x, t).clamp(-1, 1)
        assert t_ours == t
        torch.testing.assert_close(x_ours, x, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(x0_hat_ours, clipped, rtol=1e-9, atol=1e-9)
        if s == 0:
            break
        # Lu et al. (2022), Algorithm 2.
        (a_t, a_s), lambdas = SCHEDULE.alpha_bar[[t, s]].sqrt(), SCHEDULE.snr.log() / 2
        h = lambdas[s] - lambdas[t]
        target = clipped
        if before is not None:
            r = (lambdas[t] - lambdas[before[0]]) / h
            target = (1 + 1 / (2 * r)) * clipped - 1 / (2 * r) * before[1]
        sigma_t, sigma_s = (1 - a_t**2).sqrt(), (1 - a_s**2).sqrt()
        x = sigma_s / sigma_t * x - a_s * torch.expm1(-h) * target
        before = (t, clipped)
        for _ in range(2):
            slope = (a_s * guess(x, s) - x) / sigma_s**2
            z = torch.randn(3, 2, generator=generator, dtype=torch.float64)
            step = relative_step * sigma_s**2
            x = x + step * slope + (2 * step).sqrt() * z
    assert ours[-1][0] == 0
    torch.testing.assert_close(ours[-1][1], clipped, rtol=1e-9, atol=1e-9)


def test_each_batch_is_corrected_towards_its_own_labels():
    model, label = told_ddpm(), torch.tensor([0, 2, 1, 1, 0])
    denoiser = model.denoiser(label, guidance=1.5)
    x_T = torch.randn(5, 2, generator=seeded())
    sampler = WithNoise(Corrected(DDIM(), 0.2), torch.zeros_like)
    whole, batched = (
        sample(denoiser, 5, sampler, 6, x_T=x_T, batch_size=batch_size) for batch_size in (5, 2)
    )
    torch.testing.assert_close(whole, batched, rtol=1e-5, atol=1e-5)


def test_a_corrected_sampler_is_named_after_its_predictor_and_corrects_what_it_corrected():
    inner = Corrected(DPMSolver(), 0.1)
    assert inner.name == "dpm++, corrected"
    assert Corrected(inner, 0.2, 2).name == "dpm++, corrected, corrected"
    x_t = torch.randn(5, 1, generator=seeded(), dtype=torch.float64)
    s, here = filled_like(x_t, 12), Here(x_t, at(30, x_t), TOY(x_t, at(30, x_t)))
    z = torch.randn(4, 5, 1, generator=seeded(1), dtype=torch.float64)
    ours, noise = Corrected(inner, 0.2, 2).step(TOY, here, s, iter(z).__next__), iter(z)
    x = inner.step(TOY, here, s, noise.__next__)
    variance = 1 - SCHEDULE.alpha_bar[12]
    for _ in range(2):
        x = langevin_step(x, TOY.score(x, s), 0.2 * variance, next(noise))
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("relative_step", "corrections"),
    [(0.0, 1), (-0.1, 1), (math.inf, 1), (math.nan, 1), (0.1, 0), (0.1, -1)],
)
def test_corrections_that_are_none_are_refused(relative_step, corrections):
    named = f"relative_step = {relative_step}, corrections = {corrections}: the step must be"
    with pytest.raises(ValueError, match=named):
        Corrected(DDIM(), relative_step, corrections)


def test_corrections_cost_what_they_should_and_happen_at_the_new_level():
    calls = []
    model = best_ddpm(TOY)
    network = model.network
    model.network = lambda x, t: calls.append(int(t[0])) or network(x, t)
    pairs = [(T, 30), (30, 10), (10, 0)]
    sampler = Corrected(DDIM(), 0.1, 2)
    path = list(walk(model.denoiser(), torch.zeros(2, 1), pairs, sampler, seeded()))
    assert calls == [T, 30, 30, 30, 10, 10, 10]
    assert [t for t, _, _ in path] == [T, 30, 10, 0]


@every_predictor
def test_corrections_mend_what_long_strides_do(predictor):
    """Ancestral steps with the small variance come out too narrow, and DDIM's too few."""
    schedule = NoiseSchedule.cosine(1000)
    normal = GaussianMixture(schedule, [1.0], [0.3], [0.25])
    start = torch.randn(20_000, 1, generator=seeded(), dtype=torch.float64)
    errors = []
    for sampler in (predictor, Corrected(predictor, 0.2, 8)):
        path = sample_path(normal, 20_000, sampler, 6, seeded(1), start)
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


def test_likelihood_of_the_flow_errs_by_the_square_of_its_steps():
    """A schedule that ends far from pure noise, so that every stride counts."""
    schedule = NoiseSchedule.log_snr(1600, 7.0, -1.0)
    normal = GaussianMixture(schedule, [1.0], [0.3], [0.25], true_prior=True)
    x0 = torch.linspace(-1, 1.5, 6, dtype=torch.float64).view(3, 2)
    true = Normal(0.3, 0.5).log_prob(x0).sum(1)
    errors = [
        float((probability_flow_log_prob(normal, x0, steps) - true).abs().max())
        for steps in (50, 100, 200)
    ]
    ratios = [coarse / fine for coarse, fine in itertools.pairwise(errors)]
    assert all(3.5 < ratio < 4.5 for ratio in ratios), errors
    assert errors[-1] < 5e-4


def test_likelihood_of_the_flow_is_in_float64_whatever_comes_in():
    x0 = torch.linspace(-1, 1, 6).view(3, 2)
    ours = probability_flow_log_prob(TOY, x0, 5)
    assert ours.dtype == torch.float64
    exact = probability_flow_log_prob(TOY, x0.double(), 5)
    torch.testing.assert_close(ours, exact, rtol=1e-12, atol=1e-12)


def test_likelihood_of_normal_data_is_that_of_torch():
    x0 = torch.linspace(-1, 1.5, 7, dtype=torch.float64)[:, None]
    normal = GaussianMixture(NoiseSchedule.linear(1000), [1.0], [0.3], [0.25], true_prior=True)
    torch.testing.assert_close(
        probability_flow_log_prob(normal, x0, 1000),
        Normal(0.3, 0.5).log_prob(x0)[:, 0],
        rtol=0,
        atol=1e-4,
    )
