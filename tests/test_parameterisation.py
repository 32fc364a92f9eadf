"""What the output of a network means: three views of one guess, and a distribution of levels."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    LEVEL_SCHEDULE,
    LEVEL_SHAPE,
    LEVELS,
    SCHEDULE,
    SHAPE,
    VIEWS,
    draws,
    level_probabilities,
    log_weights,
    scales,
    unlabelled,
    wiggle,
)
from torch import Tensor

from ddpm_tutorial import (
    CROSS_ENTROPY_WEIGHT,
    DDPM,
    PARAMETERISATIONS,
    REVERSE_VARIANCES,
    DDPMConfig,
    NoiseSchedule,
    Parameterisation,
    UNetConfig,
    elbo_terms,
    level_log_probs,
    measure_bound,
    p_reverse,
    q_posterior,
    q_sample,
)

MODEL = DDPM(log_weights, LEVEL_SCHEDULE, "levels", shape=LEVEL_SHAPE)


def perfect(view: str, x0: Tensor, eps: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A network that knows the x0 and eps that were drawn."""

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        signal, sigma = scales(t)
        v = signal * eps - sigma * x0
        return {"eps": eps, "x0": x0, "v": v, "velocity": eps - x0}[view]

    return unlabelled(network)


def drawn_levels(batch: int = 20) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x0, eps, t = draws(batch, shape=LEVEL_SHAPE)
    return x0, eps, t, q_sample(LEVEL_SCHEDULE, x0, t, eps)


def test_a_word_stands_for_the_parameterisation_of_that_name() -> None:
    assert list(PARAMETERISATIONS) == ["eps", "x0", "v", "velocity", "levels"]
    for word, parameterisation in PARAMETERISATIONS.items():
        assert isinstance(parameterisation, Parameterisation)
        assert parameterisation.name == word
        usual = REVERSE_VARIANCES[parameterisation.usual_variance]
        assert usual.needs_distribution == parameterisation.gives_distribution


# The training loss


@pytest.mark.parametrize("view", VIEWS)
def test_loss_is_the_mean_squared_error_of_each_example_computed_by_hand(view: str) -> None:
    x0, eps, t = draws(20)
    terms = DDPM(wiggle, SCHEDULE, view, shape=SHAPE)(x0, t, eps)
    for i in range(len(x0)):
        alpha_bar = float(SCHEDULE.alpha_bar[i + 1])
        a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
        answer = wiggle((a * x0 + b * eps)[i : i + 1], t[i : i + 1])[0].flatten().tolist()
        total = 0.0
        for output, x, e in zip(
            answer, x0[i].flatten().tolist(), eps[i].flatten().tolist(), strict=True
        ):
            target = {"eps": e, "x0": x, "v": a * e - b * x, "velocity": e - x}[view]
            total += (output - target) ** 2 / 12
        assert float(terms.simple[i]) == pytest.approx(total, rel=1e-12)
    assert terms.simple.shape == (20,)
    assert terms.variational is None
    torch.testing.assert_close(terms.total, terms.simple, rtol=0, atol=0)


@pytest.mark.parametrize("view", VIEWS)
def test_loss_of_a_perfect_predictor_is_zero(view: str) -> None:
    x0, eps, t = draws(20)
    loss = DDPM(perfect(view, x0, eps), SCHEDULE, view, shape=SHAPE)(x0, t, eps).simple
    torch.testing.assert_close(loss, torch.zeros_like(loss), rtol=0, atol=1e-24)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("gamma", [0.5, 5.0])
