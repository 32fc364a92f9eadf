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
    draws,
    level_probabilities,
    log_weights,
    wiggle,
    wiggle_with_variance,
)
from torch import Tensor

from ddpm_tutorial import (
    DDPM,
    REVERSE_VARIANCES,
    LargeVariance,
    LearnedVariance,
    MatchedVariance,
    Prediction,
    ReverseVariance,
    SmallVariance,
    p_reverse,
    q_posterior,
    q_sample,
)

LEVEL_MODEL = DDPM(log_weights, LEVEL_SCHEDULE, "levels", "matched", LEVEL_SHAPE)


def drawn_levels() -> tuple[Tensor, Tensor]:
    """t and x_t."""
    x0, eps, t = draws(20, shape=LEVEL_SHAPE)
    return t, q_sample(LEVEL_SCHEDULE, x0, t, eps)


def test_a_word_stands_for_the_variance_of_that_name() -> None:
    assert list(REVERSE_VARIANCES) == ["small", "large", "learned", "matched"]
    for word, variance in REVERSE_VARIANCES.items():
        assert isinstance(variance, ReverseVariance)
        assert variance.name == word


@given(t=st.integers(1, 20), data=st.data())
def test_small_and_large_variance_are_those_of_ho_for_any_s_below_t(
    t: int, data: st.DataObject
) -> None:
    s = data.draw(st.integers(0, t - 1))
    bar_t, bar_s = float(SCHEDULE.alpha_bar[t]), float(SCHEDULE.alpha_bar[s])
    x_t, _, _ = draws(1)
    at_t, at_s = torch.tensor([t]), torch.tensor([s])
    small, large = (
        p_reverse(
            DDPM(wiggle, SCHEDULE, reverse_variance=word, shape=SHAPE).denoiser(), x_t, at_t, at_s
        )
        for word in ("small", "large")
    )
    torch.testing.assert_close(small[0], large[0], rtol=0, atol=0)
    assert float(large[1].exp()) == pytest.approx(1 - bar_t / bar_s, rel=1e-10)
    if s > 0:
        beta_tilde = (1 - bar_s) / (1 - bar_t) * (1 - bar_t / bar_s)
        assert float(small[1].exp()) == pytest.approx(beta_tilde, rel=1e-10)


@given(fraction=st.floats(0, 1))
def test_learned_variance_lies_between_small_and_large_on_the_log_scale(fraction: float) -> None:
    x_t, _, t = draws(20)
    network = wiggle_with_variance(fraction)
    denoiser = DDPM(network, SCHEDULE, reverse_variance="learned", shape=SHAPE).denoiser()
    prediction = denoiser(x_t, t)
    _, learned = p_reverse(denoiser, x_t, t)
    small, large = (
        variance.log_variance(SCHEDULE, prediction, x_t, t, t - 1)
        for variance in (SmallVariance(), LargeVariance())
    )
    assert learned.shape == x_t.shape
    torch.testing.assert_close(
        learned, (small + fraction * (large - small)).expand_as(learned), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(
        LearnedVariance().fraction(prediction), torch.full_like(x_t, fraction), rtol=0, atol=1e-12
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
        denoiser = DDPM(network, SCHEDULE, reverse_variance=variance, shape=SHAPE).denoiser()
        mean, log_variance = p_reverse(denoiser, x_1, t)
        assert log_variance.isfinite().all()
        torch.testing.assert_close(mean, denoiser(x_1, t).x0_hat, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 3])
def test_the_matched_variance_is_that_of_the_mixture_of_posteriors(stride: int) -> None:
    """p(x_s | x_t) averages q(x_s | x_t, x_0) over x_0: the mean and variance of that, level by
    level."""
    t, x_t = drawn_levels()
    t, x_t = t[stride:], x_t[stride:]
    s = (t - stride).clamp(min=1)
    t = torch.maximum(t, s + 1)
    mean, log_variance = p_reverse(LEVEL_MODEL.denoiser(), x_t, t, s)
    weights = torch.from_numpy(level_probabilities(x_t, t))
    means = torch.stack(
        [q_posterior(LEVEL_SCHEDULE, torch.full_like(x_t, v), x_t, t, s)[0] for v in LEVELS], -1
    )
    variance = q_posterior(LEVEL_SCHEDULE, x_t, x_t, t, s)[1]
    expected = (weights * means).sum(-1)
    torch.testing.assert_close(mean, expected, rtol=1e-10, atol=1e-10)
    spread = (weights * (means - expected[..., None]).square()).sum(-1)
    torch.testing.assert_close(log_variance.exp(), variance + spread, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize(("t", "s"), [(1, None), (1, 0), (5, 0)])
def test_the_matched_variance_of_x_0_is_that_of_x_1(t: int, s: int | None) -> None:
    """As with the small variance, which has no logarithm at s = 0."""
    (_, x_t), at_t, ones = drawn_levels(), torch.full((20,), t), torch.ones(20, dtype=torch.int64)
    prediction = LEVEL_MODEL.denoiser()(x_t, at_t)
    reverse_given = LEVEL_MODEL.reverse_given
    _, log_variance = reverse_given(prediction, x_t, at_t, None if s is None else s * ones)
    _, expected = reverse_given(prediction, x_t, at_t.clamp(min=2), ones)
    torch.testing.assert_close(log_variance, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("variance", "remedy"),
    [
        (LearnedVariance(), 'the variance "learned" needs a model that was trained with it'),
        (MatchedVariance(), 'the variance "matched" needs a prediction of x_0 as a distribution'),
    ],
    ids=["learned", "matched"],
)
def test_a_variance_refuses_a_prediction_that_does_not_say_what_it_needs(
    variance: ReverseVariance, remedy: str
) -> None:
    x_t, _, t = draws(20)
    with pytest.raises(ValueError, match=remedy):
        variance.log_variance(SCHEDULE, Prediction(x_t, x_t), x_t, t, t - 1)
