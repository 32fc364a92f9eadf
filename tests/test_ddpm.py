import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ddpm_tutorial import DDPM, DDPMConfig, NoiseSchedule, UNetConfig
from ddpm_tutorial.ddpm import VARIATIONAL_WEIGHT

SCHEDULE = NoiseSchedule.cosine(T=20)
VIEWS = ("eps", "x0", "v")
SHAPE = (1, 3, 4)


def draws(batch: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """x0 on 256 levels, eps, and one t for each: 1, 2, ... , in float64."""
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.randint(0, 256, (batch, *SHAPE), generator=generator).double() / 127.5 - 1
    eps = torch.randn(batch, *SHAPE, generator=generator, dtype=torch.float64)
    return x0, eps, torch.arange(batch) % SCHEDULE.T + 1


def levels(t: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and sigma at t, straight from the table, shaped for images."""
    alpha_bar = SCHEDULE.alpha_bar[t][:, None, None, None]
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def wiggle(x_t: Tensor, t: Tensor) -> Tensor:
    """Some network: smooth, different at every t, and its entries beyond [-1, 1] as x0."""
    return 2.5 * torch.sin(x_t + t[:, None, None, None] / 7) + 0.3 * x_t.flip(-1)


def wiggle_with_variance(fraction: float) -> Callable[[Tensor, Tensor], Tensor]:
    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return torch.cat([wiggle(x_t, t), torch.full_like(x_t, 2 * fraction - 1)], dim=1)

    return network


def perfect(view: str, x0: Tensor, eps: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A network that knows the x0 and eps that were drawn."""

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        signal, sigma = levels(t)
        return {"eps": eps, "x0": x0, "v": signal * eps - sigma * x0}[view]

    return network


def log_prob_in_bins(x: np.ndarray, mean: np.ndarray, scale: float) -> np.ndarray:
    """Of the level x, in nats, under a Gaussian cut into 256 bins, with scipy."""
    normal = scipy.stats.norm(0, scale)
    nearer = -np.abs(x - mean)  # mirrored into the left tail, where cdf keeps its digits
    inside = normal.cdf(nearer + 1 / 255) - normal.cdf(nearer - 1 / 255)
    inside = np.where(x > 0.999, normal.sf(x - 1 / 255 - mean), inside)
    inside = np.where(x < -0.999, normal.cdf(x + 1 / 255 - mean), inside)
    return np.log(inside)


# The training loss


@pytest.mark.parametrize("view", VIEWS)
def test_loss_is_the_mean_squared_error_of_each_example_computed_by_hand(view: str) -> None:
    x0, eps, t = draws(20)
    terms = DDPM(wiggle, SCHEDULE, predicts=view, shape=SHAPE)(x0, t, eps)
    for i in range(len(x0)):
        alpha_bar = float(SCHEDULE.alpha_bar[i + 1])
        a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
        answer = wiggle((a * x0 + b * eps)[i : i + 1], t[i : i + 1])[0].flatten().tolist()
        total = 0.0
        for output, x, e in zip(
            answer, x0[i].flatten().tolist(), eps[i].flatten().tolist(), strict=True
        ):
            target = {"eps": e, "x0": x, "v": a * e - b * x}[view]
            total += (output - target) ** 2 / 12
        assert float(terms.simple[i]) == pytest.approx(total, rel=1e-12)
    assert terms.simple.shape == (20,)
    assert terms.variational is None
    torch.testing.assert_close(terms.total, terms.simple, rtol=0, atol=0)


@pytest.mark.parametrize("view", VIEWS)
def test_loss_of_a_perfect_predictor_is_zero(view: str) -> None:
    x0, eps, t = draws(20)
    loss = DDPM(perfect(view, x0, eps), SCHEDULE, predicts=view, shape=SHAPE)(x0, t, eps).simple
    torch.testing.assert_close(loss, torch.zeros_like(loss), rtol=0, atol=1e-24)


def test_the_label_reaches_the_network_in_training_and_in_prediction() -> None:
    def network(x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return torch.zeros_like(x_t) + label[:, None, None, None]

    x0, eps, t = draws(3)
    label = torch.tensor([0, 1, 2])
    model = DDPM(network, SCHEDULE, predicts="x0", shape=SHAPE)
    expected = (label[:, None, None, None] - x0).square().mean((1, 2, 3))
    torch.testing.assert_close(model(x0, t, eps, label).simple, expected, rtol=1e-12, atol=0)
    answer = model.predict(x0, t, label, clip=False).x0_hat
    torch.testing.assert_close(answer, network(x0, t, label), rtol=0, atol=0)
    mean, _ = model.p_reverse(x0, torch.ones(3, dtype=torch.int64), label=label, clip=False)
    torch.testing.assert_close(mean, network(x0, t, label), rtol=1e-12, atol=1e-12)


# Predictions


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("clip", [False, True])
def test_the_three_views_of_a_perfect_predictor_give_back_x0_and_eps(view: str, clip: bool) -> None:
    x0, eps, t = draws(20)
    signal, sigma = levels(t)
    model = DDPM(perfect(view, x0, eps), SCHEDULE, predicts=view, shape=SHAPE)
    prediction = model.predict(signal * x0 + sigma * eps, t, clip=clip)
    # At t = T the signal is 5e-4 of x_t, and as many digits are lost on the way back to x0.
    torch.testing.assert_close(prediction.x0_hat, x0, rtol=0, atol=1e-11)
    torch.testing.assert_close(prediction.eps_hat, eps, rtol=0, atol=1e-11)
    assert prediction.variance_fraction is None


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("clip", [False, True])
def test_x0_hat_and_eps_hat_always_agree_on_x_t_also_when_x0_hat_is_clipped(
    view: str, clip: bool
) -> None:
    x_t, _, t = draws(20)
    model = DDPM(wiggle, SCHEDULE, predicts=view, shape=SHAPE)
    x0_hat, eps_hat = model.predict(x_t, t, clip=clip)[:2]
    signal, sigma = levels(t)
    torch.testing.assert_close(signal * x0_hat + sigma * eps_hat, x_t, rtol=1e-10, atol=1e-10)
    assert (x0_hat.abs().max() <= 1) == clip
    unclipped = model.predict(x_t, t, clip=False).x0_hat
    torch.testing.assert_close(x0_hat, unclipped.clamp(-1, 1) if clip else unclipped)


def test_an_unclipped_prediction_is_the_output_of_the_network() -> None:
    x_t, _, t = draws(20)
    output, (signal, sigma) = wiggle(x_t, t), levels(t)
    eps = DDPM(wiggle, SCHEDULE, predicts="eps", shape=SHAPE).predict(x_t, t, clip=False)
    torch.testing.assert_close(eps.eps_hat, output, rtol=0, atol=0)
    x0 = DDPM(wiggle, SCHEDULE, predicts="x0", shape=SHAPE).predict(x_t, t, clip=False)
    torch.testing.assert_close(x0.x0_hat, output, rtol=0, atol=0)
    v = DDPM(wiggle, SCHEDULE, predicts="v", shape=SHAPE).predict(x_t, t, clip=False)
    torch.testing.assert_close(signal * v.eps_hat - sigma * v.x0_hat, output, rtol=1e-9, atol=1e-9)


# The reverse step


@given(t=st.integers(1, 20), data=st.data())
def test_small_and_large_variance_are_those_of_ho_for_any_s_below_t(
    t: int, data: st.DataObject
) -> None:
    s = data.draw(st.integers(0, t - 1))
    bar_t, bar_s = float(SCHEDULE.alpha_bar[t]), float(SCHEDULE.alpha_bar[s])
    x_t, _, _ = draws(1)
    at_t, at_s = torch.tensor([t]), torch.tensor([s])
    large = DDPM(wiggle, SCHEDULE, variance="large", shape=SHAPE).p_reverse(x_t, at_t, at_s)
    small = DDPM(wiggle, SCHEDULE, variance="small", shape=SHAPE).p_reverse(x_t, at_t, at_s)
    torch.testing.assert_close(small[0], large[0], rtol=0, atol=0)
    assert float(large[1].exp()) == pytest.approx(1 - bar_t / bar_s, rel=1e-10)
    if s > 0:
        beta_tilde = (1 - bar_s) / (1 - bar_t) * (1 - bar_t / bar_s)
        assert float(small[1].exp()) == pytest.approx(beta_tilde, rel=1e-10)


@pytest.mark.parametrize("clip", [False, True])
def test_the_mean_is_algorithm_2_line_4_of_ho_where_nothing_is_clipped(clip: bool) -> None:
    x_t, _, t = draws(20)
    model = DDPM(wiggle, SCHEDULE, predicts="eps", shape=SHAPE)
    mean, _ = model.p_reverse(x_t, t, clip=clip)
    eps_hat = model.predict(x_t, t, clip=clip).eps_hat
    alpha = SCHEDULE.alpha[t][:, None, None, None]
    expected = (x_t - (1 - alpha) / levels(t)[1] * eps_hat) / alpha.sqrt()
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-9)


@given(fraction=st.floats(0, 1))
def test_learned_variance_lies_between_small_and_large_on_the_log_scale(fraction: float) -> None:
    x_t, _, t = draws(20)
    model = DDPM(wiggle_with_variance(fraction), SCHEDULE, variance="learned", shape=SHAPE)
    prediction = model.predict(x_t, t)
    _, learned = model.p_reverse(x_t, t)
    _, small = model.reverse_given(prediction, x_t, t, variance="small")
    _, large = model.reverse_given(prediction, x_t, t, variance="large")
    assert learned.shape == x_t.shape
    torch.testing.assert_close(
        learned, (small + fraction * (large - small)).expand_as(learned), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(large, SCHEDULE.beta[t].log()[:, None, None, None])
    # At t = 1 the log of the small variance, 0, is replaced by that at t = 2.
    beta_tilde = SCHEDULE.beta * (1 - SCHEDULE.alpha_bar.roll(1)) / (1 - SCHEDULE.alpha_bar)
    torch.testing.assert_close(small, beta_tilde[t.clamp(min=2)].log()[:, None, None, None])


def test_the_reverse_step_at_t_1_takes_no_logarithm_of_zero() -> None:
    x_1, _, _ = draws(2)
    t = torch.ones(2, dtype=torch.int64)
    for variance, network in [
        ("small", wiggle),
        ("large", wiggle),
        ("learned", wiggle_with_variance(0.5)),
    ]:
        model = DDPM(network, SCHEDULE, variance=variance, shape=SHAPE)
        mean, log_variance = model.p_reverse(x_1, t)
        assert log_variance.isfinite().all()
        torch.testing.assert_close(mean, model.predict(x_1, t).x0_hat, rtol=1e-12, atol=1e-12)


def test_the_decoder_is_a_gaussian_around_the_clipped_x0_hat_cut_into_bins() -> None:
    x0, _, _ = draws(20)
    x_1 = 1.5 * x0 + 0.1
    x0_hat = x_1 + 0.01  # beyond [-1, 1] for some, and near x0 where it is clipped
    assert (x0_hat.abs() > 1).any()
    model = DDPM(lambda x_t, t: x0_hat, SCHEDULE, predicts="x0", variance="small", shape=SHAPE)
    beta, bar = SCHEDULE.beta, SCHEDULE.alpha_bar
    scale = math.sqrt(float(beta[2] * (1 - bar[1]) / (1 - bar[2])))  # that at t = 2 stands in
    expected = log_prob_in_bins(x0.numpy(), x0_hat.clamp(-1, 1).numpy(), scale).sum((1, 2, 3))
    np.testing.assert_allclose(model.decoder_log_prob(x0, x_1).numpy(), expected, rtol=1e-6)


# The learned variance in training


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_the_variational_loss_equals_an_independent_computation(view: str, fraction: float) -> None:
    x0, eps, t = draws(20)
    x0[0, 0, 0, :2] = torch.tensor([-1.0, 1.0])  # the two open bins of the decoder
    model = DDPM(wiggle_with_variance(fraction), SCHEDULE, view, "learned", SHAPE)
    terms = model(x0, t, eps)
    plain = DDPM(wiggle, SCHEDULE, view, "small", SHAPE)

    signal, sigma = levels(t)
    x_t = signal * x0 + sigma * eps
    x0_hat = plain.predict(x_t, t, clip=False).x0_hat
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
    model = DDPM(lambda x_t, t: output, SCHEDULE, view, "learned", SHAPE)
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
            model = DDPM(lambda x_t, t: output, schedule, view, "learned", SHAPE)
            terms = model(x0, torch.tensor([1, schedule.T]), eps)
            (gradient,) = torch.autograd.grad(terms.total.sum(), output)
            assert terms.total.isfinite().all(), (schedule, view)
            assert gradient.isfinite().all(), (schedule, view)


# The prior, the configuration and the errors


def test_the_prior_is_a_standard_normal() -> None:
    x_T, _, _ = draws(2)
    for value in DDPM(wiggle, SCHEDULE, shape=SHAPE).prior(x_T):
        torch.testing.assert_close(value, torch.zeros_like(x_T), rtol=0, atol=0)


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
    with pytest.raises(ValueError, match='predicts = "noise": choose one of eps, x0, v'):
        DDPM(wiggle, SCHEDULE, predicts="noise")
    with pytest.raises(ValueError, match='variance = "tiny": choose one of small, large, learned'):
        DDPM(wiggle, SCHEDULE, variance="tiny")
    with pytest.raises(ValueError, match='predicts = "score": choose one of eps, x0, v'):
        DDPMConfig(predicts="score")
    with pytest.raises(ValueError, match='schedule = "square": choose one of linear, cosine, sig'):
        DDPMConfig(schedule="square")
    with pytest.raises(ValueError, match="T = 1: a DDPM needs at least 2 steps"):
        DDPM(wiggle, NoiseSchedule.cosine(T=1))


@pytest.mark.parametrize("learned", [False, True])
def test_a_configuration_builds_the_model_that_it_describes(learned: bool) -> None:
    unet = UNetConfig(
        image_channels=3,
        image_size=6,
        channels=(8,),
        blocks=1,
        num_classes=5,
        learned_variance=learned,
    )
    torch.manual_seed(3)
    model = DDPMConfig(schedule="sigmoid", T=30, predicts="eps", unet=unet).build()
    assert model.shape == (3, 6, 6)
    assert model.num_classes == 5
    assert (model.predicts, model.variance) == ("eps", "learned" if learned else "small")
    torch.testing.assert_close(model.schedule.beta, NoiseSchedule.sigmoid(30).beta)
    torch.manual_seed(3)
    twin = DDPMConfig(unet=unet).build()
    torch.testing.assert_close(model.state_dict(), twin.state_dict(), rtol=0, atol=0)
    assert DDPM(wiggle, SCHEDULE).num_classes == 0


def labelled(x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
    """Some network that answers otherwise for each label, the null token included."""
    return wiggle(x_t, t) * (1 + label[:, None, None, None] / 10)


class Told(DDPM):
    """Of 3 classes, whatever the network is."""

    num_classes = 3


@pytest.mark.parametrize("view", VIEWS)
def test_guidance_goes_from_the_null_token_through_the_label_and_beyond(view: str) -> None:
    model = Told(labelled, SCHEDULE, predicts=view, shape=SHAPE)  # type: ignore[arg-type]
    _, x_t, t = draws(20)
    label = torch.arange(20) % 3
    told = model.predict(x_t, t, label, clip=False)
    untold = model.predict(x_t, t, torch.full((20,), 3), clip=False)
    guided = model.predict(x_t, t, label, clip=False, guidance=1.5)
    for field in ("x0_hat", "eps_hat"):  # linear in each other, so it holds for every view
        with_label, without = getattr(told, field), getattr(untold, field)
        expected = 2.5 * with_label - 1.5 * without
        torch.testing.assert_close(getattr(guided, field), expected, rtol=1e-9, atol=1e-9)
    plain = model.predict(x_t, t, label, clip=False, guidance=0.0)
    torch.testing.assert_close(plain.x0_hat, told.x0_hat, rtol=0, atol=0)


def test_guidance_leaves_the_learned_variance_to_the_label() -> None:
    def network(x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        scale = (label[:, None, None, None] / 10).to(x_t.dtype)
        return torch.cat([wiggle(x_t, t), torch.ones_like(x_t) * scale], dim=1)

    model = Told(network, SCHEDULE, predicts="v", variance="learned", shape=SHAPE)
    _, x_t, t = draws(20)
    label = torch.arange(20) % 3
    guided = model.predict(x_t, t, label, clip=False, guidance=2.0)
    told = model.predict(x_t, t, label, clip=False)
    assert guided.variance_fraction is not None
    torch.testing.assert_close(guided.variance_fraction, told.variance_fraction, rtol=0, atol=0)
    # This network's guess does not depend on the label, so there is nowhere to guide it to.
    torch.testing.assert_close(guided.x0_hat, told.x0_hat, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("gamma", [0.5, 5.0])
def test_min_snr_weighs_the_error_of_the_data_alike_in_every_view(view: str, gamma: float) -> None:
    x0, eps, t = draws(20)
    model = DDPM(wiggle, SCHEDULE, predicts=view, shape=SHAPE, min_snr=gamma)  # type: ignore[arg-type]
    terms = model(x0, t, eps)
    plain = DDPM(wiggle, SCHEDULE, predicts=view, shape=SHAPE)(x0, t, eps)  # type: ignore[arg-type]
    torch.testing.assert_close(terms.simple, plain.simple, rtol=0, atol=0)
    signal, sigma = levels(t)
    x0_hat = model.predict(signal * x0 + sigma * eps, t, clip=False).x0_hat
    error = (x0_hat - x0).square().mean((1, 2, 3))
    snr = (signal / sigma).square().flatten()
    expected = torch.minimum(snr, torch.tensor(gamma, dtype=torch.float64)) * error
    torch.testing.assert_close(terms.total, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("min_snr", [0.0, -1.0, math.inf, math.nan])
def test_a_min_snr_that_cannot_be_is_refused(min_snr: float) -> None:
    with pytest.raises(ValueError, match=f"min_snr = {min_snr}"):
        DDPMConfig(min_snr=min_snr)
    with pytest.raises(ValueError, match=f"min_snr = {min_snr}"):
        DDPM(wiggle, SCHEDULE, min_snr=min_snr)


def test_min_snr_does_not_go_with_levels_and_reaches_the_model() -> None:
    with pytest.raises(ValueError, match="levels have none"):
        DDPM(wiggle, SCHEDULE, predicts="levels", variance="matched", min_snr=5.0)
    assert DDPMConfig(min_snr=5.0).build().min_snr == 5.0
