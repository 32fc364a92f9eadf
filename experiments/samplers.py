"""Measure every sampler against the number of network evaluations, on the shipped model `mnist`.

    python experiments/samplers.py --data FOLDER_WITH_MNIST [--only SAMPLER ...]

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
from _results import complete_mnist, figures_so_far, floor_of_fid, name_of_precision, write_results
from tqdm import tqdm

from ddpm_tutorial import (
    ASSETS,
    DDIM,
    Ancestral,
    DPMSolver,
    Sampler,
    classify,
    frechet_distance,
    load_classifier,
    load_pretrained,
    make_accelerator,
    sample,
)

NAME = "samplers"
SAMPLERS: dict[str, Sampler] = {
    "ddpm-small": Ancestral("small"),
    "ddpm-large": Ancestral("large"),
    "ddim": DDIM(),
    "dpm++": DPMSolver(),
}
EVALUATIONS = (5, 10, 20, 50, 100, 1000)
SAMPLES, BATCH, DRAWS_OF_FLOOR, SEED = 500, 125, 20, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=None)
    parser.add_argument("--only", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    arguments = parser.parse_args()
    train, test = (digits.images for digits in complete_mnist(arguments.data))
    accelerator = make_accelerator()
    precision = name_of_precision(accelerator)
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
        floor, spread = floor_of_fid(
            classifier, train, features, samples=SAMPLES, draws=DRAWS_OF_FLOOR, seed=SEED
        )
        figures["real"] = {
            "floor": floor,
            "floor_spread": spread,
            "confidence": float(probabilities.amax(1).mean()),
        }
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
                SAMPLERS[name],
                steps,
                torch.Generator().manual_seed(SEED + 1),
                x_T=noise,
                batch_size=BATCH,
                progress=True,
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


def save(figures: dict[str, Any], precision: str) -> None:
    """Write the results file; its duration is that of all settings together."""
    seconds = sum(row["seconds"] for name in SAMPLERS for row in figures.get(name, {}).values())
    write_results(NAME, figures, seed=SEED, started=time.monotonic() - seconds, precision=precision)


if __name__ == "__main__":
    main()
