"""Every chain of score.py that draws, as a function of a model, a start and a generator."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ddpm_tutorial import DDPM
from ddpm_tutorial.sampling import filled_like
from ddpm_tutorial.score import (
    annealed_langevin,
    langevin,
    metropolis_adjusted_langevin,
    predictor_corrector_path,
    score,
)

PAIRS = [(12, 8), (8, 3), (3, 0)]
CHAINS: dict[str, Callable[[DDPM, Tensor, torch.Generator | None], Iterator]] = {
    "plain": lambda model, x, generator: langevin(
        lambda x: score(model, x, filled_like(x, 5)), x, 0.1, 2, generator
    ),
    "adjusted": lambda _, x, generator: metropolis_adjusted_langevin(
        lambda x: -x.square().flatten(1).sum(1), x, 0.01, 2, generator
    ),
    "annealed": lambda model, x, generator: annealed_langevin(model, x, PAIRS, 0.3, 2, generator),
    "ddpm": lambda model, x, generator: predictor_corrector_path(
        model, x, PAIRS, "ddpm", 0.3, 1, generator
    ),
    "ddim": lambda model, x, generator: predictor_corrector_path(
        model, x, PAIRS, "ddim", 0.3, 1, generator
    ),
}
