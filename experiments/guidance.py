"""Measure what guidance does to the digits of the shipped class-conditional model.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/guidance.py

For each guidance strength w, 500 samples with the labels 0..9 in turn, from the same noise: how
often the digit classifier reads the label that was asked for, and how sure it is of it; the FID;
how much the digits of one class differ (mean distance of two of them, in the classifier's
features); and how much ink they have. The same figures of as many real test images stand beside.

Writes book/results/guidance.json and guidance.png after each w. In the picture, each row is one w:
the first ten samples, 0..9, then ten samples of the digit 4. Takes about 5 minutes on one core.
"""

import time

import torch
from _results import RESULTS, complete_mnist, name_of_precision, write_results
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import (
    Digits,
    classify,
    frechet_distance,
    load_classifier,
    load_pretrained,
    make_accelerator,
    sample,
)
from ddpm_tutorial.plotting import save_sheet

SEED = 0
STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
SAMPLES, SAMPLING_STEPS = 500, 25
SHOWN, SHOWN_DIGIT = 10, 4


def balanced(digits: Digits, count: int) -> Digits:
    """The first `count` / 10 images of each class of a shuffled data set, 0..9 in turn."""
    order = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(SEED))
    rows = [order[digits.labels[order] == k][: count // 10] for k in range(10)]
    index = torch.stack(rows, dim=1).flatten()
    return Digits(digits.images[index], digits.labels[index])


class Measure:
    """What is measured of each set of samples."""

    def __init__(self) -> None:
        train, test = complete_mnist()
        self.classifier = load_classifier()
        self.unseen, _ = classify(self.classifier, test.images)
        self.real = self.of(balanced(test, SAMPLES))
        self.floor = self.of(balanced(train, SAMPLES))["fid"]
        del self.real["fid"]  # of images that are among those they would be compared with

    def of(self, digits: Digits) -> dict[str, float]:
        """The figures of images beside the labels that they are to show."""
        features, probabilities = classify(self.classifier, digits.images)
        own = probabilities.gather(1, digits.labels[:, None])
        return {
            "agreement": float((probabilities.argmax(1) == digits.labels).double().mean()),
            "confidence": float(own.mean()),
            "fid": frechet_distance(features, self.unseen),
            "spread": spread_within(features, digits.labels),
            "ink": float((digits.images.clamp(-1, 1).double() + 1).mean() / 2),
        }


def spread_within(features: Tensor, labels: Tensor) -> float:
    """Mean Euclidean distance of two different images of one class, averaged over classes."""
    means = []
    for k in labels.unique():
        of_class = features[labels == k].double()
        distances = torch.cdist(of_class, of_class)
        count = len(of_class)
        means.append(distances.sum() / (count * (count - 1)))
    return float(torch.stack(means).mean())


def main() -> None:
    """Sample and measure at each strength; write after each."""
    started = time.monotonic()
    accelerator, measure = make_accelerator(), Measure()
    model = load_pretrained("mnist-labels").to(accelerator.device)
    labels = torch.arange(SAMPLES) % 10
    figures = {
        "samples": SAMPLES,
        "steps": SAMPLING_STEPS,
        "fid_floor": measure.floor,
        "real": measure.real,
        "strength": [],
        "agreement": [],
        "confidence": [],
        "fid": [],
        "spread": [],
        "ink": [],
    }
    rows = []
    for w in tqdm(STRENGTHS, unit="strength"):
        generator = torch.Generator().manual_seed(SEED)
        with accelerator.autocast():
            denoiser = model.denoiser(labels.to(accelerator.device), guidance=w)
            images = sample(denoiser, SAMPLES, "ddim", SAMPLING_STEPS, generator, progress=True)
        images = images.float().cpu()
        for name, value in ({"strength": w} | measure.of(Digits(images, labels))).items():
            figures[name].append(value)
        rows += [images[:SHOWN], images[labels == SHOWN_DIGIT][:SHOWN]]
        precision = name_of_precision(accelerator)
        write_results("guidance", figures, seed=SEED, started=started, precision=precision)
        save_sheet(RESULTS / "guidance.png", torch.cat(rows), zoom=1, columns=2 * SHOWN)


if __name__ == "__main__":
    main()
