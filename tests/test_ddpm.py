import math
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from networks import (
    SCHEDULE,
    SHAPE,
    VIEWS,
    draws,
    labelled,
    log_weights,
    scales,
    unlabelled,
    wiggle,
    wiggle_with_variance,
)
from torch import Tensor, nn

from ddpm_tutorial import (
    DDPM,
    VARIATIONAL_WEIGHT,
    Eps,
    LargeVariance,
    Levels,
    MatchedVariance,
    NoiseSchedule,
    SmallVariance,
    p_reverse,
)


def log_prob_in_bins(x: np.ndarray, mean: np.ndarray, scale: float) -> np.ndarray:
    """Of the level x, in nats, under a Gaussian cut into 256 bins, with scipy."""
    normal = scipy.stats.norm(0, scale)
    nearer = -np.abs(x - mean)  # mirrored into the left tail, where cdf keeps its digits
    inside = normal.cdf(nearer + 1 / 255) - normal.cdf(nearer - 1 / 255)
    inside = np.where(x > 0.999, normal.sf(x - 1 / 255 - mean), inside)
    inside = np.where(x < -0.999, normal.cdf(x + 1 / 255 - mean), inside)
    return np.log(inside)


# The network


def test_the_label_reaches_the_network_in_training_and_in_prediction() -> None:
    def network(x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return torch.zeros_like(x_t) + label[:, None, None, None]

    x0, eps, t = draws(3)
    label = torch.tensor([0, 1, 2])
    model = DDPM(labelled(network, 3), SCHEDULE, "x0", shape=SHAPE)
    expected = (label[:, None, None, None] - x0).square().mean((1, 2, 3))
    torch.testing.assert_close(model(x0, t, eps, label).simple, expected, rtol=1e-12, atol=0)
    denoiser = model.denoiser(label, clip=False)
    torch.testing.assert_close(denoiser(x0, t).x0_hat, network(x0, t, label), rtol=0, atol=0)
    mean, _ = p_reverse(denoiser, x0, torch.ones(3, dtype=torch.int64))
    torch.testing.assert_close(mean, network(x0, t, label), rtol=1e-12, atol=1e-12)


class Forgetful(nn.Module):
    """Half of its outputs are dropped; with one output for each of the image."""

    num_classes = 0

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.dropout(self.scale * x_t)


@pytest.mark.parametrize("training", [False, True])
def test_a_denoiser_turns_dropout_off_and_leaves_the_mode_as_it_was(training: bool) -> None:
    model = DDPM(Forgetful(), SCHEDULE, "x0", shape=SHAPE).train(training)
    x_t, _, t = draws(20)
    denoiser = model.denoiser(clip=False)
    assert all(module.training == training for module in model.modules())
    torch.testing.assert_close(denoiser(x_t, t).x0_hat, 2 * x_t, rtol=0, atol=0)
    assert all(module.training == training for module in model.modules())
    denoiser.decoder_log_prob(x_t, x_t)
    assert all(module.training == training for module in model.modules())
    dropped = (model.network(x_t, t) == 0).double().mean()
    assert (dropped > 0.3) == training


@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_fails_leaves_the_mode_as_it_was(training: bool) -> None:
    class Failing(Forgetful):
        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            assert not self.training
            raise RuntimeError("out of memory")

    model = DDPM(Failing(), SCHEDULE, shape=SHAPE).train(training)
    x_t, _, t = draws(2)
    with pytest.raises(RuntimeError, match="out of memory"):
        model.denoiser()(x_t, t)
    assert all(module.training == training for module in model.modules())


def test_a_gradient_goes_through_a_denoiser_to_image_and_weights() -> None:
    model = DDPM(Forgetful(), SCHEDULE, "x0", shape=SHAPE)
    x_t, _, t = draws(20)
    guess = model.denoiser(clip=False)(x_t.requires_grad_(), t).x0_hat
    of_image, of_weight = torch.autograd.grad(guess.sum(), [x_t, model.network.scale])
    torch.testing.assert_close(of_image, torch.full_like(x_t, 2), rtol=0, atol=0)
    torch.testing.assert_close(of_weight, x_t.detach().sum(), rtol=1e-12, atol=1e-12)


# The decoder


def test_the_decoder_is_a_gaussian_around_the_clipped_x0_hat_cut_into_bins() -> None:
    x0, _, _ = draws(20)
    x_1 = 1.5 * x0 + 0.1
    x0_hat = x_1 + 0.01  # beyond [-1, 1] for some, and near x0 where it is clipped
    assert (x0_hat.abs() > 1).any()
    model = DDPM(unlabelled(lambda x_t, t: x0_hat), SCHEDULE, "x0", "small", SHAPE)
    beta, bar = SCHEDULE.beta, SCHEDULE.alpha_bar
    scale = math.sqrt(float(beta[2] * (1 - bar[1]) / (1 - bar[2])))  # that at t = 2 stands in
    expected = log_prob_in_bins(x0.numpy(), x0_hat.clamp(-1, 1).numpy(), scale).sum((1, 2, 3))
    ours = model.denoiser().decoder_log_prob(x0, x_1)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-6)


