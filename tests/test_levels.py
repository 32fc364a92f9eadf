"""A network that gives each pixel a distribution over the 256 grey levels."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial import DDPM, DDPMConfig, NoiseSchedule, UNet, UNetConfig
from ddpm_tutorial.ddpm import CROSS_ENTROPY_WEIGHT
from ddpm_tutorial.elbo import elbo_terms
from ddpm_tutorial.evaluation import measure_bound
from ddpm_tutorial.forward import level_log_probs, q_posterior, q_sample

SCHEDULE = NoiseSchedule.log_snr(20)
LEVELS = np.arange(256) / 127.5 - 1
SHAPE = (1, 2, 3)


def network(x_t, t):
    """Some log-weights, different for every pixel, level and t, (B, 256, 2, 3)."""
    level = torch.arange(256, dtype=x_t.dtype)[:, None, None]
    return 3 * torch.sin(level / 9 + x_t + t[:, None, None, None] / 5) - level / 90


MODEL = DDPM(network, SCHEDULE, predicts="levels", variance="matched", shape=SHAPE)


def draws(batch=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.randint(0, 256, (batch, *SHAPE), generator=generator).double() / 127.5 - 1
    eps = torch.randn(batch, *SHAPE, generator=generator, dtype=torch.float64)
    t = torch.arange(batch) % SCHEDULE.T + 1
    return x0, eps, t, q_sample(SCHEDULE, x0, t, eps)


def by_hand(x_t, t):
    """p(x_0 = level | x_t) of each pixel, (B, 1, 2, 3, 256), with scipy."""
    weights = network(x_t, t).numpy()[:, None].transpose(0, 1, 3, 4, 2)
    alpha_bar = SCHEDULE.alpha_bar[t].numpy()[:, None, None, None, None]
    likelihood = scipy.stats.norm.logpdf(
        x_t.numpy()[..., None], np.sqrt(alpha_bar) * LEVELS, np.sqrt(1 - alpha_bar)
    )
    return scipy.special.softmax(weights + likelihood, axis=-1)


def test_bayes_rule_joins_the_network_and_the_pixel():
    _, _, t, x_t = draws()
    prediction = MODEL.predict(x_t, t)
    expected = by_hand(x_t, t)
    np.testing.assert_allclose(prediction.level_log_probs.exp().numpy(), expected, atol=1e-12)
    mean = (expected * LEVELS).sum(-1)
    np.testing.assert_allclose(prediction.x0_hat.numpy(), mean, atol=1e-12)
    variance = (expected * (LEVELS - mean[..., None]) ** 2).sum(-1)
    np.testing.assert_allclose(prediction.x0_variance.numpy(), variance, atol=1e-12)
    signal = SCHEDULE.alpha_bar[t].sqrt()[:, None, None, None]
    sigma = (1 - SCHEDULE.alpha_bar[t]).sqrt()[:, None, None, None]
    back = signal * prediction.x0_hat + sigma * prediction.eps_hat
    torch.testing.assert_close(back, x_t, rtol=0, atol=1e-12)


@given(st.integers(1, 20), st.floats(-3, 3))
def test_the_256_probabilities_sum_to_one(step, pixel):
    x_t = torch.full((1, *SHAPE), pixel, dtype=torch.float64)
    t = torch.tensor([step])
    total = MODEL.predict(x_t, t).level_log_probs.logsumexp(-1)
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12)


def test_the_decoder_sums_to_one_over_all_images_of_a_pixel():
    model = DDPM(
        lambda x, t: torch.arange(256.0).view(1, 256, 1, 1).expand(len(x), -1, -1, -1) / 50,
        SCHEDULE,
        predicts="levels",
        variance="matched",
        shape=(1, 1, 1),
    )
    images = torch.from_numpy(LEVELS).view(256, 1, 1, 1)
    x_1 = torch.full_like(images, 0.3)
    assert float(model.decoder_log_prob(images, x_1).exp().sum()) == pytest.approx(1, abs=1e-10)


def test_several_channels_keep_their_own_levels():
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(2, 3, 4, 4, generator=generator)
    weights = torch.randn(2, 256, 3, 4, 4, generator=generator)
    t = torch.tensor([3, 9])
    model = DDPM(
        lambda x, t: weights.flatten(1, 2),
        SCHEDULE,
        predicts="levels",
        variance="matched",
        shape=(3, 4, 4),
    )
    expected = level_log_probs(SCHEDULE, x_t, t, weights.movedim(1, -1))
    torch.testing.assert_close(model.predict(x_t, t).level_log_probs, expected)


@pytest.mark.parametrize("stride", [1, 3])
def test_the_matched_variance_is_that_of_the_mixture_of_posteriors(stride):
    """p(x_s | x_t) averages q(x_s | x_t, x_0) over x_0: the mean and variance of that, level by
    level."""
    _, _, t, x_t = draws()
    t, x_t = t[stride:], x_t[stride:]
    s = (t - stride).clamp(min=1)
    t = torch.maximum(t, s + 1)
    mean, log_variance = MODEL.p_reverse(x_t, t, s)
    weights = torch.from_numpy(by_hand(x_t, t))
    means = torch.stack(
        [q_posterior(SCHEDULE, torch.full_like(x_t, v), x_t, t, s)[0] for v in LEVELS], -1
    )
    variance = q_posterior(SCHEDULE, x_t, x_t, t, s)[1]
    expected = (weights * means).sum(-1)
    torch.testing.assert_close(mean, expected, rtol=1e-10, atol=1e-10)
    spread = (weights * (means - expected[..., None]).square()).sum(-1)
    torch.testing.assert_close(log_variance.exp(), variance + spread, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize(("t", "s"), [(1, None), (1, 0), (5, 0)])
def test_the_matched_variance_of_x_0_is_that_of_x_1(t, s):
    """As with the small variance, which has no logarithm at s = 0."""
    x_t, at_t, ones = draws()[-1], torch.full((20,), t), torch.ones(20, dtype=torch.int64)
    prediction = MODEL.predict(x_t, at_t)
    _, log_variance = MODEL.reverse_given(prediction, x_t, at_t, None if s is None else s * ones)
    _, expected = MODEL.reverse_given(prediction, x_t, at_t.clamp(min=2), ones)
    torch.testing.assert_close(log_variance, expected, rtol=0, atol=1e-12)


def test_the_variance_of_a_sure_prediction_is_not_negative_by_rounding():
    level = torch.arange(256.0)
    weights = -12 * (level - level[:, None]).abs().view(256, 256, 1, 1)  # image k shows level k
    model = DDPM(
        lambda x, t: weights, SCHEDULE, predicts="levels", variance="matched", shape=(1, 1, 1)
    )
    images = (level / 127.5 - 1).view(256, 1, 1, 1)
    variance = model.predict(images, torch.full((256,), 20)).x0_variance
    assert float(variance.min()) >= 0
    assert float(variance.max()) < 1e-6


def test_mixed_precision_does_not_round_the_mean_of_the_levels():
    _, _, t, x_t = draws()
    expected = MODEL.predict(x_t.float(), t)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = MODEL.predict(x_t.float(), t)
    for name in ("x0_hat", "x0_variance"):
        torch.testing.assert_close(getattr(mixed, name), getattr(expected, name), rtol=0, atol=1e-6)


def test_the_loss_by_hand():
    x0, eps, t, x_t = draws()
    terms = MODEL(x0, t, eps)
    dimensions = x0[0].numel()
    probabilities = by_hand(x_t, t)
    level = ((x0.numpy() + 1) * 127.5).round().astype(int)
    right = np.take_along_axis(probabilities, level[..., None], -1)[..., 0]
    cross_entropy = -np.log(right).reshape(len(x0), -1).mean(1)
    np.testing.assert_allclose(terms.simple.numpy(), cross_entropy, rtol=1e-9)
    mean, log_variance = MODEL.p_reverse(x_t, t)
    true_mean, true_variance = q_posterior(SCHEDULE, x0, x_t, t.clamp(min=2))
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


def test_the_bound_teaches_at_every_t_but_1_and_the_cross_entropy_everywhere():
    x0, eps, t, x_t = draws()
    output = network(x_t, t).requires_grad_()
    model = DDPM(lambda x, t: output, SCHEDULE, predicts="levels", variance="matched", shape=SHAPE)
    terms = model(x0, t, eps)
    bound, cross_entropy, total = (
        torch.autograd.grad(term.sum(), output, retain_graph=True)[0]
        for term in (terms.variational, terms.simple, terms.total)
    )
    assert (bound.abs().amax((1, 2, 3)) > 0).all()
    bound[t == 1] = 0
    expected = bound + CROSS_ENTROPY_WEIGHT * cross_entropy
    torch.testing.assert_close(total, expected, rtol=1e-9, atol=1e-15)


def test_the_loss_and_the_bound_agree():
    """The mean over t of what training reports is the bound, but for the prior."""
    x0, *_ = draws(batch=2)
    generator = torch.Generator().manual_seed(1)
    eps = torch.randn(20, *x0.shape, generator=generator, dtype=torch.float64)
    reported = sum(
        MODEL(x0, torch.full((2,), step), eps[step - 1]).variational for step in range(1, 21)
    )
    terms = elbo_terms(MODEL, x0, eps=eps)
    nats = terms.denoising.sum(1) - terms.reconstruction
    torch.testing.assert_close(reported / 20 * x0[0].numel(), nats, rtol=1e-9, atol=1e-9)


def test_loss_and_gradient_are_finite_in_float32_at_both_ends():
    model = DDPMConfig("log-snr", 1000, "levels", UNetConfig(channels=(8,), levels=True)).build()
    x0 = torch.where(torch.arange(784).view(1, 1, 28, 28) % 2 == 0, -1.0, 1.0).repeat(4, 1, 1, 1)
    eps = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    loss = model(x0, torch.tensor([1, 2, 999, 1000]), eps).total
    assert loss.isfinite().all()
    loss.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("T", "gap"), [(20, 0.35), (1000, 0.02)])
def test_one_pixel_whose_distribution_is_known_is_coded_at_its_entropy(T, gap):
    """A lossless code: never below the entropy, and near it where the steps are small."""
    probabilities = torch.tensor([0.7, 0.2, 0.1])
    weights = torch.full((256,), -40.0)
    weights[[0, 128, 253]] = probabilities.log()
    model = DDPM(
        lambda x, t: weights.view(1, 256, 1, 1).expand(len(x), -1, -1, -1),
        NoiseSchedule.log_snr(T, 9.0, -9.0),
        predicts="levels",
        variance="matched",
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


def test_words_that_do_not_go_together_are_refused():
    for predicts, variance in [("levels", "small"), ("v", "matched")]:
        with pytest.raises(ValueError, match='"levels" and "matched" go together'):
            DDPM(network, SCHEDULE, predicts=predicts, variance=variance)
    for predicts, levels in [("levels", False), ("v", True)]:
        with pytest.raises(ValueError, match="levels=True with"):
            DDPMConfig(predicts=predicts, unet=UNetConfig(levels=levels))
    with pytest.raises(ValueError, match="set learned_variance = False"):
        UNetConfig(levels=True, learned_variance=True)


def test_the_network_gives_256_log_weights_a_pixel_and_starts_even():
    unet = UNet(UNetConfig(image_channels=2, image_size=8, channels=(8,), levels=True))
    output = unet(torch.randn(3, 2, 8, 8), torch.tensor([1, 2, 3]))
    assert output.shape == (3, 512, 8, 8)
    assert not output.any()


# The schedule


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
