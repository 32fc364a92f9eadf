"""`ddpm-tutorial sample`."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch

from ddpm_tutorial.algorithms.processes import make_accelerator
from ddpm_tutorial.algorithms.sampling import SAMPLERS, sample
from ddpm_tutorial.cli.words import labels_for, one_of, path_named, with_options
from ddpm_tutorial.errors import check_seed
from ddpm_tutorial.io.checkpoint import load_model
from ddpm_tutorial.io.data import to_bytes
from ddpm_tutorial.io.files import check_file, write_atomically
from ddpm_tutorial.models.reverse_variance import REVERSE_VARIANCES
from ddpm_tutorial.plotting import save_sheet


@dataclass
class Sample:
    """Draw digits from a trained model, as a picture or as an array."""

    less_memory: ClassVar[str] = "lower --n"

    checkpoint: str
    """A model.safetensors that train wrote, or one that ships: pretrained, pretrained:NAME."""
    out: Path
    """What to write: FILE.png, a sheet of all digits; or FILE.npz, with `images`, uint8
    (N, 28, 28)."""
    n: int = 100
    """How many digits."""
    steps: int | None = None
    """How many steps, 1..T: more take longer and look better. By default 50, or T if less."""
    sampler: Annotated[str, one_of(SAMPLERS)] = "ddim"
    """ddpm (ancestral), ddim, dpm++ or heun, which runs the network twice a step."""
    seed: int = 0
    """Seed of the noise: the same command draws the same digits."""
    eta: float = 0.0
    """ddim only: how much fresh noise each step adds, 0 (none) to 1 (as much as ddpm)."""
    variance: Annotated[str | None, one_of(REVERSE_VARIANCES)] = None
    """ddpm only: variance of the reverse steps. By default the model's own."""
    digit: int | None = None
    """Draw only this digit, 0..9; for a model trained --with-labels."""
    guidance: float = 0.0
    """How far to go beyond what the digit's label asks for, 0 or more: plainer digits that vary
    less. For a model trained --with-labels."""

    def run(self) -> None:
        """Sample and write; raises TutorialError or ValueError with the remedy."""
        if self.out.suffix not in (".png", ".npz"):
            raise ValueError(f'out = "{self.out}": the name must end in .png or .npz')
        check_file(self.out)
        if self.out.resolve() == Path(self.checkpoint).resolve():
            raise ValueError(f"{self.out}: that is the checkpoint. Choose another name")
        check_seed(self.seed)
        accelerator = make_accelerator()
        model = load_model(path_named(self.checkpoint)).to(accelerator.device)
        sampler = with_options(self.sampler, eta=self.eta or None, variance=self.variance)
        label = labels_for(model, self.n, self.digit)
        with accelerator.autocast():
            images = sample(
                model.denoiser(label, self.guidance),
                self.n,
                sampler,
                min(50, model.schedule.T) if self.steps is None else self.steps,
                torch.Generator().manual_seed(self.seed),
                progress=True,
            )
        if self.out.suffix == ".png":
            save_sheet(self.out, images)
        else:
            content = io.BytesIO()
            np.savez_compressed(content, images=to_bytes(images).cpu().numpy()[:, 0])
            write_atomically(self.out, content.getvalue())
        print(f"{self.n} digits: {self.out}")
