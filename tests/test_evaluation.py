import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_tutorial import (
    Nearest,
    classify,
    frechet_distance,
    load_bundled,
    load_classifier,
    measure_samples,
    nearest_neighbours,
    nearest_sheet,
    precision_recall,
)
from ddpm_tutorial.algorithms.evaluation import _compare_distances


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The Frechet distance


def features(seed, count=200, shift=0.0, scale=1.0):
    mixing = torch.randn(5, 5, generator=seeded(9), dtype=torch.float64)
    return (
        shift + scale * torch.randn(count, 5, generator=seeded(seed), dtype=torch.float64) @ mixing
    )


def test_the_distance_of_a_set_from_itself_is_zero():
    assert frechet_distance(features(0), features(0)) == pytest.approx(0, abs=1e-9)


def test_the_distance_sees_a_shift_and_a_scale():
    one = features(0)
    assert frechet_distance(one, one + 3) == pytest.approx(5 * 9, rel=1e-9)
    centred = one - one.mean(0)
    trace = float(centred.T.cov().trace())
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * trace, rel=1e-9)


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(-1, 1), st.floats(0.5, 2))
@settings(max_examples=20, deadline=None)
def test_the_distance_is_that_of_scipy(seed_1, seed_2, shift, scale):
    one, two = features(seed_1, 100), features(seed_2, 70, shift, scale)
    (mean_1, mean_2) = (x.numpy().mean(0) for x in (one, two))
    (cov_1, cov_2) = (np.cov(x.numpy(), rowvar=False) for x in (one, two))
    root = scipy.linalg.sqrtm(cov_1 @ cov_2).real
    expected = np.square(mean_1 - mean_2).sum() + np.trace(cov_1 + cov_2 - 2 * root)
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    assert frechet_distance(two, one) == pytest.approx(expected, rel=1e-6, abs=1e-8)


# Neighbours


def test_neighbours_are_those_of_brute_force():
    queries = torch.randn(11, 6, generator=seeded(1))
    among = torch.randn(30, 6, generator=seeded(2))
    distance, index = nearest_neighbours(queries, among, batch_size=4)
    table = np.linalg.norm(queries.numpy()[:, None] - among.numpy()[None], axis=-1)
    assert index.tolist() == table.argmin(1).tolist()
    assert distance.tolist() == pytest.approx(table.min(1).tolist(), rel=1e-5)


# Samples


@pytest.fixture(scope="module")
def digits():
    return load_bundled("train").images[:600], load_bundled("test").images[:400]


@pytest.fixture(scope="module")
def classifier():
    return load_classifier()


def test_samples_that_are_real_images_score_the_floor(digits, classifier):
    """Half of the real images against the other half: that is what the floor means."""
    train, unseen = digits
    drawn = torch.randperm(len(train), generator=seeded(3))[:300]
    figures, _ = measure_samples(train[drawn], train, unseen, classifier, seed=3)
    assert figures.fid == figures.fid_floor
    assert (figures.samples, figures.references) == (300, 400)
    other, _ = measure_samples(train[drawn], train, unseen, classifier, seed=4)
    assert other.fid == figures.fid
    assert other.fid_floor != figures.fid_floor
    assert other.fid_floor < 3 * figures.fid_floor


def test_copies_of_training_images_are_noticed(digits, classifier):
    train, unseen = digits
    copied, _ = measure_samples(train[:200], train, unseen, classifier)
    fresh, _ = measure_samples(unseen[:200], train, unseen, classifier)
    for name in ("pixels", "features"):
        assert getattr(copied, name).copies == 1
        assert getattr(copied, name).samples == pytest.approx(0, abs=0.05)
        assert getattr(fresh, name).copies < 0.05
        assert getattr(fresh, name).samples == pytest.approx(getattr(fresh, name).unseen, rel=0.1)


