"""Linear maps and likelihoods, beside matrices, scipy and torch.distributions."""

import math

import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal, Normal

from ddpm_tutorial import (
    AveragePooling,
    Blur,
    ClassLabel,
    Distance,
    Mask,
    Measurement,
    load_bundled,
    load_classifier,
)

SHAPE = (2, 8, 4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count, seed=0):
    return torch.randn(count, *SHAPE, generator=seeded(seed), dtype=torch.float64)


def some_known(seed=1):
    return torch.rand(SHAPE, generator=seeded(seed)) < 0.4


MAPS = {"mask": Mask(some_known()), "averages": AveragePooling(2), "blur": Blur(0.8)}
every_map = pytest.mark.parametrize("A", MAPS.values(), ids=MAPS)


def matrix_of(A):
    """The map as a matrix (M, D): what it makes of each unit vector."""
    size = math.prod(SHAPE)
    units = torch.eye(size, dtype=torch.float64).view(size, *SHAPE)
    return A(units).flatten(1).T


@every_map
def test_a_map_is_linear_and_its_variance_that_of_independent_entries(A):
    x, matrix = images(5), matrix_of(A)
    torch.testing.assert_close(A(x).flatten(1), x.flatten(1) @ matrix.T, rtol=1e-10, atol=1e-12)
    variance = images(5, 1).square()
    expected = variance.flatten(1) @ matrix.square().T
    torch.testing.assert_close(A.of_variance(variance).flatten(1), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["mask", "averages"])
@pytest.mark.parametrize("answers", [1, 5])
def test_a_completed_image_fits_and_is_the_nearest_that_does(name, answers):
    """It moves by a combination of rows of the matrix alone: by nothing that could be left out."""
    A, x = MAPS[name], images(5)
    y = A(images(answers, 2))
    complete = A.complete(x, y)
    torch.testing.assert_close(A(complete), y.expand_as(A(complete)), rtol=1e-10, atol=1e-12)
    moved, matrix = (complete - x).flatten(1), matrix_of(A)
    onto_rows = torch.linalg.pinv(matrix) @ matrix
    torch.testing.assert_close(moved @ onto_rows.T, moved, rtol=1e-8, atol=1e-10)


def test_a_mask_keeps_the_known_entries_in_their_order():
    x, known = images(3), some_known()
    torch.testing.assert_close(Mask(known)(x), x[:, known], rtol=0, atol=0)


def test_a_blur_is_that_of_scipy_and_keeps_an_even_image():
    x, sigma = images(2), 0.8
    reach = math.ceil(3 * sigma)
    ours = Blur(sigma)(x)
    for image, blurred in zip(x.flatten(0, 1).numpy(), ours.flatten(0, 1), strict=True):
        expected = scipy.ndimage.gaussian_filter(image, sigma, mode="nearest", radius=reach)
        torch.testing.assert_close(blurred, torch.from_numpy(expected), rtol=1e-10, atol=1e-12)
    even = torch.full((1, *SHAPE), 0.3, dtype=torch.float64)
    torch.testing.assert_close(Blur(2.0)(even), even, rtol=1e-12, atol=0)


@given(sigma=st.floats(0.01, 3), doubt=st.booleans())
def test_a_measurement_has_the_log_density_of_independent_normals(sigma, doubt):
    x = images(4)
    variance = images(4, 3).square() if doubt else None
    for A in MAPS.values():
        y = A(images(1, 5))
        spread = sigma**2 + (A.of_variance(variance) if doubt else torch.zeros_like(A(x)))
        expected = Normal(A(x), spread.sqrt()).log_prob(y).flatten(1).sum(1)
        ours = Measurement(y, A, sigma)(x, variance)
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_the_doubt_of_one_measured_entry_is_exact_for_a_normal_x0():
    """N(y; A m, A C A^T + sigma^2) with one row that picks an entry."""
    known = torch.tensor([False, True, False])
    root = torch.randn(3, 3, generator=seeded(), dtype=torch.float64)
    covariance, mean = root @ root.T, torch.randn(1, 3, generator=seeded(1), dtype=torch.float64)
    y = torch.tensor([[0.3]], dtype=torch.float64)
    seen = MultivariateNormal(mean[0, 1:2], covariance[1:2, 1:2] + 0.2**2)
    ours = Measurement(y, Mask(known), 0.2)(mean, covariance.diagonal()[None])
    torch.testing.assert_close(ours, seen.log_prob(y), rtol=1e-10, atol=0)