# The learned variance in training


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_the_variational_loss_equals_an_independent_computation(view: str, fraction: float) -> None:
    x0, eps, t = draws(20)
    x0[0, 0, 0, :2] = torch.tensor([-1.0, 1.0])  # the two open bins of the decoder
    model = DDPM(wiggle_with_variance(fraction), SCHEDULE, view, "learned", SHAPE)
    terms = model(x0, t, eps)
    plain = DDPM(wiggle, SCHEDULE, view, "small", SHAPE)

    signal, sigma = scales(t)
    x_t = signal * x0 + sigma * eps
    x0_hat = plain.denoiser(clip=False)(x_t, t).x0_hat
    beta, bar, before = SCHEDULE.beta, SCHEDULE.alpha_bar, SCHEDULE.alpha_bar.roll(1)
    beta_tilde = beta * (1 - before) / (1 - bar)
    for i in range(20):
        n = i + 1  # this example's t
        small = float(beta_tilde[max(n, 2)])
        scale = math.sqrt(float(beta[n]) ** fraction * small ** (1 - fraction))
        weight_x0 = float(before[n].sqrt() * beta[n] / (1 - bar[n]))
        weight_x_t = float((1 - beta[n]).sqrt() * (1 - before[n]) / (1 - bar[n]))
        mean = (weight_x0 * x0_hat[i] + weight_x_t * x_t[i]).numpy()
        if n == 1:
            nats = -log_prob_in_bins(x0[i].numpy(), mean, scale).sum()
        else:
            true = (weight_x0 * x0[i] + weight_x_t * x_t[i]).numpy()
            kl = (
                math.log(scale / math.sqrt(small))
                + (small + (true - mean) ** 2) / (2 * scale**2)
                - 0.5
            )
            nats = kl.sum()
        expected = 20 * nats / 12  # T times the term, per dimension
        assert float(terms.variational[i]) == pytest.approx(expected, rel=1e-7)
    torch.testing.assert_close(terms.simple, plain(x0, t, eps).simple, rtol=1e-12, atol=0)
    torch.testing.assert_close(terms.total, terms.simple + 1e-3 * terms.variational)
    assert VARIATIONAL_WEIGHT == 1e-3


@pytest.mark.parametrize("view", VIEWS)
def test_the_variational_loss_teaches_the_variance_and_leaves_the_mean_alone(view: str) -> None:
    x0, eps, t = draws(20)
    output = (0.1 * torch.randn(20, 2, 3, 4, dtype=torch.float64)).requires_grad_()
    model = DDPM(unlabelled(lambda x_t, t: output), SCHEDULE, view, "learned", SHAPE)
    terms = model(x0, t, eps)
    (gradient,) = torch.autograd.grad(terms.variational.sum(), output, retain_graph=True)
    assert gradient.isfinite().all()
    torch.testing.assert_close(gradient[:, :1], torch.zeros(20, *SHAPE).double(), rtol=0, atol=0)
    assert (gradient[:, 1:].abs().amax((1, 2, 3)) > 0).all()
    (gradient,) = torch.autograd.grad(terms.simple.sum(), output)
    torch.testing.assert_close(gradient[:, 1:], torch.zeros(20, *SHAPE).double(), rtol=0, atol=0)
    assert (gradient[:, :1].abs().amax((1, 2, 3)) > 0).all()


