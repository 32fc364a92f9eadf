"""The chain that masks beside the chain that adds normal noise: bits, growth, parallel unmasking.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/discrete.py [--runs]

Two models with the same U-Net, optimiser and batches, on MNIST's training images but the last
5,000:

- masked: value and mask go in, log-weights of the 256 levels come out (`MaskedDiffusion`).
- gaussian: the chain of the book as `mnist-bound` was trained (log-snr schedule, "levels").

Each is trained in short and in longer runs, three seeds of each, and its bound is measured on
images held out, the same ones for both. The first longer masked run also gives samples, and how
surprising a masked pixel is where n of them are masked, for 64 values of n: from these follows the
code length with 64, 16, 4 and 1 steps of unmasking. Nothing is chosen by these images, and the test
set is not looked at.

--runs trains and measures. What is done is kept under runs/discrete, so that a second call goes on:
an hour of one core, where a call without it takes no time. Both write book/results/discrete.json
and, beside it, samples of the first longer masked run: rows of 784, 64, 16, 4 and 1 steps.
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
SHORT, LONG, BATCH = 120, 1500, 32  # steps, and images of each
LENGTHS = (SHORT, LONG)
IMAGES, TERMS = 600, 8  # a bound is measured on so many images, with so many terms of each
GROUPS = 64
UNMASKED_IN, SHOWN = (784, 64, 16, 4, 1), 8
MODELS = ("masked", "gaussian")


def part_of(name: str, steps: int, seed: int) -> str:
    return f"{name}, {steps} steps, seed {seed}"


RUNS_OF = [(name, steps, seed) for steps in LENGTHS for seed in SEEDS for name in MODELS]
PARTS = {part_of(*run): run for run in RUNS_OF}
FIRST = part_of("masked", LONG, SEEDS[0])


def main() -> None:
    """Measure if asked to, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="train and measure")
    if parser.parse_args().runs:
        torch.set_num_threads(1)
        share_work(NAME, {part: functools.partial(one_run, *PARTS[part]) for part in PARTS})
    found = all_work(NAME, PARTS)
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
    images = unseen[:IMAGES]
    found["bits_per_dim"], found["standard_error"] = bound_of(record.ema, images)
    if part_of(name, steps, seed) == FIRST:
        found["curve"] = curve_of(record.ema, images)
        rows = [
            record.ema.sample(SHOWN, count, torch.Generator().manual_seed(1))
            for count in UNMASKED_IN
        ]
        keep_picture(NAME, "samples", torch.cat(rows))
    return found


def bound_of(model: nn.Module, images: Tensor) -> tuple[float, float]:
    """Bits per dimension, and the standard error over the images."""
    generator = torch.Generator().manual_seed(1000)
    if isinstance(model, MaskedDiffusion):
        bits = torch.cat([model.bits_per_dim(x, generator, TERMS) for x in images.split(50)])
        return float(bits.mean()), float(bits.std() / math.sqrt(len(bits)))
    total = measure_bound(model, images, generator, TERMS - 1, batch_size=50).total
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
    """Mean and spread over the seeds, and what the first longer masked run found."""
    bits = {
        (name, steps): [found[part_of(name, steps, seed)]["bits_per_dim"] for seed in SEEDS]
        for name, steps, _ in RUNS_OF
    }
    gains = {
        name: [a - b for a, b in zip(bits[name, SHORT], bits[name, LONG], strict=True)]
        for name in MODELS
    }
    curve = found[FIRST]["curve"]
    return {
        "settings": {
            "short": SHORT,
            "long": LONG,
            "batch": BATCH,
            "T": T,
            "held_out": HELD_OUT,
            "images": IMAGES,
            "terms": TERMS,
        },
        "seeds": list(SEEDS),
        "models": {
            name: {"weights": found[part_of(name, SHORT, SEEDS[0])]["weights"]}
            | {
                str(steps): with_spread(bits[name, steps])
                | {"standard_error_over_images": over_images(found, name, steps)}
                for steps in LENGTHS
            }
            for name in MODELS
        },
        "masked-minus-gaussian": {
            str(steps): paired_difference(bits["masked", steps], bits["gaussian", steps])
            for steps in LENGTHS
        },
        "gain": {name: with_spread(gains[name]) for name in MODELS}
        | {"masked-minus-gaussian": paired_difference(gains["masked"], gains["gaussian"])},
        "surprise": {"n": curve["n"], "bits": [round(value, 5) for value in curve["surprise"]]},
        "unmasked_in": {steps: round(value, 5) for steps, value in curve["bits"].items()},
        "lost": {
            steps: {name: round(value, 5) for name, value in one.items()}
            for steps, one in curve["lost"].items()
        },
    }


def over_images(found: dict[str, dict[str, Any]], name: str, steps: int) -> float:
    """The mean of the standard errors that the runs report."""
    errors = [found[part_of(name, steps, seed)]["standard_error"] for seed in SEEDS]
    return round(statistics.mean(errors), 5)


if __name__ == "__main__":
    main()
