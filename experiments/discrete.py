"""The chain that masks beside the chain that adds normal noise: bits, growth, parallel unmasking.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/discrete.py [--runs]

Two models with the same U-Net, optimiser and batches, on MNIST's training images but the last
5,000:

- masked: value and mask go in, log-weights of the 256 levels come out (`MaskedDiffusion`).
- gaussian: the chain of the book as `mnist-bound` was trained (log-snr schedule, "levels").

Each is trained in short runs with three seeds and once in a longer run, and its bound is measured
on images held out, the same ones for both. The longer masked run also gives samples, and how
surprising a masked pixel is where n of them are masked, for 64 values of n: from these follows the
code length with 64, 16, 4 and 1 steps of unmasking. Nothing is chosen by these images, and the test
set is not looked at.

--runs trains and measures. What is done is kept under runs/discrete, so that a second call goes on:
nearly an hour of one busy core, where a call without it takes no time and writes what is there,
with or without the longer Gaussian run. Both write
book/results/discrete.json and, beside it, samples of the longer run: rows of 784, 64, 16, 4 and 1
steps.
"""

import argparse
import functools
import math
import statistics
from typing import Any

import torch
from _compare import keep_picture, kept_picture, paired_difference
from _results import (
    RESULTS,
    SEEDS,
    all_work,
    complete_mnist,
    name_of_precision,
    share_work,
    shared_work,
    with_spread,
    write_work,
)
from torch import Tensor, nn
from tqdm import tqdm

from ddpm_tutorial import (
    DDPMConfig,
    MaskedDiffusion,
    NoiseSchedule,
    TrainingConfig,
    UNetConfig,
    make_accelerator,
    measure_bound,
    to_bits_per_dim,
    train,
)
from ddpm_tutorial.plotting import save_sheet

NAME, T, HELD_OUT = "discrete", 1000, 5_000
SHORT, LONG, BATCH = 120, 500, 32  # steps, and images of each
MEASURED = {SHORT: (400, 3), LONG: (600, 8)}  # on so many images, with so many terms of each
GROUPS, CURVE_IMAGES = 64, 50
UNMASKED_IN, SHOWN = (784, 64, 16, 4, 1), 8
MODELS = ("masked", "gaussian")
FIRST = "masked, long"
SHORT_RUNS = {f"{name}, seed {seed}": (name, SHORT, seed) for seed in SEEDS for name in MODELS}
LONG_RUNS = {f"{name}, long": (name, LONG, SEEDS[0]) for name in MODELS}
PARTS = SHORT_RUNS | LONG_RUNS


