"""Every chain of score.py that draws, as a function of a model, a start and a generator.

And a sampler whose noise comes from the test.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ddpm_tutorial import (
    DDIM,
    DDPM,
    Ancestral,
    Corrected,
    Denoiser,
    DPMSolver,
    Here,
    Heun,
    Sampler,
    annealed_langevin,
    filled_like,
    langevin,
    metropolis_adjusted_langevin,
    score,
    walk,
)

PAIRS = [(12, 8), (8, 3), (3, 0)]


def corrected(
    sampler: Sampler, model: DDPM, x: Tensor, generator: torch.Generator | None
) -> Iterator:
    return walk(model.denoiser(), x, PAIRS, Corrected(sampler, 0.3), generator)


CHAINS: dict[str, Callable[[DDPM, Tensor, torch.Generator | None], Iterator]] = {
    "plain": lambda model, x, generator: langevin(
        lambda x: score(model.denoiser(), x, filled_like(x, 5)), x, 0.1, 2, generator
    ),
    "adjusted": lambda _, x, generator: metropolis_adjusted_langevin(
        lambda x: -x.square().flatten(1).sum(1), x, 0.01, 2, generator
    ),
    "annealed": lambda model, x, generator: annealed_langevin(
        model.denoiser(), x, PAIRS, 0.3, 2, generator
    ),
    "ddpm": partial(corrected, Ancestral("small")),
    "ddim": partial(corrected, DDIM()),
    "dpm++": partial(corrected, DPMSolver()),
    "heun": partial(corrected, Heun()),
}


@dataclass(frozen=True)
class WithNoise:
    """The sampler, but its noise at x_t is `draw(x_t)`."""

    sampler: Sampler
    draw: Callable[[Tensor], Tensor]
    name = "with noise"

    def step(
        self, denoiser: Denoiser, here: Here, s: Tensor, noise: Callable[[], Tensor]
    ) -> Tensor:
        return self.sampler.step(denoiser, here, s, lambda: self.draw(here.x_t))
