"""Sequential Monte Carlo: weights, the evidence, and the posterior of mixtures."""

import math

import pytest
import torch
from networks import wiggle_of

from ddpm_tutorial import (
    DDPM,
    GaussianMixture,
    JointMixture,
    Mask,
    Measurement,
    NoiseSchedule,
    PosteriorGuidance,
    effective_sample_size,
    filled_like,
    normal_log_prob,
    p_reverse,
    particle_filter,
    systematic_resample,
)

SCHEDULE = NoiseSchedule.cosine(60)
TOY = JointMixture(SCHEDULE, [0.3, 0.7], [[-0.6], [0.5]], [[[0.01]], [[0.02]]])
Y, SIGMA = torch.tensor([[-0.2]], dtype=torch.float64), 0.4
MEASURED = Measurement(Y, Mask(torch.tensor([True])), SIGMA)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def last(guidance, n, steps=None, seed=0):
    *_, particles = particle_filter(guidance, n, steps, seeded(seed))
    return particles


def test_the_effective_size_counts_equal_weights():
    assert float(effective_sample_size(torch.zeros(7))) == pytest.approx(7)
    one = torch.full((7,), -100.0)
    one[2] = 0
    assert float(effective_sample_size(one)) == pytest.approx(1)
    weights = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    expected = 1 / float(weights.square().sum())
    assert float(effective_sample_size(weights.log() + 3)) == pytest.approx(expected)


def test_resampling_keeps_each_as_often_as_its_weight_says():
    weights = torch.rand(50, generator=seeded(), dtype=torch.float64) ** 3
    share = 50 * weights / weights.sum()
    counts = []
    for seed in range(400):
        kept = systematic_resample(weights.log(), seeded(seed))
        count = torch.bincount(kept, minlength=50)
        assert ((count >= share.floor()) & (count <= share.ceil())).all()
        counts.append(count.double())
    counts = torch.stack(counts)
    part = share % 1  # of a chance to be kept once more
    error = (part * (1 - part) / 400).sqrt()
    assert ((counts.mean(0) - share).abs() <= 4 * error + 1 / 400).all()


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("with_variance", [False, True])
def test_many_particles_find_the_posterior_whatever_guides_them(strength, with_variance):
    exact, log_evidence = TOY.given(torch.ones(1, 1), Y[0], SIGMA)
    guidance = PosteriorGuidance(TOY, MEASURED, strength, with_variance)
    found = [last(guidance, 4000, None, seed) for seed in range(4)]
    shares = torch.stack([(p.log_weights.exp() * (p.x[:, 0] < 0)).sum() for p in found])
    means = torch.stack([(p.log_weights.exp() * p.x[:, 0]).sum() for p in found])
    evidence = torch.stack([p.log_evidence for p in found])
    expected = (exact.weights * exact.means[:, 0]).sum()
    assert abs(float(shares.mean() - exact.weights[0])) < 0.03
    assert abs(float(means.mean() - expected)) < 0.03
    assert abs(float(evidence.mean() - log_evidence)) < 0.05


def test_with_normal_data_and_their_variance_all_weights_are_nearly_equal():
    normal = GaussianMixture(NoiseSchedule.cosine(400), [1.0], [0.3], [0.25])
    guidance = PosteriorGuidance(normal, MEASURED, with_variance=True)
    sizes = [
        effective_sample_size(p.log_weights) for p in particle_filter(guidance, 500, None, seeded())
    ]
    assert min(sizes) > 0.95 * 500
    exact = normal_log_prob(Y, torch.tensor(0.3), torch.tensor(0.25 + SIGMA**2).log())
    assert float(last(guidance, 500).log_evidence) == pytest.approx(float(exact), abs=0.03)


def test_the_weights_are_those_of_the_densities_by_hand():
    """Two steps without resampling, from plain lines: all that the model and the proposal say."""
    guidance = PosteriorGuidance(TOY, MEASURED, 0.7)
    pairs = [(60, 25), (25, 0)]
    start, middle, end = particle_filter(guidance, 5, pairs, seeded(3))
    generator = seeded(3)
    x = torch.randn(5, 1, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(start.x, x, rtol=0, atol=0)
    at = filled_like(x, 60)
    log_w = MEASURED(TOY(x, at).x0_hat) - math.log(5)
    torch.testing.assert_close(start.log_weights, log_w.log_softmax(0), rtol=1e-9, atol=1e-9)
    assert float(effective_sample_size(log_w)) > 2.5
    torch.rand((), generator=generator, dtype=torch.float64)  # the comb, which is not used
    z = torch.randn(5, 1, generator=generator, dtype=torch.float64)
    s = filled_like(x, 25)
    (mean, log_variance), (to, _) = (p_reverse(d, x, at, s) for d in (TOY, guidance))
    x_s = to + (0.5 * log_variance).exp() * z
    torch.testing.assert_close(middle.x, x_s, rtol=1e-9, atol=1e-9)
    ratio = normal_log_prob(x_s, mean, log_variance) - normal_log_prob(x_s, to, log_variance)
    log_w = log_w + ratio[:, 0] + MEASURED(TOY(x_s, s).x0_hat) - MEASURED(TOY(x, at).x0_hat)
    torch.testing.assert_close(middle.log_weights, log_w.log_softmax(0), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(middle.log_evidence, log_w.logsumexp(0), rtol=1e-8, atol=1e-8)
    if float(effective_sample_size(log_w)) >= 2.5:
        torch.testing.assert_close(end.x, TOY(x_s, s).x0_hat, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(end.log_evidence, log_w.logsumexp(0), rtol=1e-6, atol=1e-6)
    assert [p.t for p in (start, middle, end)] == [60, 25, 0]


def test_a_filter_draws_from_its_generator_alone():
    guidance = PosteriorGuidance(TOY, MEASURED)
    ends = []
    for unrelated, seed in [(1, 5), (2, 5), (2, 6)]:
        torch.manual_seed(unrelated)
        before = torch.get_rng_state()
        ends.append(last(guidance, 30, 6, seed).x)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_questions_of_ones_own_are_refused():
    each = Measurement(Y.expand(3, 1), MEASURED.A, SIGMA)
    labels = DDPM(wiggle_of(3), NoiseSchedule.cosine(9), shape=(1,)).denoiser(torch.arange(3))
    for guidance in (PosteriorGuidance(TOY, each), PosteriorGuidance(labels, MEASURED)):
        with pytest.raises(ValueError, match="values for 3 samples: ask for at least 1 chain"):
            next(particle_filter(guidance, 3, None, seeded()))
    with pytest.raises(ValueError, match="n = 0 chains"):
        next(particle_filter(PosteriorGuidance(TOY, MEASURED), 0, None, seeded()))