def test_min_snr_weighs_the_error_of_the_data_alike_in_every_view(view: str, gamma: float) -> None:
    x0, eps, t = draws(20)
    model = DDPM(wiggle, SCHEDULE, view, shape=SHAPE, min_snr=gamma)
    terms = model(x0, t, eps)
    plain = DDPM(wiggle, SCHEDULE, view, shape=SHAPE)(x0, t, eps)
    torch.testing.assert_close(terms.simple, plain.simple, rtol=0, atol=0)
    signal, sigma = scales(t)
    x0_hat = model.denoiser(clip=False)(signal * x0 + sigma * eps, t).x0_hat
    error = (x0_hat - x0).square().mean((1, 2, 3))
    snr = (signal / sigma).square().flatten()
    expected = torch.minimum(snr, torch.tensor(gamma, dtype=torch.float64)) * error
    torch.testing.assert_close(terms.total, expected, rtol=1e-9, atol=1e-12)


# Predictions


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("clip", [False, True])
def test_the_views_of_a_perfect_predictor_give_back_x0_and_eps(view: str, clip: bool) -> None:
    x0, eps, t = draws(20)
    signal, sigma = scales(t)
    model = DDPM(perfect(view, x0, eps), SCHEDULE, view, shape=SHAPE)
    prediction = model.denoiser(clip=clip)(signal * x0 + sigma * eps, t)
    # At t = T the signal is 5e-4 of x_t, and as many digits are lost on the way back to x0.
    torch.testing.assert_close(prediction.x0_hat, x0, rtol=0, atol=1e-11)
    torch.testing.assert_close(prediction.eps_hat, eps, rtol=0, atol=1e-11)
    assert prediction.variance_output is None
    assert prediction.level_log_probs is None
    assert prediction.x0_variance is None


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("clip", [False, True])
def test_x0_hat_and_eps_hat_always_agree_on_x_t_also_when_x0_hat_is_clipped(
    view: str, clip: bool
) -> None:
    x_t, _, t = draws(20)
    model = DDPM(wiggle, SCHEDULE, view, shape=SHAPE)
    x0_hat, eps_hat = model.denoiser(clip=clip)(x_t, t)[:2]
    signal, sigma = scales(t)
    torch.testing.assert_close(signal * x0_hat + sigma * eps_hat, x_t, rtol=1e-10, atol=1e-10)
    assert (x0_hat.abs().max() <= 1) == clip
    unclipped = model.denoiser(clip=False)(x_t, t).x0_hat
    torch.testing.assert_close(x0_hat, unclipped.clamp(-1, 1) if clip else unclipped)


def test_an_unclipped_prediction_is_the_output_of_the_network() -> None:
    x_t, _, t = draws(20)
    output, (signal, sigma) = wiggle(x_t, t), scales(t)
    eps, x0, v, velocity = (
        DDPM(wiggle, SCHEDULE, view, shape=SHAPE).denoiser(clip=False)(x_t, t) for view in VIEWS
    )
    torch.testing.assert_close(eps.eps_hat, output, rtol=0, atol=0)
    torch.testing.assert_close(x0.x0_hat, output, rtol=0, atol=0)
    torch.testing.assert_close(signal * v.eps_hat - sigma * v.x0_hat, output, rtol=1e-9, atol=1e-9)
    found = velocity.eps_hat - velocity.x0_hat
    torch.testing.assert_close(found, output, rtol=1e-9, atol=1e-9)


# A distribution over the 256 grey levels


def test_bayes_rule_joins_the_network_and_the_pixel() -> None:
    _, _, t, x_t = drawn_levels()
    prediction = MODEL.denoiser()(x_t, t)
    expected = level_probabilities(x_t, t)
    np.testing.assert_allclose(prediction.level_log_probs.exp().numpy(), expected, atol=1e-12)
    mean = (expected * LEVELS).sum(-1)
    np.testing.assert_allclose(prediction.x0_hat.numpy(), mean, atol=1e-12)
    variance = (expected * (LEVELS - mean[..., None]) ** 2).sum(-1)
    np.testing.assert_allclose(prediction.x0_variance.numpy(), variance, atol=1e-12)
    signal, sigma = scales(t, LEVEL_SCHEDULE)
    back = signal * prediction.x0_hat + sigma * prediction.eps_hat
    torch.testing.assert_close(back, x_t, rtol=0, atol=1e-12)


