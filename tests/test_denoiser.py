"""The contract of a denoiser: what a model, a mixture and one of one's own have in common."""

import math
import re
from collections.abc import Callable

import pytest
import torch
from networks import (
    SCHEDULE,
    SHAPE,
    VIEWS,
    draws,
    labelled,
    scales,
    unlabelled,
    wiggle,
    wiggle_of,
)
from torch import Tensor

from ddpm_tutorial import (
    DDPM,
    Denoiser,
    GaussianMixture,
    LearnedVariance,
    NoiseSchedule,
    Prediction,
    as_denoiser,
    elbo_terms,
    eps_from_x0,
    p_reverse,
    q_posterior,
    sample,
    score,
)


class Own(Denoiser):
    """No more than the contract asks for: `wiggle`, read as the data."""

    schedule = SCHEDULE
    shape = SHAPE

    def __call__(self, x_t: Tensor, t: Tensor) -> Prediction:
        x0_hat = wiggle(x_t, t).clamp(-1, 1)
        return Prediction(x0_hat, eps_from_x0(self.schedule, x_t, t, x0_hat))


def of_classes(view: str = "v", **settings: object) -> Denoiser:
    """A denoiser of 20 images of 3 classes, told the label of each."""
    model = DDPM(wiggle_of(3), SCHEDULE, view, shape=SHAPE)
    return model.denoiser(torch.arange(20) % 3, **settings)


DENOISERS = {
    "own": Own,
    "model": DDPM(wiggle, SCHEDULE, shape=SHAPE).denoiser,
    "told": of_classes,
    "guided": lambda: of_classes(guidance=2.0),
    "mixture": lambda: GaussianMixture(SCHEDULE, [1.0], [0.3], [0.25]),
}
every_denoiser = pytest.mark.parametrize("give", DENOISERS.values(), ids=DENOISERS)


# One of one's own


@every_denoiser
def test_a_denoiser_has_all_that_the_contract_names(give: Callable[[], Denoiser]) -> None:
    denoiser = give()
    names = {name for name in vars(Denoiser) if not name.startswith("_")}
    assert names >= {"schedule", "shape", "like", "count", "reverse_given", "prior", "unclipped"}
    for name in names:
        assert hasattr(denoiser, name), name
    x_t, _, t = draws(20)
    signal, sigma = scales(t)
    x0_hat, eps_hat = denoiser(x_t, t)[:2]
    torch.testing.assert_close(signal * x0_hat + sigma * eps_hat, x_t, rtol=1e-10, atol=1e-10)


