import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_tutorial import DDPM, NoiseSchedule, load_bundled
from ddpm_tutorial import evaluation as evaluation_module
from ddpm_tutorial.checkpoint import load_classifier
from ddpm_tutorial.classifier import classify
from ddpm_tutorial.elbo import WithLabels, elbo_terms
from ddpm_tutorial.evaluation import (
    _compare_distances,
    frechet_distance,
    measure_bound,
    measure_samples,
    nearest_neighbours,
    precision_recall,
)
from ddpm_tutorial.exact import GaussianMixture

MODEL = GaussianMixture(NoiseSchedule.cosine(50), [1.0], [0.1], [0.3], true_prior=True)
X0 = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The bound


@pytest.fixture
def known_terms(monkeypatch):
    """In place of the denoising terms: t + 100 x, where x is the first entry of x0."""
    drawn = []

    def term(model, x0, t, eps):
        drawn.append(t)
        return t + 100 * x0.flatten(1)[:, 0]

    monkeypatch.setattr(evaluation_module, "denoising_term", term)
    return drawn


def test_all_terms_are_added_up_and_sorted_by_t(known_terms):
    figures = measure_bound(MODEL, X0, seeded())
    scale = 1 / (3 * math.log(2))
    sums = [sum(t + 100 * float(x0[0]) for t in range(2, 51)) * scale for x0 in X0]
    mean = sum(sums) / 4
    error = math.sqrt(sum((value - mean) ** 2 for value in sums) / 3 / 4)
    assert figures.denoising.mean == pytest.approx(mean)
    assert figures.denoising.standard_error == pytest.approx(error)
    assert [low for low, _, _ in figures.by_t] == [2, 7, 12, 17, 22, 26, 31, 36, 41, 46]
    assert [high for _, high, _ in figures.by_t] == [6, 11, 16, 21, 25, 30, 35, 40, 45, 50]
    for low, high, share in figures.by_t:
        terms = [t + 100 * float(X0[:, 0].mean()) for t in range(low, high + 1)]
        assert share.mean == pytest.approx(sum(terms) * scale)
    assert figures.by_t[-1][2].standard_error > 0


def test_a_few_terms_stand_for_all(known_terms):
    """Each t is as likely as any other, one in each stretch, and the mean is that of all."""
    count = 4000
    x0 = torch.zeros(count, 1, dtype=torch.float64)
    figures = measure_bound(MODEL, x0, seeded(), terms_per_image=3, batch_size=count)
    assert len(known_terms) == 3
    for stretch, t in enumerate(known_terms):
        low, high = 2 + 49 * stretch / 3, 2 + 49 * (stretch + 1) / 3
        assert float(t.min()) > low - 1
        assert float(t.max()) < high
    times = torch.cat(known_terms).bincount(minlength=51)
    assert times[:2].sum() == 0
    assert len(times) == 51
    assert float((times[2:] - 3 * count / 49).abs().max()) < 5 * math.sqrt(3 * count / 49)
    exact = sum(range(2, 51)) / math.log(2)
    assert abs(figures.denoising.mean - exact) < 4 * figures.denoising.standard_error
    assert figures.denoising.standard_error < 0.005 * exact


def test_the_other_terms_by_hand():
    figures = measure_bound(MODEL, X0, seeded())
    terms = elbo_terms(MODEL, X0, seeded())  # the first numbers drawn are those of x_1 here too
    scale = 1 / (3 * math.log(2))
    for name, values in [("prior", terms.prior), ("reconstruction", -terms.reconstruction)]:
        mean = sum(values.tolist()) / 4
        variance = sum((value - mean) ** 2 for value in values.tolist()) / 3
        assert getattr(figures, name).mean == pytest.approx(mean * scale)
        error = getattr(figures, name).standard_error
        assert error == pytest.approx(math.sqrt(variance / 4) * scale)


def test_the_total_is_that_of_all_terms_image_by_image(known_terms):
    """Its standard error is not the sum of theirs: an image has all its terms together."""
    model = GaussianMixture(NoiseSchedule.linear(50), [1.0], [0.1], [0.3])
    figures = measure_bound(model, X0, seeded())
    terms = elbo_terms(model, X0, seeded())
    assert float(terms.prior.min()) > 0.1  # this schedule leaves a part of the data in x_T
    denoising = sum(t + 100 * X0[:, 0] for t in range(2, 51))
    totals = (terms.prior + denoising - terms.reconstruction).numpy() / (3 * math.log(2))
    assert figures.total.mean == pytest.approx(totals.mean())
    assert figures.total.standard_error == pytest.approx(totals.std(ddof=1) / 2)


def test_a_bound_of_float32_images_is_averaged_in_float64():
    figures = measure_bound(MODEL, X0.float(), seeded())
    parts = figures.prior.mean + figures.denoising.mean + figures.reconstruction.mean
    assert figures.total.mean == pytest.approx(parts, rel=1e-12)