@given(st.integers(1, 20), st.floats(-3, 3))
def test_the_256_probabilities_sum_to_one(step: int, pixel: float) -> None:
    x_t = torch.full((1, *LEVEL_SHAPE), pixel, dtype=torch.float64)
    t = torch.tensor([step])
    total = MODEL.denoiser()(x_t, t).level_log_probs.logsumexp(-1)
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12)


@unlabelled
def slope(x_t: Tensor, t: Tensor) -> Tensor:
    """The higher a level, the more it weighs, for each of single pixels."""
    return torch.arange(256.0).view(1, 256, 1, 1).expand(len(x_t), -1, -1, -1) / 50


def test_the_decoder_sums_to_one_over_all_images_of_a_pixel() -> None:
    model = DDPM(slope, LEVEL_SCHEDULE, "levels", shape=(1, 1, 1))
    images = torch.from_numpy(LEVELS).view(256, 1, 1, 1)
    x_1 = torch.full_like(images, 0.3)
    log_prob = model.denoiser().decoder_log_prob(images, x_1)
    assert float(log_prob.exp().sum()) == pytest.approx(1, abs=1e-10)


def test_several_channels_keep_their_own_levels() -> None:
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(2, 3, 4, 4, generator=generator)
    weights = torch.randn(2, 256, 3, 4, 4, generator=generator)
    t = torch.tensor([3, 9])
    network = unlabelled(lambda x, t: weights.flatten(1, 2))
    model = DDPM(network, LEVEL_SCHEDULE, "levels", "matched", shape=(3, 4, 4))
    expected = level_log_probs(LEVEL_SCHEDULE, x_t, t, weights.movedim(1, -1))
    torch.testing.assert_close(model.denoiser()(x_t, t).level_log_probs, expected)


def test_the_variance_of_a_sure_prediction_is_not_negative_by_rounding() -> None:
    level = torch.arange(256.0)
    weights = -12 * (level - level[:, None]).abs().view(256, 256, 1, 1)  # image k shows level k
    network = unlabelled(lambda x, t: weights)
    model = DDPM(network, LEVEL_SCHEDULE, "levels", "matched", shape=(1, 1, 1))
    images = (level / 127.5 - 1).view(256, 1, 1, 1)
    variance = model.denoiser()(images, torch.full((256,), 20)).x0_variance
    assert float(variance.min()) >= 0
    assert float(variance.max()) < 1e-6


def test_mixed_precision_does_not_round_the_mean_of_the_levels() -> None:
    _, _, t, x_t = drawn_levels()
    denoiser = MODEL.denoiser()
    expected = denoiser(x_t.float(), t)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = denoiser(x_t.float(), t)
    for name in ("x0_hat", "x0_variance"):
        torch.testing.assert_close(getattr(mixed, name), getattr(expected, name), rtol=0, atol=1e-6)


def test_the_loss_of_levels_by_hand() -> None:
    x0, eps, t, x_t = drawn_levels()
    terms = MODEL(x0, t, eps)
    dimensions = x0[0].numel()
    probabilities = level_probabilities(x_t, t)
    level = ((x0.numpy() + 1) * 127.5).round().astype(int)
    right = np.take_along_axis(probabilities, level[..., None], -1)[..., 0]
    cross_entropy = -np.log(right).reshape(len(x0), -1).mean(1)
    np.testing.assert_allclose(terms.simple.numpy(), cross_entropy, rtol=1e-9)
    mean, log_variance = p_reverse(MODEL.denoiser(), x_t, t)
    true_mean, true_variance = q_posterior(LEVEL_SCHEDULE, x0, x_t, t.clamp(min=2))
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(true_mean, true_variance.sqrt().expand_as(true_mean)),
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()),
    )
    nats = kl.flatten(1).sum(1).numpy()
    later = t.numpy() > 1
    np.testing.assert_allclose(
        terms.variational.numpy()[later], nats[later] * 20 / dimensions, rtol=1e-8
    )
    # The decoder's own term, t = 1, is reported, but it is the cross-entropy that teaches it.
    np.testing.assert_allclose(
        terms.variational.numpy()[~later], 20 * cross_entropy[~later], rtol=1e-9
    )
    expected = np.where(later, terms.variational.numpy(), 0) + CROSS_ENTROPY_WEIGHT * cross_entropy
    np.testing.assert_allclose(terms.total.numpy(), expected, rtol=1e-9)


