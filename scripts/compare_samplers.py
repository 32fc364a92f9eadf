"""Measure every sampler against the number of network evaluations, on the shipped model `mnist`.

    python scripts/compare_samplers.py --data FOLDER_WITH_MNIST [--only SAMPLER ...]

writes book/results/samplers.json: for each sampler and number of evaluations the Frechet distance
of 500 samples from the 10,000 test images of MNIST, on the features of the shipped classifier, and
the classifier's confidence. All samplers start from the same noise. Beside them stands the floor:
the same distance of 500 training images, its mean and standard deviation over 20 draws.

Some 65 minutes on one core. It writes after every setting, and goes on from there when it is called
again with the same settings and the same weights. With --only, two calls can share the work.
"""

import argparse
import hashlib
import time
from typing import Any

import torch
from results import figures_so_far, write_results
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import load_mnist, load_pretrained, sample
from ddpm_tutorial.checkpoint import ASSETS, load_classifier
from ddpm_tutorial.classifier import classify
from ddpm_tutorial.evaluation import frechet_distance
from ddpm_tutorial.training import make_accelerator

NAME = "samplers"
SAMPLERS: dict[str, dict[str, Any]] = {
    "ddpm-small": {"sampler": "ddpm", "variance": "small"},
    "ddpm-large": {"sampler": "ddpm", "variance": "large"},
    "ddim": {"sampler": "ddim"},
    "dpm++": {"sampler": "dpm++"},
}
EVALUATIONS = (5, 10, 20, 50, 100, 1000)
SAMPLES, BATCH, DRAWS_OF_FLOOR, SEED = 500, 125, 20, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=None)
    parser.add_argument("--only", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    arguments = parser.parse_args()
    train, test = (load_mnist(split, arguments.data).images for split in ("train", "test"))
    if len(train) != 60_000:
        raise SystemExit("this needs the complete MNIST: name its folder with --data")
    accelerator = make_accelerator()
    precision = "bfloat16" if accelerator.mixed_precision == "bf16" else "float32"
    settings = {
        "samples": SAMPLES,
        "references": len(test),
        "batch": BATCH,
        "draws_of_floor": DRAWS_OF_FLOOR,
        "weights": hashlib.sha256((ASSETS / "mnist.safetensors").read_bytes()).hexdigest()[:12],
        "precision": precision,
        "seed": SEED,
    }
    figures = figures_so_far(NAME, settings)
    classifier = load_classifier()
    features, probabilities = classify(classifier, test, progress=True)
    if "real" not in figures:
        figures["real"] = measure_floor(train, features)
        figures["real"]["confidence"] = float(probabilities.amax(1).mean())
        save(figures, precision)

    model = load_pretrained("mnist").to(accelerator.device)
    noise = torch.randn(SAMPLES, *model.shape, generator=torch.Generator().manual_seed(SEED))
    # The cheap ones of every sampler first.
    wanted = [(steps, name) for steps in EVALUATIONS for name in arguments.only]
    for steps, name in tqdm(wanted, unit="setting"):
        if str(steps) in figures_so_far(NAME, settings).get(name, {}):
            continue
        started = time.monotonic()
        with accelerator.autocast():
            images = sample(
                model,
                SAMPLES,
                steps=steps,
                generator=torch.Generator().manual_seed(SEED + 1),
                batch_size=BATCH,
                progress=True,
                x_T=noise,
                **SAMPLERS[name],
            )
        images = images.float().cpu()
        found_features, found_probabilities = classify(classifier, images)
        # Read again: another call may have written in the meantime.
        figures = figures_so_far(NAME, settings)
        figures.setdefault(name, {})[str(steps)] = {
            "fid": frechet_distance(found_features, features),
            "confidence": float(found_probabilities.amax(1).mean()),
            "seconds": round(time.monotonic() - started, 1),
        }
        save(figures, precision)
    save(figures_so_far(NAME, settings), precision)


def measure_floor(train: Tensor, reference_features: Tensor) -> dict[str, float]:
    """The distance of as many training images as there are samples, over several draws."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(SEED))
    drawn = train[order[: DRAWS_OF_FLOOR * SAMPLES]]
    features, _ = classify(load_classifier(), drawn, progress=True)
    distances = torch.tensor(
        [frechet_distance(part, reference_features) for part in features.split(SAMPLES)]
    )
    return {"floor": float(distances.mean()), "floor_spread": float(distances.std())}


def save(figures: dict[str, Any], precision: str) -> None:
    """Write the results file; its duration is that of all settings together."""
    seconds = sum(row["seconds"] for name in SAMPLERS for row in figures.get(name, {}).values())
    write_results(NAME, figures, seed=SEED, started=time.monotonic() - seconds, precision=precision)


if __name__ == "__main__":
    main()
