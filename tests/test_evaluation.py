import math

import pytest
import torch

from ddpm_tutorial import NoiseSchedule
from ddpm_tutorial.elbo import elbo_terms
from ddpm_tutorial.evaluation import measure_bound
from ddpm_tutorial.exact import GaussianMixture

MODEL = GaussianMixture(NoiseSchedule.cosine(50), [1.0], [0.1], [0.3], true_prior=True)


def test_mean_and_standard_error_by_hand():
    x0 = torch.linspace(-1, 1, 12, dtype=torch.float64).view(4, 3)
    figures = measure_bound(MODEL, x0, torch.Generator().manual_seed(0))
    terms = elbo_terms(MODEL, x0, torch.Generator().manual_seed(0))
    scale = 1 / (3 * math.log(2))
    expected = {
        "total": -terms.bound() * scale,
        "prior": terms.prior * scale,
        "denoising": terms.denoising.sum(1) * scale,
        "reconstruction": -terms.reconstruction * scale,
    }
    assert list(figures) == list(expected)
    for name, values in expected.items():
        mean = sum(values.tolist()) / 4
        variance = sum((value - mean) ** 2 for value in values.tolist()) / 3
        assert figures[name] == pytest.approx((mean, math.sqrt(variance / 4)))


def test_terms_add_up_to_the_total_in_batches_too():
    x0 = torch.linspace(-1, 1, 10, dtype=torch.float64).view(5, 2)
    figures = measure_bound(MODEL, x0, torch.Generator().manual_seed(0), batch_size=2)
    parts = sum(figures[name][0] for name in ("prior", "denoising", "reconstruction"))
    assert figures["total"][0] == pytest.approx(parts)


def test_gaussian_data_are_measured_at_their_entropy():
    """The bound is tight, so its mean over the data is the data's entropy."""
    generator = torch.Generator().manual_seed(0)
    x0 = 0.1 + math.sqrt(0.3) * torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    total, error = measure_bound(MODEL, x0, generator, batch_size=20_000)["total"]
    entropy = 0.5 * math.log2(2 * math.pi * math.e * 0.3)
    assert abs(total - entropy) < 4 * error
    assert error < 0.05


def test_one_image_has_no_standard_error():
    total, error = measure_bound(MODEL, torch.zeros(1, 1), torch.Generator().manual_seed(0))[
        "total"
    ]
    assert math.isfinite(total)
    assert math.isnan(error)


def test_an_impossible_batch_size_is_refused():
    with pytest.raises(ValueError, match="batch_size = 0: it must be at least 1"):
        measure_bound(MODEL, torch.zeros(1, 1), batch_size=0)
