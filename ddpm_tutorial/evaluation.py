"""How good a model is, as a number with a standard error."""

import math

import torch
from torch import Tensor

from ddpm_tutorial.elbo import ReverseProcess, elbo_terms, to_bits_per_dim


def measure_bound(
    model: ReverseProcess,
    images: Tensor,
    generator: torch.Generator | None = None,
    batch_size: int = 100,
    progress: bool = False,
) -> dict[str, tuple[float, float]]:
    """Mean and standard error over images (N, 1, 28, 28) of the bound and of its terms.

    In bits per dimension, as code lengths: "total" is the sum of "prior", "denoising" and
    "reconstruction", and smaller is better. The images must lie on 256 levels (ValueError). With
    one image there is no standard error, and it is given as nan. Takes T network evaluations for
    each image.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size = {batch_size}: it must be at least 1")
    rows: dict[str, list[Tensor]] = {
        "total": [],
        "prior": [],
        "denoising": [],
        "reconstruction": [],
    }
    for batch in images.split(batch_size):
        terms = elbo_terms(model, batch, generator, progress=progress)
        rows["total"].append(terms.bits_per_dim())
        rows["prior"].append(to_bits_per_dim(terms.prior, terms.dimensions))
        rows["denoising"].append(to_bits_per_dim(terms.denoising.sum(1), terms.dimensions))
        rows["reconstruction"].append(to_bits_per_dim(-terms.reconstruction, terms.dimensions))
    figures = {}
    for name, parts in rows.items():
        values = torch.cat(parts).double()
        error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else math.nan
        figures[name] = (float(values.mean()), error)
    return figures
