"""What the experiments on samplers share: starts, and figures of the samples that come of them."""

from collections.abc import Sequence
from typing import Any

import torch
from _compare import read
from _results import SAMPLES, name_of_precision, with_spread
from torch import Tensor

from ddpm_tutorial import frechet_distance, load_classifier, load_pretrained, make_accelerator


class Bench:
    """A shipped model and the classifier that measures its samples, on one device."""

    def __init__(self, name: str) -> None:
        torch.set_num_threads(1)
        self.accelerator = make_accelerator()
        self.precision = name_of_precision(self.accelerator)
        self.model = load_pretrained(name).to(self.accelerator.device)
        self.classifier = load_classifier().to(self.accelerator.device)

    def noise(self, seed: int) -> torch.Generator:
        """For the noise on the way, drawn where it is needed: bringing it there takes too long."""
        return torch.Generator(self.accelerator.device).manual_seed(seed)

    def classify(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and probabilities of images, exact, and back on the CPU."""
        return read(self.classifier, images)

    def figures(self, images: Tensor, references: Tensor) -> dict[str, float]:
        """The distance of images from the references, which are features, and the confidence."""
        features, probabilities = self.classify(images)
        return {
            "fid": frechet_distance(features, references),
            "confidence": float(probabilities.amax(1).mean()),
        }


def start_of(start: int, shape: tuple[int, ...] = (1, 28, 28), samples: int = SAMPLES) -> Tensor:
    """The x_T (samples, *shape) of a start: the same on every device and for every sampler."""
    return torch.randn(samples, *shape, generator=torch.Generator().manual_seed(1000 + start))


def spread_of_each(runs: Sequence[dict[str, float]], names: Sequence[str]) -> dict[str, Any]:
    """Of each named figure `with_spread` over the runs."""
    return {name: with_spread([run[name] for run in runs]) for name in names}


def ink_of(images: Tensor) -> float:
    """The mean brightness of images in [-1, 1]: 0 is black, 1 white."""
    return float((images.clamp(-1, 1).double() + 1).mean() / 2)
