"""Denoisers around a denoiser: exact where the data are normal, and denoisers like any other."""

import math

import pytest
import torch
from networks import SCHEDULE, SHAPE, T, draws, scales, wiggle, wiggle_of

from ddpm_tutorial import (
    DDIM,
    DDPM,
    SAMPLERS,
    Ancestral,
    Clipped,
    Corrected,
    Denoiser,
    Distance,
    GaussianMixture,
    Here,
    JointMixture,
    Mask,
    MatchedGuidance,
    Measurement,
    NoiseSchedule,
    PosteriorGuidance,
    Replacement,
    Resampled,
    as_denoiser,
    eps_from_x0,
    filled_like,
    p_reverse,
    posterior_variance,
    q_posterior,
    q_sample,
    q_transition,
    sample,
    score,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def half():
    known = torch.zeros(SHAPE, dtype=torch.bool)
    known[:, :, :2] = True
    return Mask(known)


def answers(count):
    """x_0 on the grid of the small network, one for each of so many samples."""
    return draws(count, 7)[0]


def model(**settings):
    return DDPM(wiggle, SCHEDULE, shape=SHAPE).denoiser(**settings)


def measured(count=1):
    return Measurement(half()(answers(count)), half(), 0.4)


WRAPPERS = {
    "clipped": lambda inside, likelihood: Clipped(inside),
    "replacement": Replacement,
    "posterior": lambda inside, y: PosteriorGuidance(inside, y, 0.3),
    "distance": lambda inside, y: PosteriorGuidance(inside, Distance(y.y, y.A, 0.3)),
    "matched": lambda inside, y: Clipped(MatchedGuidance(inside, y, 2)),
}
every_wrapper = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
around_y = pytest.mark.parametrize(
    "wrap", [w for name, w in WRAPPERS.items() if name != "clipped"], ids=list(WRAPPERS)[1:]
)


# As denoisers


@every_wrapper
def test_a_wrapper_keeps_the_contract(wrap):
    inside = model(clip=False)
    denoiser = wrap(inside, measured())
    assert as_denoiser(denoiser) is denoiser
    assert (denoiser.schedule, denoiser.shape, denoiser.count) == (SCHEDULE, SHAPE, None)
    assert denoiser.like is not None
    _, x_t, t = draws(20)
    seen, (signal, sigma) = denoiser(x_t, t), scales(t)
    torch.testing.assert_close(
        signal * seen.x0_hat + sigma * seen.eps_hat, x_t, rtol=1e-9, atol=1e-9
    )
    assert not seen.x0_hat.requires_grad
    for s in (t - 1, t // 2):
        mean, log_variance = p_reverse(denoiser, x_t, t, s)
        expected, _ = q_posterior(SCHEDULE, seen.x0_hat, x_t, t, s)
        torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-9)
        _, theirs = p_reverse(inside, x_t, t, s)
        torch.testing.assert_close(log_variance, theirs, rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(denoiser.prior(x_t), inside.prior(x_t), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@every_wrapper
@pytest.mark.parametrize(
    "sampler", [*SAMPLERS.values(), DDIM(0.5), Corrected(DDIM(), 0.1), Resampled(Ancestral(), 2)]
)
def test_every_sampler_takes_a_wrapper_in_batches_as_at_once(wrap, sampler):
    """Each sample has a measurement and a label of its own; nothing random is left but x_T."""

    class Quiet(Denoiser):
        schedule, shape = SCHEDULE, SHAPE

        def __call__(self, x_t, t):
            return inside(x_t, t)

    inside = model(clip=False)
    denoiser = wrap(Quiet(), measured(6))
    x_T = torch.randn(6, *SHAPE, generator=seeded(), dtype=torch.float64)
    whole = sample(denoiser, 6, sampler, 4, seeded(1), x_T)
    assert whole.isfinite().all()
    if sampler.name in ("ddim", "dpm++") and getattr(sampler, "eta", 0) == 0:
        parts = sample(denoiser, 6, sampler, 4, seeded(1), x_T, batch_size=4)
        torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-6)
        if wrap is not WRAPPERS["clipped"]:
            another = wrap(Quiet(), Measurement(half()(-answers(6)), half(), 0.4))
            assert not torch.allclose(sample(another, 6, sampler, 4, seeded(1), x_T), whole)


@around_y
def test_rows_are_those_of_the_labels_and_of_the_measurements(wrap):
    inside = DDPM(wiggle_of(3), SCHEDULE, shape=SHAPE).denoiser(torch.arange(6) % 3, clip=False)
    denoiser = wrap(inside, measured(6))
    _, x_t, t = draws(6)
    whole, part = denoiser(x_t, t), denoiser.rows(2, 5)
    assert (denoiser.count, part.count) == (6, 3)
    torch.testing.assert_close(
        part(x_t[2:5], t[2:5]).x0_hat, whole.x0_hat[2:5], rtol=1e-9, atol=1e-9
    )
    for_all = wrap(inside, measured())
    assert (for_all.count, for_all.rows(2, 5).count) == (6, 3)


def test_numbers_of_samples_that_do_not_fit_are_refused():
    inside = DDPM(wiggle_of(3), SCHEDULE, shape=SHAPE).denoiser(torch.arange(4) % 3)
    with pytest.raises(ValueError, match="holds values for 4 samples, and what was measured for 6"):
        Replacement(inside, measured(6))


@every_wrapper
def test_unclipped_cuts_nothing_off_anywhere_inside(wrap):
    cut, free = (wrap(model(clip=clip), measured()) for clip in (True, False))
    _, x_t, t = draws(20)
    ours, theirs = cut.unclipped()(x_t, t), free.unclipped()(x_t, t)
    torch.testing.assert_close(ours.x0_hat, theirs.x0_hat, rtol=1e-9, atol=1e-9)
    slope = -theirs.eps_hat / scales(t)[1]
    torch.testing.assert_close(score(free, x_t, t), slope, rtol=1e-9, atol=1e-9)


def test_clipped_cuts_what_it_sees_and_the_noise_with_it():
    _, x_t, t = draws(20)
    ours, theirs = Clipped(model(clip=False))(x_t, t), model(clip=True)(x_t, t)
    torch.testing.assert_close(ours.x0_hat, theirs.x0_hat, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.eps_hat, theirs.eps_hat, rtol=1e-7, atol=1e-7)


# Replacement


def test_replacement_knows_what_was_measured_and_leaves_the_rest():
    _, x_t, t = draws(20)
    y, known = measured(), half().known
    seen, inside = Replacement(model(), y)(x_t, t), model()(x_t, t)
    torch.testing.assert_close(seen.x0_hat[:, known], y.y.expand(20, -1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(seen.x0_hat[:, ~known], inside.x0_hat[:, ~known], rtol=0, atol=0)


@pytest.mark.parametrize("sampler", [Ancestral(), DDIM(), DDIM(0.5)])
def test_known_entries_follow_the_forward_process_backwards(sampler):
    """At every step their mean and variance are those of q(x_s | y), whatever the model sees."""
    y = measured()
    denoiser, known = Replacement(model(), y), half().known
    n, t, s = 20_000, 15, 6
    at_t = torch.full((n,), t)
    x0 = answers(1).expand(n, *SHAPE)
    eps = torch.randn(x0.shape, generator=seeded(), dtype=torch.float64)
    x_t = q_sample(SCHEDULE, x0, at_t, eps)
    noise = torch.randn(x0.shape, generator=seeded(1), dtype=torch.float64)
    here = Here(x_t, at_t, denoiser(x_t, at_t))
    x_s = sampler.step(denoiser, here, torch.full((n,), s), lambda: noise)[:, known]
    signal, sigma = (v.flatten()[0] for v in scales(torch.tensor([s])))
    error = 4 / math.sqrt(n)
    assert ((x_s.mean(0) - signal * y.y[0]).abs() < error * sigma).all()
    assert ((x_s.var(0) / sigma**2 - 1).abs() < math.sqrt(2) * error).all()


def test_replacement_leaves_out_the_doubt_about_x0_and_guidance_keeps_it():
    """Of an exact mixture, whose steps add what x_0, unknown, adds to their variance."""
    x_t, t = torch.randn(30, 3, generator=seeded(), dtype=torch.float64), torch.arange(1, 31)
    known = Mask(torch.tensor([True, False, False]))
    measurement = Measurement(torch.tensor([[0.2]]).double(), known, 0.3)
    s = t // 2 + (t > 1)
    x_t, t, s = x_t[2:], t[2:], s[2:]
    _, plain = p_reverse(Replacement(NORMAL, measurement), x_t, t, s)
    expected = posterior_variance(PLANE, t, s)[:, None]
    torch.testing.assert_close(plain.exp(), expected, rtol=1e-9, atol=0)
    for wrap in (PosteriorGuidance, MatchedGuidance, lambda inside, _: Clipped(inside)):
        _, kept = p_reverse(wrap(NORMAL, measurement), x_t, t, s)
        torch.testing.assert_close(kept, p_reverse(NORMAL, x_t, t, s)[1], rtol=1e-9, atol=0)
        assert (kept.exp() > 1.001 * expected).all()


# Guidance


PLANE = NoiseSchedule.cosine(30)
ROOT = torch.tensor([[0.5, 0.1, 0.0], [0.2, 0.4, 0.1], [0.0, 0.3, 0.6]]).double()
COVARIANCE, MEAN = ROOT @ ROOT.T, torch.tensor([0.2, -0.3, 0.4]).double()
NORMAL = JointMixture(PLANE, [1.0], MEAN[None], COVARIANCE[None])


def conditioned(x_t, t, A, y, sigma):
    """E[x_0 | x_t, y] of normal data, from the joint normal of x_0, x_t and y, row by row."""
    means = []
    for row, at in zip(x_t, t, strict=True):
        signal = PLANE.alpha_bar[at].sqrt()
        both = torch.cat([signal * torch.eye(3).double(), A])
        noise = torch.cat([(1 - signal**2).expand(3), torch.full((len(A),), sigma**2).double()])
        seen = both @ COVARIANCE @ both.T + torch.diag(noise)
        away = torch.cat([row, y]) - both @ MEAN
        means.append(MEAN + COVARIANCE @ both.T @ torch.linalg.solve(seen, away))
    return torch.stack(means)


@pytest.mark.parametrize("known", [[True, False, False], [True, False, True], [True, True, True]])
def test_matched_guidance_is_exact_for_normal_data(known):
    known = torch.tensor(known)
    t = torch.arange(1, 31)
    x_t = torch.randn(30, 3, generator=seeded(), dtype=torch.float64)
    y = torch.tensor([0.7, -0.2, 0.1], dtype=torch.float64)[: int(known.sum())]
    expected = conditioned(x_t, t, torch.eye(3).double()[known], y, 0.3)
    measurement = Measurement(y[None], Mask(known), 0.3)
    ours = MatchedGuidance(NORMAL, measurement, len(y))(x_t, t)
    torch.testing.assert_close(ours.x0_hat, expected, rtol=1e-7, atol=1e-7)
    again = MatchedGuidance(NORMAL, measurement, len(y) + 3)(x_t, t)  # nothing is left to solve
    torch.testing.assert_close(again.x0_hat, expected, rtol=1e-7, atol=1e-7)
    if len(y) == 1:
        by_variance = PosteriorGuidance(NORMAL, measurement, with_variance=True)(x_t, t)
        torch.testing.assert_close(by_variance.x0_hat, expected, rtol=1e-7, atol=1e-7)
        without = PosteriorGuidance(NORMAL, measurement)(x_t, t)
        assert (without.x0_hat - expected).abs().max() > 0.01


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0])
def test_posterior_guidance_adds_the_slope_of_the_likelihood_to_the_score(strength):
    inside, y = model(clip=False), measured()
    _, x_t, t = draws(20)
    x = x_t.clone().requires_grad_()
    (slope,) = torch.autograd.grad(y(inside(x, t).x0_hat).sum(), x)
    guided = PosteriorGuidance(inside, y, strength)
    expected = score(inside, x_t, t) + strength * slope
    torch.testing.assert_close(score(guided, x_t, t), expected, rtol=1e-8, atol=1e-8)
    looked = guided.look(x_t, t)
    torch.testing.assert_close(looked.log_likelihood, y(inside(x_t, t).x0_hat), rtol=1e-9, atol=0)
    torch.testing.assert_close(looked.seen.x0_hat, inside(x_t, t).x0_hat, rtol=1e-9, atol=0)


def test_guidance_of_normal_data_samples_the_posterior():
    """All of a long chain: mean and covariance of what comes out, beside Bayes' rule."""
    schedule = NoiseSchedule.cosine(200)
    data = JointMixture(schedule, [1.0], MEAN[None], COVARIANCE[None])
    A, y = torch.eye(3).double()[:1], torch.tensor([0.9], dtype=torch.float64)
    exact, _ = data.given(A, y, 0.3)
    measurement = Measurement(y[None], Mask(torch.tensor([True, False, False])), 0.3)
    x = sample(
        MatchedGuidance(data, measurement, 1), 4000, "ddpm", generator=seeded(), batch_size=4000
    )
    assert ((x.mean(0) - exact.means[0]).abs() < 0.05).all()
    assert ((x.T.cov() - exact.covariances[0]).abs() < 0.05).all()
    assert abs(float(data.means[0, 1] - exact.means[0, 1])) > 0.1  # the measurement says something


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PosteriorGuidance(model(), measured(), -1.0), "strength = -1.0: it must be 0 or"),
        (lambda: PosteriorGuidance(model(), measured(), math.inf), "strength = inf"),
        (lambda: MatchedGuidance(model(), measured(), 0), "iterations = 0: take at least 1"),
        (lambda: Resampled(DDIM(), 0), "times = 0: take each step at least once"),
    ],
)
def test_what_guides_nowhere_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_variance_that_nobody_tells_is_asked_for_in_vain():
    _, x_t, t = draws(20)
    with pytest.raises(ValueError, match="or use MatchedGuidance"):
        PosteriorGuidance(model(), measured(), with_variance=True)(x_t, t)


