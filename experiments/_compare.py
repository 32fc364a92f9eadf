"""What experiments share that compare models: one way to read images, one to judge a difference."""

import functools
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _results import RUNS, SAMPLES, complete_mnist, file_name, with_spread
from torch import Tensor

from ddpm_tutorial import (
    DDPM,
    DigitClassifier,
    Sampler,
    classify,
    frechet_distance,
    from_bytes,
    full_float32,
    load_classifier,
    make_accelerator,
    sample,
    to_bytes,
    write_atomically,
)

BATCH = 1000  # so large that a GPU, not the core that feeds it, sets the pace

# A mean of so many differences is told from 0 where it is further from it than this many of its
# standard errors: 95 % of Student's distribution. Three are seeds, five are starts.
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}


class Reference:
    """MNIST, and the classifier that reads all images, on the device in use."""

    def __init__(self) -> None:
        self.device = make_accelerator().device
        train, test = complete_mnist()
        self.train, self.test = train.images, test.images.to(self.device)
        self.train_labels, self.test_labels = train.labels, test.labels
        self.classifier = load_classifier().to(self.device)
        self.features, _ = self.read(self.test)

    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and probabilities of images (N, 1, 28, 28), on the CPU."""
        return read(self.classifier, images)

    def fid(self, images: Tensor) -> float:
        """The distance of images to all test images."""
        return frechet_distance(self.read(images)[0], self.features)


@functools.cache
def reference() -> Reference:
    """One for a process."""
    return Reference()


def read(classifier: DigitClassifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and probabilities of images (N, 1, 28, 28), exact, and on the CPU."""
    device = next(classifier.parameters()).device
    with full_float32():
        features, probabilities = classify(classifier, images.float().to(device))
    return features.cpu(), probabilities.cpu()


def draw(model: DDPM, start: int, sampler: str | Sampler, steps: int) -> Tensor:
    """SAMPLES images of a trained model; from one start, all models get the same noise."""
    generator = torch.Generator().manual_seed(1000 + start)
    with make_accelerator().autocast():
        return sample(model, SAMPLES, sampler, steps, generator, batch_size=BATCH)


def differences(first: Sequence[float], second: Sequence[float]) -> tuple[list[float], float]:
    """`first` less `second`, pair by pair, and the standard error of their mean (nan for one)."""
    found = [one - other for one, other in zip(first, second, strict=True)]
    return found, statistics.stdev(found) / math.sqrt(len(found)) if found[1:] else math.nan


def paired(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """`first` less `second`, pair by pair: `with_spread`, and the standard error of the mean."""
    found, error = differences(first, second)
    return with_spread(found) | {"standard_error": round(error, 5)}


def paired_difference(wrong: Sequence[float], right: Sequence[float]) -> dict[str, Any]:
    """Of two figures that were measured with the same seeds or starts, pair by pair.

    `visible` is how large the mean must be to be told from 0, at a level of 95 %: a smaller one
    claims nothing, and a larger one would have been seen.
    """
    found, error = differences(wrong, right)
    if len(found) == 1:
        return with_spread(found)
    return with_spread(found) | {"visible": round(STUDENT[len(found)] * error, 5)}


def keep_picture(experiment: str, name: str, images: Tensor) -> None:
    """Keep images in [-1, 1] under runs/EXPERIMENT, until the sheets are drawn."""
    content = io.BytesIO()
    np.savez_compressed(content, images=to_bytes(images.cpu().clamp(-1, 1)).numpy())
    write_atomically(picture_file(experiment, name), content.getvalue())


def kept_picture(experiment: str, name: str) -> Tensor | None:
    """What `keep_picture` has kept; None where there is none."""
    file = picture_file(experiment, name)
    return from_bytes(torch.from_numpy(np.load(file)["images"])) if file.exists() else None


def picture_file(experiment: str, name: str) -> Path:
    return RUNS / experiment / f"{file_name(name)}.npz"
