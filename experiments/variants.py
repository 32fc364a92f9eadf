"""Train six small models that differ in one choice each, and measure them alike.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/variants.py

What is predicted (noise, data or v), the schedule (linear or cosine), the weight of the loss
(min-SNR or none) and the variance (small or learned) vary. The network but for its last layer, the
seed, the data (complete MNIST) and the number of steps do not. For each model: the bound by terms
on 500 test images, in float32, and the FID of 500 samples. The one with a learned variance is also
measured with the small and the large one in its place, and samples in few ancestral steps.

Writes book/results/variants.json, and variants.png (a row of samples for each model), after each
model; and weights and samples under --work, where a second run finds them. Takes about 15 minutes
on one core.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch
from _results import RESULTS, complete_mnist, name_of_precision, write_results
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    Ancestral,
    DDPMConfig,
    LargeVariance,
    LearnedVariance,
    Sampler,
    SmallVariance,
    TrainingConfig,
    UNetConfig,
    classify,
    filled_like,
    frechet_distance,
    load_classifier,
    load_mnist,
    load_model,
    make_accelerator,
    measure_bound,
    q_sample,
    sample,
    save_model,
    train,
)
from ddpm_tutorial.plotting import save_sheet

SEED = 0
STEPS, BATCH = 800, 32
IMAGES, TERMS = 500, 20  # for the bound
SAMPLES, SAMPLING_STEPS = 500, 50  # for the FID
FEW = (10, 20, 50)  # ancestral steps
PLACES = (2, 5, 10, 20, 50, 100, 200, 400, 700, 950)  # t at which the variance is looked at
SHOWN = 12  # samples in a row of the sheet
SMALL = UNetConfig(channels=(32, 64))
VARIANTS = {
    "v, cosine": DDPMConfig("cosine", network=SMALL),
    "v, cosine, learned variance": DDPMConfig("cosine", reverse_variance="learned", network=SMALL),
    "v, cosine, min-SNR": DDPMConfig("cosine", network=SMALL, min_snr=5.0),
    "x0, cosine": DDPMConfig("cosine", parameterisation="x0", network=SMALL),
    "eps, cosine": DDPMConfig("cosine", parameterisation="eps", network=SMALL),
    "eps, linear": DDPMConfig("linear", parameterisation="eps", network=SMALL),
}


class SmallInstead(SmallVariance):
    """For a network with an output for its variance, which is not looked at."""

    outputs = LearnedVariance.outputs


class LargeInstead(LargeVariance):
    """Likewise."""

    outputs = LearnedVariance.outputs


class Measure:
    """What is measured of each model, on the same images and from the same noise."""

    def __init__(self) -> None:
        order = torch.Generator().manual_seed(SEED)
        train_images, test_images = (digits.images for digits in complete_mnist())
        self.images = test_images[torch.randperm(len(test_images), generator=order)[:IMAGES]]
        drawn = train_images[torch.randperm(len(train_images), generator=order)[:SAMPLES]]
        self.classifier = load_classifier()
        self.real, _ = classify(self.classifier, test_images)
        self.floor = frechet_distance(classify(self.classifier, drawn)[0], self.real)

    def bound(self, model: DDPM) -> dict:
        """The bound by terms, in bits per dimension; the same t and noise for each model."""
        generator = torch.Generator().manual_seed(SEED)
        return dataclasses.asdict(measure_bound(model, self.images, generator, TERMS))

    def fid(self, images: Tensor) -> float:
        """Frechet distance to all test images, of SAMPLES samples."""
        return frechet_distance(classify(self.classifier, images)[0], self.real)

    def place(self, model: DDPM) -> dict[str, list[float]]:
        """Where the learned variance lies between small (0) and large (1), by t, over pixels."""
        found: dict[str, list[float]] = {"t": [], "low": [], "median": [], "high": []}
        for step in PLACES:
            generator = torch.Generator().manual_seed(SEED)
            t = filled_like(self.images, step)
            eps = torch.randn(self.images.shape, generator=generator)
            with torch.no_grad():
                x_t = q_sample(model.schedule, self.images, t, eps)
                fraction = LearnedVariance().fraction(model.denoiser()(x_t, t))
            found["t"].append(step)
            for name, share in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
                found[name].append(float(np.quantile(fraction.numpy(), share)))
        return found


def draw(model: DDPM, sampler: str | Sampler, steps: int) -> Tensor:
    """Samples from the same starting noise for each model."""
    generator = torch.Generator().manual_seed(SEED)
    with make_accelerator().autocast():
        return sample(model, SAMPLES, sampler, steps, generator)


def trained(config: DDPMConfig, path: Path, name: str) -> DDPM:
    """The averaged model of a run of STEPS steps; from the file where there is one."""
    if not path.exists():
        digits = load_mnist("train")
        torch.manual_seed(SEED)
        settings = TrainingConfig(steps=STEPS, batch_size=BATCH, seed=SEED)
        records = train(config.build(), digits.images, settings, accelerator=make_accelerator())
        for record in tqdm(records, total=STEPS, desc=name, mininterval=10):
            last = record
        save_model(path, last.ema, config, {"steps": STEPS, "seconds": last.seconds})
    return load_model(path)


def measured(model: DDPM, measure: Measure) -> tuple[dict, Tensor]:
    """The figures of one model, and some of its samples."""
    images = draw(model, "ddim", SAMPLING_STEPS)
    figures = {"bound": measure.bound(model), "fid": measure.fid(images)}
    if model.reverse_variance.name == "learned":
        figures["few_steps"] = {
            variance: [measure.fid(draw(model, Ancestral(variance), k)) for k in FEW]
            for variance in ("small", "large", "learned")
        }
        figures["bound_with"] = {
            variance.name: measure.bound(
                DDPM(model.network, model.schedule, model.parameterisation, variance)
            )
            for variance in (SmallInstead(), LargeInstead())
        }
        figures["place"] = measure.place(model)
    return figures, images[:SHOWN]


def main() -> None:
    """Train and measure what is not there yet; write after each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/variants"))
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic() - sum(
        json.loads(path.read_text(encoding="utf-8"))["seconds"] for path in work.glob("*.json")
    )
    measure = Measure()
    figures = {
        "training_steps": STEPS,
        "batch_size": BATCH,
        "images": IMAGES,
        "samples": SAMPLES,
        "fid_floor": measure.floor,
        "steps": list(FEW),
        "models": {},
    }
    rows = []
    for index, (name, config) in enumerate(VARIANTS.items()):
        path = work / f"{index}.json"
        begun = time.monotonic()
        model = trained(config, work / f"{index}.safetensors", name)
        if not path.exists():
            found, images = measured(model, measure)
            torch.save(images, work / f"{index}.pt")
            seconds = time.monotonic() - begun
            path.write_text(json.dumps({"seconds": seconds, "figures": found}), encoding="utf-8")
        figures["models"][name] = json.loads(path.read_text(encoding="utf-8"))["figures"]
        rows.append(torch.load(work / f"{index}.pt", weights_only=True))
        precision = f"{name_of_precision(make_accelerator())}; the bound in float32"
        write_results("variants", figures, seed=SEED, started=started, precision=precision)
        save_sheet(RESULTS / "variants.png", torch.cat(rows), zoom=1, columns=SHOWN)


if __name__ == "__main__":
    main()