def main() -> None:
    """Measure if asked to, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="train and measure")
    if parser.parse_args().runs:
        torch.set_num_threads(1)
        share_work(NAME, {part: functools.partial(one_run, *PARTS[part]) for part in PARTS})
    found = all_work(NAME, [*SHORT_RUNS, FIRST]) | shared_work(NAME, LONG_RUNS)
    figures = {part: record["figures"] for part, record in found.items()}
    write_work(
        NAME,
        collected(figures),
        found,
        precision=f"training {figures[FIRST]['computed_in']}, bounds float32",
        machine_of=FIRST,
    )
    sheet = kept_picture(NAME, "samples")
    if sheet is not None:
        save_sheet(RESULTS / f"{NAME}-samples.png", sheet, zoom=1, columns=SHOWN)


@functools.cache
def parts_of_mnist() -> tuple[Tensor, Tensor]:
    """The images trained on, and those held out."""
    images = complete_mnist()[0].images
    return images[:-HELD_OUT], images[-HELD_OUT:]


def build(name: str) -> nn.Module:
    """A model before training; both have the U-Net that ships."""
    if name == "masked":
        network = UNetConfig(image_channels=2).build(outputs=128)  # 2 x 128 is one for each level
        return MaskedDiffusion(network, NoiseSchedule.cosine(T))
    return DDPMConfig("log-snr", T, "levels").build()


def one_run(name: str, steps: int, seed: int) -> dict[str, Any]:
    """Train one model with one seed, and measure it."""
    seen, unseen = parts_of_mnist()
    torch.manual_seed(seed)
    model, config = build(name), TrainingConfig(steps=steps, batch_size=BATCH, seed=seed)
    found: dict[str, Any] = {"computed_in": name_of_precision(make_accelerator())}
    found["weights"] = sum(weight.numel() for weight in model.parameters())
    for record in tqdm(  # noqa: B007
        train(model, seen, config), f"{name}, {seed}", steps, mininterval=10
    ):
        pass
    images, terms = MEASURED[steps]
    bits, error = bound_of(record.ema, unseen[:images], terms)
    found[str(steps)] = {"bits_per_dim": bits, "standard_error": error}
    if steps == LONG and name == "masked":
        found["curve"] = curve_of(record.ema, unseen[:CURVE_IMAGES])
        rows = [
            record.ema.sample(SHOWN, count, torch.Generator().manual_seed(1))
            for count in UNMASKED_IN
        ]
        keep_picture(NAME, "samples", torch.cat(rows))
    return found


def bound_of(model: nn.Module, images: Tensor, terms: int) -> tuple[float, float]:
    """Bits per dimension, and the standard error over the images."""
    generator = torch.Generator().manual_seed(1000)
    if isinstance(model, MaskedDiffusion):
        bits = torch.cat([model.bits_per_dim(x, generator, terms) for x in images.split(50)])
        return float(bits.mean()), float(bits.std() / math.sqrt(len(bits)))
    total = measure_bound(model, images, generator, terms - 1, batch_size=50).total
    return total.mean, total.standard_error


@torch.no_grad()
def curve_of(model: MaskedDiffusion, images: Tensor) -> dict[str, Any]:
    """The surprise of a masked pixel, in bits, where n pixels are masked, and what follows.

    `bits` holds the code length of the images where they are unmasked in K steps. Its first step
    sees n = 784 masked pixels and reveals 784 / K of them, the next one the rest, and so on.
    """
    generator = torch.Generator().manual_seed(2000)
    edges = [round(784 * k / GROUPS) for k in range(GROUPS + 1)]
    order = torch.rand(len(images), 784, generator=generator).argsort(1).argsort(1)
    order = order.view_as(images)
    columns = []
    for start in edges[:-1]:
        masked = order >= start
        nats = torch.cat(
            [
                model.surprise(x, m).flatten(1).sum(1)
                for x, m in zip(images.split(50), masked.split(50), strict=True)
            ]
        )
        columns.append(to_bits_per_dim(nats, 784 - start))
    of_image = torch.stack(columns, 1).double()  # (images, GROUPS)
    one_by_one = torch.cat(
        [model.bits_per_dim(x, generator, GROUPS) for x in images.split(50)]
    ).double()
    bits, lost = {str(784): float(one_by_one.mean())}, {}
    for steps in UNMASKED_IN[1:]:
        starts = list(range(0, GROUPS, GROUPS // steps))
        stops = [edges[k] for k in (*starts[1:], GROUPS)]
        sizes = torch.tensor([b - edges[a] for a, b in zip(starts, stops, strict=True)])
        length = of_image[:, starts] @ (sizes / 784).double()
        bits[str(steps)] = float(length.mean())
        more = length - one_by_one
        lost[str(steps)] = {
            "mean": float(more.mean()),
            "standard_error": float(more.std() / math.sqrt(len(more))),
        }
    masked_pixels = [784 - start for start in edges[:-1]]
    return {"n": masked_pixels, "surprise": of_image.mean(0).tolist(), "bits": bits, "lost": lost}


def collected(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over the seeds of the short runs, and what the longer one found."""
    runs = {name: [found[f"{name}, seed {seed}"] for seed in SEEDS] for name in MODELS}
    longer = {
        name: found[part][str(LONG)] for part, (name, _, _) in LONG_RUNS.items() if part in found
    }
    curve = found[FIRST]["curve"]

    bits = {name: [run[str(SHORT)]["bits_per_dim"] for run in runs[name]] for name in MODELS}
    return {
        "settings": {
            "short": SHORT,
            "long": LONG,
            "batch": BATCH,
            "T": T,
            "held_out": HELD_OUT,
            "images_and_terms": {str(steps): both for steps, both in MEASURED.items()},
            "curve_images": CURVE_IMAGES,
        },
        "seeds": list(SEEDS),
        "models": {
            name: {
                "weights": runs[name][0]["weights"],
                "bits_per_dim": with_spread(bits[name])
                | {"standard_error_over_images": over_images(runs[name])},
            }
            for name in MODELS
        },
        "masked-minus-gaussian": paired_difference(bits["masked"], bits["gaussian"]),
        "longer": {
            name: {figure: round(value, 5) for figure, value in one.items()}
            for name, one in longer.items()
        },
        "surprise": {"n": curve["n"], "bits": [round(value, 5) for value in curve["surprise"]]},
        "unmasked_in": {steps: round(value, 5) for steps, value in curve["bits"].items()},
        "lost": {
            steps: {name: round(value, 5) for name, value in one.items()}
            for steps, one in curve["lost"].items()
        },
    }


def over_images(runs: list[dict[str, Any]]) -> float:
    """The mean of the standard errors that the runs report."""
    return round(statistics.mean(run[str(SHORT)]["standard_error"] for run in runs), 5)


if __name__ == "__main__":
    main()