def test_a_measurement_is_drawn_from_its_generator_with_its_spread():
    x, A = images(400), AveragePooling(2)
    one, same = (Measurement.of(x, A, 0.3, seeded(4)) for _ in range(2))
    assert torch.equal(one.y, same.y)
    error = one.y - A(x)
    assert abs(float(error.std()) / 0.3 - 1) < 4 / math.sqrt(2 * error.numel())
    assert abs(float(error.mean())) < 4 * 0.3 / math.sqrt(error.numel())
    assert (one.A, one.sigma) == (A, 0.3)


def test_a_distance_is_the_norm_of_what_is_off():
    x, A = images(4), Blur(0.8)
    y = A(images(1, 6))
    expected = -2.5 * (y - A(x)).flatten(1).square().sum(1).sqrt()
    torch.testing.assert_close(Distance(y, A, 2.5)(x), expected, rtol=1e-10, atol=0)


def test_a_class_has_the_log_probability_that_the_classifier_gives():
    digits, classifier = load_bundled("test"), load_classifier()
    expected = classifier(digits.images[:6]).double().softmax(1).log()
    each = ClassLabel(digits.labels[:6], classifier)
    ours = each(digits.images[:6])
    torch.testing.assert_close(
        ours, expected[torch.arange(6), digits.labels[:6]].float(), rtol=1e-4, atol=1e-5
    )
    for_all = ClassLabel(torch.tensor([3]), classifier)
    torch.testing.assert_close(
        for_all(digits.images[:6]), expected[:, 3].float(), rtol=1e-4, atol=1e-5
    )
    assert (each.count, for_all.count) == (6, None)


def test_rows_are_those_of_the_measurements():
    x, A = images(6), AveragePooling(2)
    each, one = Measurement(A(x), A, 0.1), Measurement(A(x[:1]), A, 0.1)
    assert (each.count, one.count) == (6, None)
    part = each.rows(2, 5)
    torch.testing.assert_close(part(x[2:5]), each(x)[2:5], rtol=1e-12, atol=0)
    assert (part.count, part.sigma, part.A) == (3, 0.1, A)
    assert one.rows(2, 5) is one


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mask(torch.ones(2, 2)), "known has dtype torch.float32, and 4 entries"),
        (lambda: Mask(torch.zeros(2, dtype=torch.bool)), "give a bool tensor with at least one"),
        (lambda: MAPS["mask"](images(2)[:, :1]), "the mask must have the shape of one example"),
        (lambda: MAPS["mask"].complete(images(2)[:, :1], 0), "must have the shape of one example"),
        (lambda: AveragePooling(3)(images(2)), "size = 3, x0 has shape .2, 2, 8, 4.: give"),
        (lambda: AveragePooling(0)(images(2)), "size = 0"),
        (lambda: Blur(0.0), "sigma = 0.0: it must be greater than 0"),
        (lambda: Blur(1.0).complete(images(2), images(1)), "Blur offers no x with A x = y"),
        (lambda: Measurement(images(1), Blur(1.0), 0.0), "a small one, such as half a grey level"),
        (lambda: Measurement(images(1), Blur(1.0), math.nan), "sigma = nan"),
        (lambda: Measurement(images(1) / 0, Blur(1.0), 1.0), "y: .* values are not finite"),
    ],
)
def test_what_measures_nothing_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
