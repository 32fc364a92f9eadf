"""Train a model that ships with the package, and measure it on training images held out.

    python tools/train_pretrained.py --out runs/bound --minutes 6 --predicts levels --dropout 0.1

takes the options of `ddpm-tutorial train`, and --dropout and --compiled. The last 5,000 training
images of MNIST are not trained on. On them it measures the bound and the FID when training ends,
and writes both to OUT/held-out.json: by these figures one of several runs is chosen, so that the
test set chooses nothing. tools/ship_weights.py then puts the run into the package.
"""

import dataclasses
import functools
import json
from dataclasses import dataclass

import torch
import tyro

from ddpm_tutorial import (
    DDPM,
    DDPMConfig,
    Digits,
    Run,
    TrainingConfig,
    classify,
    fingerprint,
    frechet_distance,
    load_classifier,
    load_mnist,
    load_model,
    make_accelerator,
    measure_bound,
    sample,
    write_atomically,
)
from ddpm_tutorial.cli.train import Train
from ddpm_tutorial.cli.words import labels_for

HELD_OUT = 5_000
TERMS, SAMPLING_STEPS = 10, 50


class Compiled(DDPMConfig):
    """As DDPMConfig, but the network is compiled: worth the wait on a GPU."""

    def build(self) -> DDPM:
        """A freshly initialised model."""
        model = super().build()
        model.network.compile()
        return model


@dataclass
class TrainPretrained(Train):
    """Train a model that ships, on all training images of MNIST but the last 5,000."""

    dropout: float = 0.0
    """How many of the features inside a block are dropped in training, in [0, 1)."""
    compiled: bool = False
    """Compile the network first."""

    def run(self) -> None:
        """Train, and measure what was trained."""
        super().run()
        figures = held_out_figures(load_model(Run(self.out).model), self._parts[1], self.seed)
        write_atomically(self.out / "held-out.json", (json.dumps(figures) + "\n").encode())
        print(figures)

    @functools.cached_property
    def _parts(self) -> tuple[Digits, Digits]:
        digits = load_mnist("train", self.data)
        seen, unseen = (
            Digits(digits.images[part], digits.labels[part])
            for part in (slice(-HELD_OUT), slice(-HELD_OUT, None))
        )
        return seen, unseen

    def _load(self) -> tuple[Digits, dict]:
        digits, _ = self._parts
        return digits, fingerprint(digits)

    def _configs(self) -> tuple[DDPMConfig, TrainingConfig]:
        model, training = super()._configs()
        model = dataclasses.replace(
            model, network=dataclasses.replace(model.network, dropout=self.dropout)
        )
        if self.compiled:
            model = Compiled(**{f.name: getattr(model, f.name) for f in dataclasses.fields(model)})
        return model, training


def held_out_figures(model: DDPM, unseen: Digits, seed: int) -> dict[str, float]:
    """The bound on images held out, in bits per dimension, and the FID of as many samples."""
    accelerator = make_accelerator()
    device, generator = accelerator.device, torch.Generator().manual_seed(seed)
    model, images = model.to(device), unseen.images.to(device)
    labels = unseen.labels.to(device) if model.num_classes else None
    bound = measure_bound(model.denoiser(labels), images, generator, TERMS, batch_size=500)
    with accelerator.autocast():
        denoiser = model.denoiser(labels_for(model, len(images), None))
        samples = sample(denoiser, len(images), "ddim", SAMPLING_STEPS, generator, batch_size=1000)
    classifier = load_classifier().to(device)
    features = [classify(classifier, part.float())[0] for part in (samples, images)]
    return {
        "images": len(images),
        "bits_per_dim": bound.total.mean,
        "standard_error": bound.total.standard_error,
        "fid": frechet_distance(*features),
    }


if __name__ == "__main__":
    tyro.cli(TrainPretrained).run()