def test_loss_and_gradient_are_finite_in_float32_at_both_ends_of_a_thousand_steps() -> None:
    x0, eps, _ = (draw.float() for draw in draws(2))
    output = torch.zeros(2, 2, 3, 4, requires_grad=True)
    for schedule in (NoiseSchedule.linear(), NoiseSchedule.cosine(), NoiseSchedule.sigmoid()):
        for view in VIEWS:
            model = DDPM(unlabelled(lambda x_t, t: output), schedule, view, "learned", SHAPE)
            terms = model(x0, torch.tensor([1, schedule.T]), eps)
            (gradient,) = torch.autograd.grad(terms.total.sum(), output)
            assert terms.total.isfinite().all(), (schedule, view)
            assert gradient.isfinite().all(), (schedule, view)


# The words and the errors


def test_words_and_objects_mean_the_same() -> None:
    x0, eps, t = draws(20)
    model = DDPM(wiggle, SCHEDULE, "eps", "large", SHAPE)
    twin = DDPM(wiggle, SCHEDULE, Eps(), LargeVariance(), SHAPE)
    torch.testing.assert_close(model(x0, t, eps).total, twin(x0, t, eps).total, rtol=0, atol=0)
    for ours, theirs in zip(
        p_reverse(model.denoiser(), x0, t), p_reverse(twin.denoiser(), x0, t), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    for one in (model, twin):
        assert (one.parameterisation.name, one.reverse_variance.name) == ("eps", "large")


@pytest.mark.parametrize("view", VIEWS)
def test_without_a_word_the_variance_is_small_and_for_levels_matched(view: str) -> None:
    assert isinstance(DDPM(wiggle, SCHEDULE, view).reverse_variance, SmallVariance)
    for levels in ("levels", Levels()):
        model = DDPM(log_weights, SCHEDULE, levels)
        assert isinstance(model.reverse_variance, MatchedVariance)


def test_a_schedule_that_leaves_data_in_x_T_warns_and_names_alpha_bar() -> None:
    with pytest.warns(UserWarning, match=r"alpha_bar\[T\] = 0\.364 at T = 100.*cosine"):
        DDPM(wiggle, NoiseSchedule.linear(T=100))


@pytest.mark.parametrize(
    "schedule",
    [NoiseSchedule.linear(), NoiseSchedule.cosine(T=10), NoiseSchedule.linear(100, 1e-3, 0.2)],
)
def test_a_schedule_that_ends_in_noise_does_not_warn(schedule: NoiseSchedule) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DDPM(wiggle, schedule)


def test_unknown_words_are_refused_and_the_choices_named() -> None:
    with pytest.raises(
        ValueError, match='parameterisation = "noise": choose one of eps, x0, v, velocity, levels'
    ):
        DDPM(wiggle, SCHEDULE, parameterisation="noise")
    with pytest.raises(
        ValueError, match='reverse_variance = "tiny": choose one of small, large, learned, matched'
    ):
        DDPM(wiggle, SCHEDULE, reverse_variance="tiny")
    with pytest.raises(ValueError, match="T = 1: a DDPM needs at least 2 steps"):
        DDPM(wiggle, NoiseSchedule.cosine(T=1))


@pytest.mark.parametrize(
    ("word", "variance"),
    [("levels", variance) for variance in ("small", "large", "learned")]
    + [(view, "matched") for view in VIEWS],
)
def test_words_that_do_not_go_together_are_refused(word: str, variance: str) -> None:
    message = f'parameterisation = "{word}" with reverse_variance = "{variance}": a distribution'
    with pytest.raises(ValueError, match=message):
        DDPM(log_weights, SCHEDULE, word, variance)


@pytest.mark.parametrize("min_snr", [0.0, -1.0, math.inf, math.nan])
def test_a_min_snr_that_cannot_be_is_refused(min_snr: float) -> None:
    with pytest.raises(ValueError, match=f"min_snr = {min_snr}"):
        DDPM(wiggle, SCHEDULE, min_snr=min_snr)


def test_min_snr_does_not_go_with_levels() -> None:
    with pytest.raises(ValueError, match='weighs a squared error, and "levels" has none'):
        DDPM(wiggle, SCHEDULE, "levels", "matched", min_snr=5.0)
