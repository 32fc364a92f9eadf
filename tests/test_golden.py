"""The shipped models draw and cost what they did when these sums were written down.

They were written down with the code of the first edition; on that machine the two agreed bit by
bit, entry by entry. Here they are compared to 1e-3, since another processor rounds differently, and
six steps of a sampler carry that on.
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
    "mnist, ancestral": (0.708966, 1427.7),
    "mnist, ancestral large": (6.09967, 1327.59),
    "mnist, ddim": (24.8955, 1386.34),
    "mnist, ddim 0.5": (16.8457, 1389.03),
    "mnist, dpm-solver": (25.718, 1407.45),
    "mnist, bound": (1.14358, 0.764072),
    "mnist-bound, ancestral": (3.8545, 1444.28),
    "mnist-bound, ancestral large": (15.8256, 1324.06),
    "mnist-bound, ddim": (20.5858, 1398.06),
    "mnist-bound, ddim 0.5": (11.9204, 1388.5),
    "mnist-bound, dpm-solver": (16.7542, 1425.42),
    "mnist-bound, bound": (1.17147, 0.69672),
    "mnist-labels, ancestral": (6.91989, 1414.95),
    "mnist-labels, ancestral large": (8.37562, 1335.26),
    "mnist-labels, ddim": (18.7822, 1363.07),
    "mnist-labels, ddim 0.5": (20.7837, 1394.23),
    "mnist-labels, dpm-solver": (19.3616, 1385.96),
    "mnist-labels, ddim, guided": (29.2133, 1385.25),
    "mnist-labels, ddim, unclipped": (18.9272, 1368.46),
    "mnist-labels, bound": (1.16466, 0.797745),
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