def test_copies_are_judged_digit_by_digit(digits, classifier):
    """Ones lie near each other anyway; copied eights would hide behind them."""
    train, unseen = digits
    labels = load_bundled("train").labels[:600]
    copied = train[labels == 8]
    copied = 0.7 * copied + 0.3 * copied.roll(1, 0)
    near = nearest_neighbours(copied.flatten(1), train.flatten(1))[0]
    usual = nearest_neighbours(unseen.flatten(1), train.flatten(1))[0]
    assert float((near < usual.quantile(0.01)).double().mean()) < 0.5
    figures, _ = measure_samples(copied, train, unseen, classifier)
    assert figures.pixels.copies > 0.9


def test_classes_and_confidence_are_counted(digits, classifier):
    train, unseen = digits
    labels = load_bundled("train").labels[:600]
    threes = train[labels == 3]
    figures, _ = measure_samples(threes, train, unseen, classifier)
    assert figures.classes == [0, 0, 0, len(threes), 0, 0, 0, 0, 0, 0]
    assert figures.confidence > 0.98
    ghosts = torch.maximum(train[:100], train[105:205])  # two different digits in one image
    figures, _ = measure_samples(ghosts, train, unseen, classifier)
    assert sum(figures.classes) == 100
    assert figures.confidence < 0.95 < figures.confidence_unseen
    assert figures.fid > 3 * figures.fid_floor


def test_the_confidence_is_a_mean(digits, classifier):
    train, unseen = (images[:60] for images in digits)
    ghosts = torch.maximum(train[:20], train[25:45])
    figures, _ = measure_samples(ghosts, train, unseen, classifier)
    for confidence, images in [(figures.confidence, ghosts), (figures.confidence_unseen, unseen)]:
        probabilities = classify(classifier, images)[1].numpy()
        assert confidence == pytest.approx(probabilities.max(1).mean(), rel=1e-6)


def test_copies_are_counted_by_hand():
    """Three digits: one among equals, one of even spacing, one that no unseen image shows."""
    usual = torch.tensor([*[1.0] * 5, *torch.linspace(2, 4, 102).tolist()])
    unseen_digit = torch.tensor([*[0] * 5, *[1] * 102])
    near = torch.tensor([0.9, 1.0, 2.01, 2.03, 0.99, 1.01, 8.0])
    digit = torch.tensor([0, 0, 1, 1, 7, 7, 7])
    limits = {0: 1.0, 1: np.quantile(usual[5:], 0.01), 7: np.quantile(usual, 0.01)}
    assert 2.01 < limits[1] < 2.03
    figures = _compare_distances(near, usual, digit, unseen_digit)
    closer = [x < limits[k] for x, k in zip(near.tolist(), digit.tolist(), strict=True)]
    assert closer == [True, False, True, False, True, False, False]
    assert figures.copies == 3 / 7
    assert figures.samples == pytest.approx(np.median(near))
    assert figures.unseen == pytest.approx(np.median(usual))


def test_the_nearest_images_are_those_of_brute_force(digits, classifier):
    train, unseen = (images[:60] for images in digits)
    samples = 0.8 * unseen[:9]
    _, nearest = measure_samples(samples, train, unseen, classifier)
    features, probabilities = classify(classifier, samples)
    for index, (queries, among) in [
        (nearest.by_pixels, (samples.flatten(1), train.flatten(1))),
        (nearest.by_features, (features, classify(classifier, train)[0])),
    ]:
        table = np.linalg.norm(queries.numpy()[:, None] - among.numpy()[None], axis=-1)
        assert index.tolist() == table.argmin(1).tolist()
        if index is nearest.by_pixels:
            assert nearest.distance.tolist() == pytest.approx(table.min(1).tolist(), rel=1e-4)
    assert nearest.digit.tolist() == probabilities.numpy().argmax(1).tolist()


@pytest.mark.parametrize("count", [1, 601])
def test_too_few_or_too_many_samples_are_refused(digits, classifier, count):
    train, unseen = digits
    samples = train[:1].expand(count, -1, -1, -1)
    with pytest.raises(ValueError, match=rf"{count} samples: give 2\.\.600"):
        measure_samples(samples, train, unseen, classifier)


