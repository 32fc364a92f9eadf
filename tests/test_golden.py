"""The shipped models draw and cost what they did when these sums were written down.

They were written down when these weights began to ship, with code that drew from the weights before
them what they were first seen to draw. They are compared to 1e-3, since another processor rounds
differently, and six steps of a sampler carry that on.
"""

import pytest
import torch

from ddpm_tutorial import (
    DDIM,
    DDPM,
    Ancestral,
    Denoiser,
    DPMSolver,
    load_bundled,
    load_pretrained,
    measure_bound,
    sample,
)

# Of two samples, their sum weighed from -1 to 1 along the pixels, and their sum of squares; of a
# bound, its total and its reconstruction, in bits per dimension.
SUMS = {
    "mnist, ancestral": (3.08224, 1445.95),
    "mnist, ancestral large": (6.73387, 1324.08),
    "mnist, ddim": (29.3165, 1414.39),
    "mnist, ddim 0.5": (16.9996, 1393.39),
    "mnist, dpm-solver": (30.9932, 1424.18),
    "mnist, bound": (1.0794, 0.714412),
    "mnist-bound, ancestral": (11.7253, 1475.57),
    "mnist-bound, ancestral large": (20.4257, 1339.78),
    "mnist-bound, ddim": (24.3673, 1394.26),
    "mnist-bound, ddim 0.5": (9.06635, 1389.24),
    "mnist-bound, dpm-solver": (22.7756, 1450.22),
    "mnist-bound, bound": (1.12433, 0.669354),
    "mnist-labels, ancestral": (-0.390692, 1436.36),
    "mnist-labels, ancestral large": (1.54163, 1355.67),
    "mnist-labels, ddim": (24.1399, 1402.98),
    "mnist-labels, ddim 0.5": (27.3262, 1407.67),
    "mnist-labels, dpm-solver": (25.1064, 1414.78),
    "mnist-labels, ddim, guided": (35.4423, 1409.88),
    "mnist-labels, ddim, unclipped": (24.0925, 1406.32),
    "mnist-labels, bound": (1.08468, 0.725644),
}
SAMPLERS = {
    "ancestral": Ancestral(),
    "ancestral large": Ancestral("large"),
    "ddim": DDIM(),
    "ddim 0.5": DDIM(eta=0.5),
    "dpm-solver": DPMSolver(),
}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def denoiser_of(model: DDPM, labels: list[int], how: str = "") -> Denoiser:
    told = torch.tensor(labels) if model.num_classes else None
    return model.denoiser(told, 1.5 if how == "guided" else 0.0, clip=how != "unclipped")


@pytest.mark.parametrize("key", [key for key in SUMS if "bound" not in key.split(", ")])
def test_samples(key: str) -> None:
    name, sampler, *how = key.split(", ")
    denoiser = denoiser_of(load_pretrained(name), [3, 7], *how)
    images = sample(denoiser, 2, SAMPLERS[sampler], 6, seeded()).double()
    weights = torch.linspace(-1, 1, 784).view(1, 1, 28, 28)
    found = float((images * weights).sum()), float(images.square().sum())
    assert found == pytest.approx(SUMS[key], rel=1e-3, abs=0.1)


@pytest.mark.parametrize("name", ["mnist", "mnist-bound", "mnist-labels"])
def test_bounds(name: str) -> None:
    digits = load_bundled("test")
    denoiser = denoiser_of(load_pretrained(name), digits.labels[:2].tolist())
    bound = measure_bound(denoiser, digits.images[:2], seeded(), 3)
    found = bound.total.mean, bound.reconstruction.mean
    assert found == pytest.approx(SUMS[f"{name}, bound"], rel=1e-3)
