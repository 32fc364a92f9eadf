"""Measure what guidance does to the digits of the shipped class-conditional model.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/guidance.py [--runs]

For each guidance strength w, 2,000 samples with the labels 0..9 in turn, from five starts x_T, the
same for all w: how often the digit classifier reads the label that was asked for, and how sure it
is of it; the FID; how much the digits of one class differ (mean distance of two of them, in the
classifier's features); and how much ink they have. The FID and the rest at each w are also compared
with those at w = 0, start by start. Beside them stand the same figures of as many real images with
the same labels, in four sets: the FID of training images, the rest of test images.

--runs samples. What is done is kept under runs/guidance, so that a second call goes on, and calls
side by side share the work: half a minute on a GPU. Any call writes book/results/guidance.json and
guidance.png once all parts are there. In the picture, each row is one w:
the first ten samples, 0..9, then ten samples of the digit 4.
"""

import argparse
import functools
from typing import Any

import torch
from _compare import BATCH, keep_picture, kept_picture, paired
from _results import (
    RESULTS,
    SAMPLES,
    STARTS,
    all_work,
    complete_mnist,
    floor_for,
    share_work,
    with_spread,
    write_work,
)
from _samples import Bench, ink_of, spread_of_each, start_of
from torch import Tensor

from ddpm_tutorial import Digits, frechet_distance, sample
from ddpm_tutorial.plotting import save_sheet

NAME, SAMPLING_STEPS = "guidance", 25
STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SHOWN, SHOWN_DIGIT = 10, 4
REAL, SETS = "real", 4  # MNIST's test set has fives for four sets of this size
FIGURES = ("agreement", "confidence", "fid", "diversity", "ink")


def part_of(w: float, start: int) -> str:
    return f"w {w:g}, start {start}"


def row_of(w: float) -> str:
    """The name of the row of the picture that shows this w."""
    return f"w {w:g}"


PARTS = {part_of(w, start): (w, start) for start in STARTS for w in STRENGTHS}


def main() -> None:
    """Measure if asked to, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="sample and measure")
    if parser.parse_args().runs:
        run_all()
    found = all_work(NAME, [REAL, *PARTS])
    write_work(
        NAME,
        collected({part: record["figures"] for part, record in found.items()}),
        found,
        precision=found[REAL]["figures"]["precision"],
        machine_of=REAL,
    )
    rows = [kept_picture(NAME, row_of(w)) for w in STRENGTHS]
    shown = torch.cat([row for row in rows if row is not None])
    save_sheet(RESULTS / "guidance.png", shown, zoom=1, columns=2 * SHOWN)


def run_all() -> None:
    """Sample and measure what nobody has yet and nobody else is at."""
    bench = Bench("mnist-labels")
    train, test = complete_mnist()
    references = bench.classify(test.images)[0]

    def real() -> dict[str, Any]:
        seen, unseen = (
            [of(bench, part, references) for part in balanced_sets(digits)]
            for digits in (train, test)
        )
        figures = {name: [row[name] for row in unseen] for name in FIGURES}
        # Of images that are not among those that they are compared with.
        return figures | {"fid": [row["fid"] for row in seen], "precision": bench.precision}

    def measured(w: float, start: int) -> dict[str, Any]:
        digits = drawn(bench, w, start)
        if start == STARTS[0]:
            of_digit = digits.images[digits.labels == SHOWN_DIGIT]
            shown = torch.cat([digits.images[:SHOWN], of_digit[:SHOWN]])
            keep_picture(NAME, row_of(w), shown)
        return of(bench, digits, references)

    share_work(
        NAME,
        {REAL: real} | {part: functools.partial(measured, *PARTS[part]) for part in PARTS},
    )


def drawn(bench: Bench, w: float, start: int) -> Digits:
    """Samples with the labels 0..9 in turn, from a start."""
    labels = torch.arange(SAMPLES) % 10
    denoiser = bench.model.denoiser(labels.to(bench.accelerator.device), guidance=w)
    with bench.accelerator.autocast():
        images = sample(
            denoiser, SAMPLES, "ddim", SAMPLING_STEPS, x_T=start_of(start), batch_size=BATCH
        )
    return Digits(images.float().cpu(), labels)


def of(bench: Bench, digits: Digits, references: Tensor) -> dict[str, float]:
    """The figures of images beside the labels that they are to show."""
    features, probabilities = bench.classify(digits.images)
    own = probabilities.gather(1, digits.labels[:, None])
    return {
        "agreement": float((probabilities.argmax(1) == digits.labels).double().mean()),
        "confidence": float(own.mean()),
        "fid": frechet_distance(features, references),
        "diversity": diversity_of(features, digits.labels),
        "ink": ink_of(digits.images),
    }


def balanced_sets(digits: Digits) -> list[Digits]:
    """Disjoint sets of real images, each of SAMPLES with the labels 0..9 in turn."""
    order = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(0))
    each = SAMPLES // 10
    rows = [order[digits.labels[order] == k][: each * SETS] for k in range(10)]
    sets = torch.stack(rows, dim=1).split(each)
    return [Digits(digits.images[i.flatten()], digits.labels[i.flatten()]) for i in sets]


def diversity_of(features: Tensor, labels: Tensor) -> float:
    """Mean Euclidean distance of two different images of one class, averaged over classes."""
    means = []
    for k in labels.unique():
        of_class = features[labels == k].double()
        distances = torch.cdist(of_class, of_class)
        count = len(of_class)
        means.append(distances.sum() / (count * (count - 1)))
    return float(torch.stack(means).mean())


def collected(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over starts at each w, and the differences from w = 0 by start."""
    runs = {w: [found[part_of(w, start)] for start in STARTS] for w in STRENGTHS}
    plain = runs[STRENGTHS[0]]
    return {
        "settings": {
            "sampler": "ddim",
            "steps": SAMPLING_STEPS,
            "references": 10_000,
            "strength": list(STRENGTHS),
        },
        "samples": SAMPLES,
        "starts": len(STARTS),
        "floor": floor_for(SAMPLES),
        "real": {"sets": SETS} | {name: with_spread(found[REAL][name]) for name in FIGURES},
        "by_strength": {f"{w:g}": spread_of_each(runs[w], FIGURES) for w in STRENGTHS},
        "differences": {
            f"{w:g}": {
                name: paired([run[name] for run in runs[w]], [run[name] for run in plain])
                for name in FIGURES
            }
            for w in STRENGTHS[1:]
        },
    }


if __name__ == "__main__":
    main()
