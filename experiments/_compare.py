"""What experiments share that compare models: one way to read images, one to judge a difference."""

import functools
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import RUNS, complete_mnist, file_name, with_spread
from torch import Tensor

from ddpm_tutorial import (
    classify,
    frechet_distance,
    from_bytes,
    full_float32,
    load_classifier,
    make_accelerator,
    to_bytes,
)

# A mean of so many differences is told from 0 where it is further from it than this many of its
# standard errors: 95 % of Student's distribution. Three are seeds, five are starts.
STUDENT = {2: 12.706, 3: 4.303, 5: 2.776}


class Reference:
    """MNIST, and the classifier that reads all images, on the device in use."""

    def __init__(self) -> None:
        self.device = make_accelerator().device
        train, test = complete_mnist()
        self.train, self.test = train.images, test.images.to(self.device)
        self.classifier = load_classifier().to(self.device)
        self.features, _ = self.read(self.test)

    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and probabilities of images (N, 1, 28, 28), on the CPU."""
        with full_float32():
            features, probabilities = classify(self.classifier, images.to(self.device))
        return features.cpu(), probabilities.cpu()

    def fid(self, images: Tensor) -> float:
        """The distance of images to all test images."""
        return frechet_distance(self.read(images)[0], self.features)


@functools.cache
def reference() -> Reference:
    """One for a process."""
    return Reference()


def paired_difference(wrong: Sequence[float], right: Sequence[float]) -> dict[str, Any]:
    """Of two figures that were measured with the same seeds or starts, pair by pair.

    `visible` is how large the mean must be to be told from 0, at a level of 95 %: a smaller one
    claims nothing, and a larger one would have been seen.
    """
    differences = [one - other for one, other in zip(wrong, right, strict=True)]
    found = with_spread(differences)
    if len(differences) > 1:
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        found["visible"] = round(STUDENT[len(differences)] * error, 5)
    return found


def keep_picture(experiment: str, name: str, images: Tensor) -> None:
    """Keep images in [-1, 1] under runs/EXPERIMENT, until the sheets are drawn."""
    file = picture_file(experiment, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, images=to_bytes(images.cpu().clamp(-1, 1)).numpy())


def kept_picture(experiment: str, name: str) -> Tensor | None:
    """What `keep_picture` has kept; None where there is none."""
    file = picture_file(experiment, name)
    return from_bytes(torch.from_numpy(np.load(file)["images"])) if file.exists() else None


def picture_file(experiment: str, name: str) -> Path:
    return RUNS / experiment / f"{file_name(name)}.npz"