def test_schedule_shape_and_what_is_seen_make_a_denoiser_like_the_one_of_a_model() -> None:
    own, model = Own(), DDPM(wiggle, SCHEDULE, "x0", "small", SHAPE).denoiser()
    x_t, eps, t = draws(20)
    for s in (t - 1, torch.zeros_like(t)):
        for ours, theirs in zip(
            p_reverse(own, x_t, t, s), p_reverse(model, x_t, t, s), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    ours, theirs = (denoiser.decoder_log_prob(x_t, eps) for denoiser in (own, model))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    for ours, theirs in zip(own.prior(x_t), model.prior(x_t), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert own.count is model.count is None
    assert own.rows(0, 3) is own.unclipped() is own
    assert (own.like.dtype, own.like.device) == (torch.float32, torch.device("cpu"))


def test_a_denoiser_of_ones_own_is_sampled_from_and_bounded() -> None:
    own, model = Own(), DDPM(wiggle, SCHEDULE, "x0", "small", SHAPE)
    images, theirs = (
        sample(one, 3, steps=5, generator=torch.Generator().manual_seed(0)) for one in (own, model)
    )
    torch.testing.assert_close(images, theirs, rtol=0, atol=0)
    x0, *_ = draws(2)
    bounds = [elbo_terms(one, x0, torch.Generator().manual_seed(0)).bound() for one in (own, model)]
    torch.testing.assert_close(*bounds, rtol=0, atol=0)


@pytest.mark.parametrize("missing", ["schedule", "shape", "__call__"])
def test_a_class_that_leaves_out_what_the_contract_asks_for_makes_no_denoiser(missing: str) -> None:
    body = {name: value for name, value in vars(Own).items() if name != missing}
    with pytest.raises(TypeError, match=missing):
        type("Half", (Denoiser,), body)()


def test_data_off_the_256_levels_are_refused_but_for_a_mixture() -> None:
    x0, *_ = draws(20)
    for name, give in DENOISERS.items():
        give().check_data(x0)
        if name == "mixture":
            give().check_data(x0 / 2)
            continue
        with pytest.raises(ValueError, match=r"x0 \(from .* to .*\) is not on the 256 levels"):
            give().check_data(x0 / 2)


def test_a_model_gives_its_denoiser_and_a_denoiser_stays_what_it_is() -> None:
    model = DDPM(wiggle, SCHEDULE, shape=SHAPE)
    given = as_denoiser(model)
    assert (given.model, given.label, given.guidance, given.clip) == (model, None, 0.0, True)
    for give in DENOISERS.values():
        denoiser = give()
        assert as_denoiser(denoiser) is denoiser


# The reverse step


def test_the_prior_is_a_standard_normal() -> None:
    x_T, _, _ = draws(2)
    for value in DDPM(wiggle, SCHEDULE, shape=SHAPE).denoiser().prior(x_T):
        torch.testing.assert_close(value, torch.zeros_like(x_T), rtol=0, atol=0)


@pytest.mark.parametrize("clip", [False, True])
def test_the_mean_is_algorithm_2_line_4_of_ho_where_nothing_is_clipped(clip: bool) -> None:
    x_t, _, t = draws(20)
    denoiser = DDPM(wiggle, SCHEDULE, "eps", shape=SHAPE).denoiser(clip=clip)
    mean, _ = p_reverse(denoiser, x_t, t)
    eps_hat = denoiser(x_t, t).eps_hat
    alpha = SCHEDULE.alpha[t][:, None, None, None]
    expected = (x_t - (1 - alpha) / scales(t)[1] * eps_hat) / alpha.sqrt()
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-9)


@every_denoiser
def test_the_mean_of_any_stride_is_that_of_the_posterior_at_x0_hat(
    give: Callable[[], Denoiser],
) -> None:
    denoiser, (x_t, _, t) = give(), draws(20)
    for s in (None, t - 1, t // 2, torch.zeros_like(t)):
        mean, log_variance = p_reverse(denoiser, x_t, t, s)
        expected, _ = q_posterior(SCHEDULE, denoiser(x_t, t).x0_hat, x_t, t, s)
        torch.testing.assert_close(mean, expected, rtol=1e-12, atol=1e-12)
        given = denoiser.reverse_given(denoiser(x_t, t), x_t, t, s)
        torch.testing.assert_close((mean, log_variance), given, rtol=0, atol=0)


# Labels, guidance, clipping


@pytest.mark.parametrize("view", VIEWS)
def test_guidance_goes_from_the_null_token_through_the_label_and_beyond(view: str) -> None:
    model = DDPM(wiggle_of(3), SCHEDULE, view, shape=SHAPE)
    _, x_t, t = draws(20)
    label = torch.arange(20) % 3
    told = model.denoiser(label, clip=False)(x_t, t)
    untold = model.denoiser(torch.full((20,), 3), clip=False)(x_t, t)
    guided = model.denoiser(label, 1.5, clip=False)(x_t, t)
    for field in ("x0_hat", "eps_hat"):  # linear in each other, so it holds for every view
        with_label, without = getattr(told, field), getattr(untold, field)
        expected = 2.5 * with_label - 1.5 * without
        torch.testing.assert_close(getattr(guided, field), expected, rtol=1e-9, atol=1e-9)
    plain = model.denoiser(label, 0.0, clip=False)(x_t, t)
    torch.testing.assert_close(plain.x0_hat, told.x0_hat, rtol=0, atol=0)


def test_guidance_leaves_the_learned_variance_to_the_label() -> None:
    def network(x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        scale = (label[:, None, None, None] / 10).to(x_t.dtype)
        return torch.cat([wiggle(x_t, t), torch.ones_like(x_t) * scale], dim=1)

    model = DDPM(labelled(network, 3), SCHEDULE, "v", "learned", SHAPE)
    _, x_t, t = draws(20)
    label = torch.arange(20) % 3
    guided = model.denoiser(label, 2.0, clip=False)(x_t, t)
    told = model.denoiser(label, clip=False)(x_t, t)
    fraction = LearnedVariance().fraction
    torch.testing.assert_close(fraction(guided), fraction(told), rtol=0, atol=0)
    expected = (1 + label[:, None, None, None] / 10) / 2
    torch.testing.assert_close(
        fraction(told), expected.double().expand_as(x_t), rtol=1e-7, atol=1e-7
    )
    # This network's guess does not depend on the label, so there is nowhere to guide it to.
    torch.testing.assert_close(guided.x0_hat, told.x0_hat, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_rows_are_those_samples_with_their_labels(guidance: float) -> None:
    denoiser, (x_t, _, t) = of_classes(guidance=guidance), draws(20)
    whole = denoiser(x_t, t)
    assert denoiser.count == 20
    for start, stop in [(0, 20), (0, 7), (7, 8), (13, 20)]:
        part = denoiser.rows(start, stop)
        assert part.count == stop - start
        assert (part.guidance, part.clip, part.model) == (guidance, True, denoiser.model)
        seen = part(x_t[start:stop], t[start:stop])
        torch.testing.assert_close(seen.x0_hat, whole.x0_hat[start:stop], rtol=1e-12, atol=1e-12)
    assert denoiser.count == 20


def test_rows_of_a_denoiser_that_holds_no_labels_are_all_alike() -> None:
    denoiser, (x_t, _, t) = DDPM(wiggle, SCHEDULE, shape=SHAPE).denoiser(), draws(20)
    part = denoiser.rows(3, 5)
    assert part.count is None
    torch.testing.assert_close(part(x_t, t).x0_hat, denoiser(x_t, t).x0_hat, rtol=0, atol=0)


@every_denoiser
def test_unclipped_cuts_nothing_off_and_changes_nothing_else(give: Callable[[], Denoiser]) -> None:
    denoiser, (x_t, _, t) = give(), draws(20)
    clipped, free = denoiser(x_t, t), denoiser.unclipped()(x_t, t)
    if isinstance(denoiser, Own | GaussianMixture):  # these say themselves what they see
        assert denoiser.unclipped() is denoiser
        return
    assert free.x0_hat.abs().max() > 1
    torch.testing.assert_close(clipped.x0_hat, free.x0_hat.clamp(-1, 1), rtol=1e-12, atol=1e-12)
    assert denoiser.unclipped().count == denoiser.count
    # The score is read from what is not clipped.
    slope = -free.eps_hat / scales(t)[1]
    torch.testing.assert_close(score(denoiser, x_t, t), slope, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("clip", [False, True])
def test_the_weights_say_where_and_in_which_precision_a_denoiser_works(clip: bool) -> None:
    network = unlabelled(torch.nn.Conv2d(1, 1, 1).double())
    denoiser = DDPM(network, SCHEDULE, shape=SHAPE).denoiser(clip=clip)
    assert denoiser.like is network.weight
    assert denoiser.schedule is SCHEDULE
    assert denoiser.shape == SHAPE
    assert DDPM(wiggle, NoiseSchedule.cosine(9)).denoiser().like.dtype == torch.float32


@pytest.mark.parametrize(
    ("num_classes", "settings", "message"),
    [
        (3, {"guidance": -1.0}, "guidance = -1.0: it must be 0 or more, and finite"),
        (3, {"guidance": math.inf}, "guidance = inf: it must be 0 or more"),
        (3, {"guidance": math.nan}, "guidance = nan: it must be 0 or more"),
        (3, {"guidance": 1.0}, "guidance = 1.0 needs a label for each sample"),
        (0, {"guidance": 1.0, "label": torch.zeros(2, dtype=torch.int64)}, "guidance = 1.0 needs"),
        (3, {"label": torch.tensor(1)}, "label has shape (): give one for each sample"),
        (3, {"label": torch.zeros(2, 1, dtype=torch.int64)}, "label has shape (2, 1): give one"),
    ],
    ids=str,
)
def test_labels_and_guidance_out_of_range_are_refused_with_a_remedy(
    num_classes: int, settings: dict, message: str
) -> None:
    model = DDPM(wiggle_of(num_classes), SCHEDULE, shape=SHAPE)
    with pytest.raises(ValueError, match=re.escape(message)):
        model.denoiser(**settings)


def test_a_wrapper_may_hold_what_it_wraps_under_the_name_of_denoiser() -> None:
    class Wrapper:
        rows = denoiser = None

    assert as_denoiser(wrapper := Wrapper()) is wrapper