def test_all_numbers_are_drawn_from_the_generator():
    untouched = torch.get_rng_state()
    first = measure_bound(MODEL, X0, seeded(), terms_per_image=3)
    assert torch.equal(torch.get_rng_state(), untouched)
    assert measure_bound(MODEL, X0, seeded(), terms_per_image=3) == first
    assert measure_bound(MODEL, X0, seeded(1), terms_per_image=3) != first


def test_as_many_terms_as_there_are_is_all_of_them():
    assert measure_bound(MODEL, X0, seeded(), 49) == measure_bound(MODEL, X0, seeded())


def labelled_model():
    """A model whose answer, and so its bound, depends on the label."""

    def network(x_t, t, label):
        return torch.zeros_like(x_t) + label[:, None, None, None] / 4

    return DDPM(network, NoiseSchedule.cosine(20), predicts="x0", shape=(1, 2, 2))


def test_the_bound_given_labels_is_that_of_each_image_with_its_own():
    """Against one model for each image, whose network holds the label as a constant."""
    images = load_bundled("test").images[:7, :, 12:14, 12:14].double()
    labels = torch.tensor([0, 3, 1, 0, 2, 1, 3])
    model = labelled_model()
    expected = []  # this network's answer does not depend on x_t, and so no noise matters
    for image, label in zip(images, labels, strict=True):
        alone = DDPM(
            lambda x_t, t, label=label: torch.zeros_like(x_t) + label / 4,
            model.schedule,
            predicts="x0",
            shape=(1, 2, 2),
        )
        expected.append(elbo_terms(alone, image[None], seeded()).bits_per_dim())
    figures = measure_bound(model, images, seeded(), batch_size=3, labels=labels)
    assert figures.total.mean == pytest.approx(float(torch.cat(expected).mean()), rel=1e-9)
    terms = elbo_terms(WithLabels(model, labels), images, seeded())
    torch.testing.assert_close(terms.bits_per_dim(), torch.cat(expected), rtol=1e-9, atol=0)


def test_labels_that_do_not_fit_are_refused():
    images = load_bundled("test").images[:7, :, 12:14, 12:14]
    with pytest.raises(ValueError, match=r"shape \(6,\): give one for each of the 7 images"):
        measure_bound(labelled_model(), images, labels=torch.zeros(6, dtype=torch.int64))
    grey = images + 0.001
    with pytest.raises(ValueError, match="256 levels"):
        elbo_terms(WithLabels(labelled_model(), torch.zeros(7, dtype=torch.int64)), grey)


def test_the_largest_random_number_stays_within_the_last_step(known_terms, monkeypatch):
    """In float64, 48 + (1 - 2^-53) is 49: one step too far."""
    almost_one = torch.tensor([1 - 2**-53], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda count, **options: almost_one.expand(count))
    measure_bound(MODEL, X0, seeded())
    assert known_terms[-1].tolist() == [50] * 4


def test_the_bar_of_the_bound_runs_to_its_end(capsys):
    measure_bound(MODEL, X0, seeded(), terms_per_image=3, batch_size=3, progress=True)
    assert "100%" in capsys.readouterr().err
    measure_bound(MODEL, X0, seeded(), terms_per_image=3)
    assert not capsys.readouterr().err


@given(
    count=st.integers(1, 7),
    batch_size=st.integers(1, 8),
    terms=st.one_of(st.none(), st.integers(1, 49)),
)
@settings(max_examples=25, deadline=None)
def test_terms_add_up_to_the_total(count, batch_size, terms):
    x0 = torch.linspace(-1, 1, 2 * count, dtype=torch.float64).view(count, 2)
    figures = measure_bound(MODEL, x0, seeded(), terms, batch_size)
    parts = figures.prior.mean + figures.denoising.mean + figures.reconstruction.mean
    assert figures.total.mean == pytest.approx(parts)
    assert sum(share.mean for _, _, share in figures.by_t) == pytest.approx(figures.denoising.mean)


@pytest.mark.parametrize("terms", [None, 5])
def test_gaussian_data_are_measured_at_their_entropy(terms):
    """The bound is tight, so its mean over the data is the data's entropy."""
    generator = seeded()
    x0 = 0.1 + math.sqrt(0.3) * torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    total = measure_bound(MODEL, x0, generator, terms, batch_size=20_000).total
    entropy = 0.5 * math.log2(2 * math.pi * math.e * 0.3)
    assert abs(total.mean - entropy) < 4 * total.standard_error
    assert total.standard_error < 0.05


def test_one_image_has_no_standard_error():
    total = measure_bound(MODEL, torch.zeros(1, 1), seeded()).total
    assert math.isfinite(total.mean)
    assert math.isnan(total.standard_error)


def test_two_images_have_a_standard_error(known_terms):
    error = measure_bound(MODEL, X0[:2], seeded()).denoising.standard_error
    apart = 49 * 100 * float(X0[1, 0] - X0[0, 0]) / (3 * math.log(2))
    assert error == pytest.approx(apart / 2)


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="batch_size = 0: it must be at least 1"):
        measure_bound(MODEL, X0, batch_size=0)
    for terms in (0, 50):
        with pytest.raises(ValueError, match=rf"terms_per_image = {terms}: choose 1\.\.49"):
            measure_bound(MODEL, X0, terms_per_image=terms)


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