# Resampling


def test_resampling_once_is_the_sampler():
    x_T = torch.randn(5, *SHAPE, generator=seeded(), dtype=torch.float64)
    for sampler in (Ancestral(), DDIM(), SAMPLERS["dpm++"]):
        ours = sample(model(), 5, Resampled(sampler, 1), 6, seeded(1), x_T)
        torch.testing.assert_close(ours, sample(model(), 5, sampler, 6, seeded(1), x_T))


def test_resampling_goes_up_by_q_and_down_again():
    calls = []

    class Counted(Denoiser):
        schedule, shape, like = SCHEDULE, SHAPE, torch.empty(0, dtype=torch.float64)

        def __call__(self, x_t, t):
            calls.append(int(t[0]))
            return model()(x_t, t)

    x_T = torch.randn(5, *SHAPE, generator=seeded(), dtype=torch.float64)
    pairs = [(T, 12), (12, 5), (5, 0)]
    ours = sample(Counted(), 5, Resampled(Ancestral(), 3), pairs, seeded(1), x_T)
    assert calls == [T, T, T, 12, 12, 12, 5]
    generator, x = seeded(1), x_T

    def noise():
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    for t, s in pairs[:-1]:
        at_t, at_s = filled_like(x, t), filled_like(x, s)
        for again in range(3):
            if again:
                mean, variance = q_transition(SCHEDULE, x, at_t, at_s)
                x = mean + variance.sqrt() * noise()
            mean, log_variance = p_reverse(model(), x, at_t, at_s)
            x = mean + (0.5 * log_variance).exp() * noise()
    expected = model()(x, filled_like(x, 5)).x0_hat
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_a_posterior_of_exact_data_needs_no_wrapper():
    """The mixture given y is a denoiser itself, and what guidance aims at."""
    data = GaussianMixture(PLANE, [1.0], [0.3], [0.25])
    joint = JointMixture(PLANE, [1.0], [[0.3]], [[[0.25]]])
    given, _ = joint.given(torch.ones(1, 1), torch.tensor([0.9]), 0.5)
    measurement = Measurement(torch.tensor([[0.9]]).double(), Mask(torch.tensor([True])), 0.5)
    x_t = torch.linspace(-1, 1, 30, dtype=torch.float64)[:, None]
    t = torch.arange(1, 31)
    ours = MatchedGuidance(data, measurement, 1)(x_t, t)
    torch.testing.assert_close(ours.x0_hat, given(x_t, t).x0_hat, rtol=1e-6, atol=1e-6)
    expected = eps_from_x0(PLANE, x_t, t, ours.x0_hat)
    torch.testing.assert_close(ours.eps_hat, expected, rtol=1e-7, atol=1e-7)
