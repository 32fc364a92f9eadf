"""`ddpm-tutorial evaluate`."""

import dataclasses
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch

from ddpm_tutorial.algorithms.elbo import measure_bound
from ddpm_tutorial.algorithms.evaluation import measure_samples, nearest_sheet
from ddpm_tutorial.algorithms.processes import make_accelerator
from ddpm_tutorial.algorithms.sampling import SAMPLERS, sample
from ddpm_tutorial.cli.words import labels_for, one_of, path_named
from ddpm_tutorial.errors import check_seed
from ddpm_tutorial.io.checkpoint import load_checkpoint, load_classifier, model_of
from ddpm_tutorial.io.data import SOURCES, load_bundled, load_mnist
from ddpm_tutorial.io.files import check_file, write_atomically
from ddpm_tutorial.machine import describe_machine
from ddpm_tutorial.mathematics.schedule import timestep_pairs
from ddpm_tutorial.plotting import save_sheet


@dataclass
class Evaluate:
    """Measure a trained model: the bound in bits per dimension, and how real its samples look.

    The bound is that of N test images, with standard errors. Samples are compared with all test
    images by Frechet distance (FID) on the features of the digit classifier that ships with the
    package, beside as many real images; by class; and with their nearest training images. A model
    trained --with-labels is told the label of each test image, and to draw 0..9 in turn. A model
    of another data set than MNIST is measured on that: its file says which.
    """

    less_memory: ClassVar[str] = "lower --n and --samples"

    checkpoint: str
    """A model.safetensors that train wrote, or one that ships: pretrained, pretrained:NAME."""
    n: int | None = None
    """How many test images for the bound. By default 2000, or all if there are fewer."""
    samples: int | None = None
    """How many samples to draw. By default as many as test images."""
    steps: int | None = None
    """Steps of the sampler, 1..T. By default 50, or T if less."""
    sampler: Annotated[str, one_of(SAMPLERS)] = "ddim"
    """ddpm (ancestral), ddim, dpm++ or heun, which runs the network twice a step."""
    terms: int | None = None
    """How many of the T - 1 denoising terms to measure for each image, at random t. By default 10,
    or all if there are fewer."""
    json: Path | None = None
    """Also write the figures to this file."""
    neighbours: Path | None = None
    """Also draw, to this PNG, the samples of each digit that lie nearest to a training image: each
    with its nearest by pixels and its nearest by features."""
    data: Path | None = None
    """Folder with MNIST, as for train."""
    seed: int = 0
    """Seed of the noise."""

    def run(self) -> None:
        """Measure and print; raises TutorialError or ValueError with the remedy."""
        for out in (self.json, self.neighbours):
            if out is not None:
                check_file(out)
                if out.resolve() == Path(self.checkpoint).resolve():
                    raise ValueError(f"{out}: that is the checkpoint. Choose another name")
        if self.json is not None and self.json == self.neighbours:
            raise ValueError(f"{self.json}: figures and picture need a file each")
        if self.neighbours is not None and self.neighbours.suffix != ".png":
            raise ValueError(f'neighbours = "{self.neighbours}": the name must end in .png')
        check_seed(self.seed)
        path = path_named(self.checkpoint)
        checkpoint = load_checkpoint(path)
        model = model_of(checkpoint, path)
        # The first edition, and who saves a model by hand, did not always write it down.
        dataset = checkpoint.details.get("settings", {}).get("dataset", "mnist")
        train_images = load_mnist("train", self.data, dataset).images
        test = load_mnist("test", self.data, dataset)
        test_images = test.images
        most = min(len(test_images), len(train_images))
        n = min(2000, most) if self.n is None else self.n
        if not 2 <= n <= most:
            raise ValueError(f"n = {n}: choose 2..{most}, of that many test images")
        count = n if self.samples is None else self.samples
        if not 2 <= count <= len(train_images):
            raise ValueError(
                f"samples = {count}: choose 2..{len(train_images)}, for the floor of the FID "
                f"needs as many training images"
            )
        accelerator = make_accelerator()
        device = accelerator.device
        model, train_images = model.to(device), train_images.to(device)
        test_images = test_images.to(device)
        steps = min(50, model.schedule.T) if self.steps is None else self.steps
        timestep_pairs(model.schedule.T, steps)  # raises now, and not after the bound
        terms = min(10, model.schedule.T - 1) if self.terms is None else self.terms
        if not 1 <= terms < model.schedule.T:
            raise ValueError(f"terms = {terms}: choose 1..{model.schedule.T - 1}")
        if dataset != "mnist":
            print(
                f"This is a model of {SOURCES[dataset].title}. The classifier reads digits: its "
                f"features still tell sets of pictures apart, what it reads them as means nothing.",
                file=sys.stderr,
            )
        if len(test_images) == len(load_bundled("test").images):
            print(
                "The digits that ship with the package come from MNIST's training set: the shipped "
                "models have seen them.",
                file=sys.stderr,
            )

        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(test_images), generator=generator)[:n]
        # In float32 on every machine: bfloat16 would add its rounding to the bound.
        labels = test.labels[order].to(device) if model.num_classes else None
        bound = measure_bound(
            model.denoiser(labels), test_images[order.to(device)], generator, terms, progress=True
        )
        record = {
            "command": shlex.join(["ddpm-tutorial", *sys.argv[1:]]),
            "checkpoint": self.checkpoint,
            "dataset": dataset,
            "n": n,
            "seed": self.seed,
            "sampler": self.sampler,
            "steps": steps,
            "terms_per_image": terms,
            "sampling_precision": accelerator.mixed_precision,
            "training_images": len(train_images),
            "machine": describe_machine(),
            "bits_per_dim": dataclasses.asdict(bound),
            "samples": None,
        }
        try:
            self._keep(record)  # now, since what follows may fail; and shown if this does
        finally:
            print(f"Bound on {n:,} test images, in bits per dimension\n{bound}")
        with accelerator.autocast():
            denoiser = model.denoiser(labels_for(model, count, None))
            samples = sample(
                denoiser, count, self.sampler, steps, generator=generator, progress=True
            )
        classifier = load_classifier().to(device)
        figures, nearest = measure_samples(
            samples, train_images, test_images, classifier, self.seed, progress=True
        )
        try:
            self._keep(record | {"samples": dataclasses.asdict(figures)})
            if self.neighbours is not None:
                sheet = nearest_sheet(samples, train_images, nearest)
                save_sheet(self.neighbours, sheet, columns=15)
        finally:
            print(f"Drawn with {self.sampler} in {steps} steps: {figures}")

    def _keep(self, record: dict[str, Any]) -> None:
        if self.json is not None:
            content = json.dumps(record, indent=2, allow_nan=False) + "\n"
            write_atomically(self.json, content.encode())
