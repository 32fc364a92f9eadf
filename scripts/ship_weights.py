"""Put the weights of a training run into the package, with their measured figures in the header.

    python scripts/ship_weights.py runs/mnist mnist --data FOLDER_WITH_MNIST

measures the bound on test images and writes ddpm_tutorial/assets/NAME.safetensors.
"""

import argparse
import platform

import torch

from ddpm_tutorial.checkpoint import (
    ASSETS,
    Checkpoint,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from ddpm_tutorial.data import load_mnist
from ddpm_tutorial.evaluation import measure_bound

IMAGES, SEED = 100, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("name")
    parser.add_argument("--data", default=None)
    arguments = parser.parse_args()

    source = f"{arguments.run}/model.safetensors"
    trained = load_checkpoint(source)
    # As `ddpm-tutorial evaluate` draws them.
    generator = torch.Generator().manual_seed(SEED)
    images = load_mnist("test", arguments.data).images
    images = images[torch.randperm(len(images), generator=generator)[:IMAGES]]
    figures = measure_bound(load_model(source), images, generator, progress=True)
    details = {
        "run": trained.details,
        "python": platform.python_version(),
        "test_images": IMAGES,
        "evaluation_seed": SEED,
        "bits_per_dim": {
            name: {"mean": round(mean, 4), "standard_error": round(error, 4)}
            for name, (mean, error) in figures.items()
        },
    }
    target = ASSETS / f"{arguments.name}.safetensors"
    save_checkpoint(target, Checkpoint(trained.config, trained.tensors, details))
    print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB, {details}")


if __name__ == "__main__":
    main()