# Precision and recall


def by_brute_force(real, made, k):
    """As the paper says it, one pair of points after the other."""

    def within_reach(queries, members):
        apart = np.linalg.norm(members[:, None] - members[None], axis=-1)
        radii = [sorted(np.delete(row, own))[k - 1] for own, row in enumerate(apart)]
        inside = [
            any(math.dist(q, m) <= r for m, r in zip(members, radii, strict=True)) for q in queries
        ]
        return sum(inside) / len(inside)

    return within_reach(made, real), within_reach(real, made)


@given(
    st.integers(0, 1000), st.integers(1, 4), st.integers(5, 20), st.integers(5, 20), st.floats(0, 3)
)
@settings(max_examples=40, deadline=None)
def test_precision_and_recall_are_those_of_brute_force(seed, k, real_count, count, shift):
    real, made = features(seed, real_count), features(seed + 1, count, shift, 0.8)
    expected = by_brute_force(real.numpy(), made.numpy(), k)
    assert precision_recall(real, made, k, batch_size=4) == pytest.approx(expected)


def test_a_set_is_within_its_own_reach():
    one = features(0, 40).float()
    assert precision_recall(one, one.flip(0)) == (1, 1)
    assert precision_recall(one, one + 1000) == (0, 0)


def test_copies_of_one_member_are_within_reach_of_it():
    """Where many features are equal, the radii are 0, and equal features are still inside."""
    real = torch.randn(12, 128, generator=seeded()).repeat_interleave(4, 0)
    assert precision_recall(real, real[:4]) == (1, pytest.approx(1 / 12))


def test_features_in_half_precision_are_compared_in_float64():
    real, made = features(0, 30).half(), features(1, 30, 0.5).half()
    assert precision_recall(real, made) == precision_recall(real.double(), made.double())


def test_one_kind_out_of_two_is_precise_and_recalls_half():
    near, far = features(0, 50), features(1, 50) + 1000
    assert precision_recall(torch.cat([near, far]), near) == (1, 0.5)
    assert precision_recall(near, torch.cat([near, far])) == (0.5, 1)


def test_three_neighbours_are_counted_unless_told_otherwise():
    """On a line: 0 reaches to 3 with k = 3, and not beyond."""
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]])
    made = torch.tensor([[-2.5], [-3.5], [-50.0], [-50.1], [-50.2]])
    assert precision_recall(real, made).precision == 0.2
    assert precision_recall(real, made, k=2).precision == 0
    assert precision_recall(real, made, k=2).recall == 0.8  # -2.5 reaches to 45


@pytest.mark.parametrize("k", [0, 5])
def test_an_impossible_number_of_neighbours_is_refused(k):
    with pytest.raises(ValueError, match=rf"k = {k}: choose 1\.\.4, for a set has 5 members"):
        precision_recall(features(0, 9), features(1, 5), k)


def test_the_nearest_samples_of_each_digit_are_drawn_first():
    """Images here are numbers: samples 1..4, and training images 10, 20, ..., 50."""
    samples = torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1, 1)
    train = torch.tensor([10.0, 20, 30, 40, 50]).view(5, 1, 1, 1)
    nearest = Nearest(
        digit=torch.tensor([7, 7, 0, 7]),
        distance=torch.tensor([0.3, 0.1, 0.9, 0.2]),
        by_pixels=torch.tensor([0, 1, 2, 3]),
        by_features=torch.tensor([4, 3, 2, 1]),
    )
    sheet = nearest_sheet(samples, train, nearest, of_each=2).view(10, 2, 3)
    expected = torch.full((10, 2, 3), -1.0)
    expected[0, 0] = torch.tensor([3.0, 30, 30])
    expected[7] = torch.tensor([[2.0, 20, 40], [4, 40, 20]])
    torch.testing.assert_close(sheet, expected, rtol=0, atol=0)