def test_the_bound_teaches_at_every_t_but_1_and_the_cross_entropy_everywhere() -> None:
    x0, eps, t, x_t = drawn_levels()
    output = log_weights(x_t, t).requires_grad_()
    network = unlabelled(lambda x, t: output)
    model = DDPM(network, LEVEL_SCHEDULE, "levels", "matched", shape=LEVEL_SHAPE)
    terms = model(x0, t, eps)
    bound, cross_entropy, total = (
        torch.autograd.grad(term.sum(), output, retain_graph=True)[0]
        for term in (terms.variational, terms.simple, terms.total)
    )
    assert (bound.abs().amax((1, 2, 3)) > 0).all()
    bound[t == 1] = 0
    expected = bound + CROSS_ENTROPY_WEIGHT * cross_entropy
    torch.testing.assert_close(total, expected, rtol=1e-9, atol=1e-15)


def test_the_loss_and_the_bound_agree() -> None:
    """The mean over t of what training reports is the bound, but for the prior."""
    x0, *_ = drawn_levels(batch=2)
    generator = torch.Generator().manual_seed(1)
    eps = torch.randn(20, *x0.shape, generator=generator, dtype=torch.float64)
    reported = sum(
        MODEL(x0, torch.full((2,), step), eps[step - 1]).variational for step in range(1, 21)
    )
    terms = elbo_terms(MODEL, x0, eps=eps)
    nats = terms.denoising.sum(1) - terms.reconstruction
    torch.testing.assert_close(reported / 20 * x0[0].numel(), nats, rtol=1e-9, atol=1e-9)


def test_loss_and_gradient_of_levels_are_finite_in_float32_at_both_ends() -> None:
    model = DDPMConfig("log-snr", 1000, "levels", network=UNetConfig(channels=(8,))).build()
    x0 = torch.where(torch.arange(784).view(1, 1, 28, 28) % 2 == 0, -1.0, 1.0).repeat(4, 1, 1, 1)
    eps = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    loss = model(x0, torch.tensor([1, 2, 999, 1000]), eps).total
    assert loss.isfinite().all()
    loss.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("T", "gap"), [(20, 0.35), (1000, 0.02)])
def test_one_pixel_whose_distribution_is_known_is_coded_at_its_entropy(T: int, gap: float) -> None:
    """A lossless code: never below the entropy, and near it where the steps are small."""
    probabilities = torch.tensor([0.7, 0.2, 0.1])
    weights = torch.full((256,), -40.0)
    weights[[0, 128, 253]] = probabilities.log()
    model = DDPM(
        unlabelled(lambda x, t: weights.view(1, 256, 1, 1).expand(len(x), -1, -1, -1)),
        NoiseSchedule.log_snr(T, 9.0, -9.0),
        "levels",
        "matched",
        shape=(1, 1, 1),
    )
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(probabilities, 40_000, True, generator=generator)
    x0 = (torch.tensor([0, 128, 253])[drawn] / 127.5 - 1).view(-1, 1, 1, 1).double()
    figures = measure_bound(model, x0, generator, min(T - 1, 40), batch_size=len(x0))
    entropy = -float((probabilities * probabilities.log2()).sum())
    error = 4 * figures.total.standard_error
    assert error < 0.1
    assert entropy - error < figures.total.mean < entropy + gap + error
