"""The command line: `ddpm-tutorial train`, `sample` and `evaluate`."""

import dataclasses
import io
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from tqdm import tqdm

from ddpm_tutorial.checkpoint import (
    PRETRAINED,
    Checkpoint,
    load_checkpoint,
    load_classifier,
    load_model,
    load_pretrained,
    save_checkpoint,
)
from ddpm_tutorial.data import Dataset, load_bundled, load_mnist, to_bytes
from ddpm_tutorial.ddpm import DDPM, DDPMConfig, Predicts
from ddpm_tutorial.errors import TutorialError
from ddpm_tutorial.evaluation import (
    BoundFigures,
    Estimate,
    Nearest,
    SampleFigures,
    measure_bound,
    measure_samples,
)
from ddpm_tutorial.files import check_file, check_parent, write_atomically
from ddpm_tutorial.machine import describe_machine
from ddpm_tutorial.plotting import save_sheet
from ddpm_tutorial.sampling import Sampler, sample
from ddpm_tutorial.schedule import timestep_pairs
from ddpm_tutorial.training import (
    TrainingConfig,
    TrainingRecord,
    make_accelerator,
    train,
    with_prefix,
)
from ddpm_tutorial.unet import UNetConfig

MODEL_FILE = "model.safetensors"
STATE_FILE = "state.safetensors"
LOG_FILE = "log.csv"
LOG_COLUMNS = "step,loss,gradient_norm,learning_rate,seconds"
# Of Train: what may differ between a run and its continuation.
NOT_SETTINGS = {"out", "data", "resume", "save_every", "sample_every"}


@dataclass
class Train:
    """Train a model on MNIST, or on Fashion-MNIST.

    Writes OUT/model.safetensors (the averaged weights, to sample from), OUT/state.safetensors
    (to go on with --resume), OUT/log.csv (loss, gradient norm, learning rate and seconds of each
    step) and OUT/samples/*.png while it runs. Give --steps or --minutes.
    """

    out: Path
    """Folder of this run. It is made; the folder that is to hold it must exist."""
    steps: int | None = None
    """Train for this many steps (5000 if neither --steps nor --minutes is given)."""
    minutes: float | None = None
    """Train for this long."""
    data: Path | None = None
    """Folder with the data set in torchvision's layout. By default: $DDPM_TUTORIAL_DATA, else your
    cache folder, else a download, else, for MNIST, the 5,000 digits that ship with the package."""
    dataset: Dataset = "mnist"
    """What to learn: digits, or the clothes of Fashion-MNIST."""
    resume: bool = False
    """Go on with the run in OUT from where it was last saved, with the settings it had."""
    save_every: int = 250
    """Steps between two saves."""
    sample_every: int = 1000
    """Steps between two sheets of samples in OUT/samples."""
    batch_size: int = 32
    """Images in a step, over all processes."""
    learning_rate: float = 2e-3
    """Highest learning rate: it warms up to this, then falls to 0."""
    min_snr: float | None = None
    """Weigh the squared error of x_0 by the signal-to-noise ratio, cut at this value (5, say)."""
    ema_decay: float = 0.999
    """How slowly the averaged weights follow the trained ones, in [0, 1)."""
    seed: int = 0
    """Seed of the weights and the noise: the same command gives the same weights on one CPU."""
    schedule: Literal["linear", "cosine", "sigmoid", "log-snr"] = "cosine"
    """Noise schedule."""
    diffusion_steps: Annotated[int, tyro.conf.arg(name="T")] = 1000
    """Number of diffusion steps T."""
    predicts: Predicts = "v"
    """What the network predicts: the noise eps, the data x0, v, or, for the bound, the
    probability of each grey level (goes well with --schedule log-snr)."""
    channels: tuple[int, ...] = (48, 96)
    """Width of the network at each resolution, finest first."""
    with_labels: bool = False
    """Tell the network which digit, or which kind of clothes, it is to draw."""
    label_dropout: float = 0.1
    """How often it is told nothing instead, so that sample can --guidance, in [0, 1]."""
    learned_variance: bool = False
    """Let the network choose the variance of each reverse step."""

    def run(self) -> None:
        """Train, save and draw; raises TutorialError or ValueError with the remedy."""
        if min(self.save_every, self.sample_every) < 1:
            raise ValueError(
                f"save_every = {self.save_every}, sample_every = {self.sample_every}: both must "
                f"be at least 1"
            )
        check_parent(self.out)
        saved = self._find_saved()
        log = [] if saved is None else _log_until(self.out / LOG_FILE, saved.details["step"])
        if self.steps is None and self.minutes is None:
            self.steps = 5000
        model_config, training_config = self._configs()
        digits = load_mnist("train", self.data, self.dataset)
        torch.manual_seed(self.seed)
        model = model_config.build()
        accelerator = make_accelerator()
        accelerator.wait_for_everyone()  # all have looked at OUT before one of them writes there

        records = train(
            model,
            digits.images,
            training_config,
            labels=digits.labels if self.with_labels else None,
            accelerator=accelerator,
            resume=None if saved is None else saved.tensors,
        )
        if not accelerator.is_main_process:
            for _ in records:
                pass
            return

        try:
            (self.out / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TutorialError(f"cannot make {self.out}: {error.strerror}") from None
        if self.resume and saved is None:
            print(f"Nothing to resume in {self.out}: starting at step 0.", file=sys.stderr)
        record = None
        with self._bar(saved) as bar:
            for record in records:
                self._show(bar, record)
                log.append(_log_line(record))
                if record.step % self.save_every == 0:
                    self._save(model_config, record, log)
                if record.step % self.sample_every == 0:
                    with accelerator.autocast():
                        self._draw(record)
        if record is None:
            assert saved is not None
            path = self.out / MODEL_FILE
            # Behind where the run was killed between the two files of its last save.
            if not path.exists() or load_checkpoint(path).details != saved.details:
                self._save_model(saved)
            print(f"The run in {self.out} is already finished.", file=sys.stderr)
            return
        if record.step % self.save_every:
            self._save(model_config, record, log)
        with accelerator.autocast():
            self._draw(record)
        accelerator.end_training()
        print(f"Trained for {record.step} steps. Weights: {self.out / MODEL_FILE}")

    def _find_saved(self) -> Checkpoint | None:
        """The state to go on from, its settings taken over; None to start at step 0."""
        state_path = self.out / STATE_FILE
        if not self.resume:
            if state_path.exists() or (self.out / MODEL_FILE).exists():
                raise TutorialError(
                    f"{self.out} already holds a run: add --resume to go on with it, or choose "
                    f"another --out"
                )
            return None
        if not state_path.exists():
            if (self.out / MODEL_FILE).exists():
                raise TutorialError(
                    f"{self.out} holds {MODEL_FILE} but no {STATE_FILE} to go on from: choose "
                    f"another --out, which starts at step 0"
                )
            return None
        saved = load_checkpoint(state_path)
        if "settings" not in saved.details or "generator" not in saved.tensors:
            raise TutorialError(
                f"{state_path} is no training state: copy the {STATE_FILE} of the run there, or "
                f"choose another --out"
            )
        for name, default in _settings(Train(self.out)).items():
            given, stored = getattr(self, name), saved.details["settings"].get(name, default)
            stored = tuple(stored) if isinstance(stored, list) else stored
            option = "T" if name == "diffusion_steps" else name.replace("_", "-")
            if given != stored and (given != default or _is_on_command_line(option)):
                raise TutorialError(
                    f"--{option}: the run in {self.out} has "
                    f"{'none' if stored is None else stored}, not {given}. Leave "
                    f"--{option} out to go on with it, or choose another --out"
                )
            setattr(self, name, stored)
        return saved

    def _configs(self) -> tuple[DDPMConfig, TrainingConfig]:
        unet = UNetConfig(
            channels=self.channels,
            num_classes=10 if self.with_labels else 0,
            learned_variance=self.learned_variance,
            levels=self.predicts == "levels",
        )
        return (
            DDPMConfig(self.schedule, self.diffusion_steps, self.predicts, unet, self.min_snr),
            TrainingConfig(
                steps=self.steps,
                minutes=self.minutes,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                ema_decay=self.ema_decay,
                label_dropout=self.label_dropout,
                seed=self.seed,
            ),
        )

    def _bar(self, saved: Checkpoint | None) -> "tqdm[Any]":
        """Counts steps, or seconds in a run of given minutes; so the time left is right."""
        if self.steps is not None:
            done = 0 if saved is None else int(saved.tensors["step"])
            return tqdm(total=self.steps, initial=done, unit="step")
        assert self.minutes is not None
        seconds = 0 if saved is None else int(saved.tensors["seconds"])
        return tqdm(total=round(60 * self.minutes), initial=seconds, unit="s")

    def _show(self, bar: "tqdm[Any]", record: TrainingRecord) -> None:
        done = record.step if self.steps is not None else int(record.seconds)
        images = self.batch_size * record.step / record.seconds
        bar.set_postfix_str(f"loss {record.loss:.4f}, {images:.0f} images/s", refresh=False)
        bar.update(min(done, bar.total) - bar.n)

    def _save(self, config: DDPMConfig, record: TrainingRecord, log: list[str]) -> None:
        details = {
            "settings": _settings(self),
            "step": record.step,
            "seconds": round(record.seconds, 1),
            "torch": torch.__version__,
        }
        # The log first: what it holds beyond the state is dropped by --resume, a gap would stay.
        write_atomically(self.out / LOG_FILE, "".join([f"{LOG_COLUMNS}\n", *log]).encode())
        # Then the state: weights without a state could not be gone on with.
        state = Checkpoint(config, record.state.tensors(), details)
        save_checkpoint(self.out / STATE_FILE, state)
        self._save_model(state)

    def _save_model(self, state: Checkpoint) -> None:
        """Write the averaged weights that a training state holds."""
        weights = with_prefix(state.tensors, "ema.")
        save_checkpoint(self.out / MODEL_FILE, state._replace(tensors=weights))

    def _draw(self, record: TrainingRecord) -> None:
        count = 100
        generator = torch.Generator().manual_seed(self.seed)
        label = _labels(record.ema, count, None)
        steps = min(25, record.ema.schedule.T)
        images = sample(record.ema, count, "ddim", steps, generator=generator, label=label)
        save_sheet(self.out / "samples" / f"step-{record.step:06d}.png", images)


@dataclass
class Sample:
    """Draw digits from a trained model, as a picture or as an array."""

    checkpoint: str
    """A model.safetensors that train wrote, or one that ships: pretrained, pretrained:NAME."""
    out: Path
    """What to write: FILE.png, a sheet of all digits; or FILE.npz, with `images`, uint8
    (N, 28, 28)."""
    n: int = 100
    """How many digits."""
    steps: int | None = None
    """How many steps, 1..T: more take longer and look better. By default 50, or T if less."""
    sampler: Sampler = "ddim"
    """ddpm (ancestral), ddim or dpm++."""
    seed: int = 0
    """Seed of the noise: the same command draws the same digits."""
    eta: float = 0.0
    """ddim only: how much fresh noise each step adds, 0 (none) to 1 (as much as ddpm)."""
    variance: Literal["small", "large"] | None = None
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
        model = _load(self.checkpoint)
        label = _labels(model, self.n, self.digit)
        accelerator = make_accelerator()
        with accelerator.autocast():
            images = sample(
                model.to(accelerator.device),
                self.n,
                self.sampler,
                min(50, model.schedule.T) if self.steps is None else self.steps,
                self.eta,
                torch.Generator().manual_seed(self.seed),
                progress=True,
                label=None if label is None else label.to(accelerator.device),
                guidance=self.guidance,
                variance=self.variance,
            )
        if self.out.suffix == ".png":
            save_sheet(self.out, images)
        else:
            content = io.BytesIO()
            np.savez_compressed(content, images=to_bytes(images).cpu().numpy()[:, 0])
            write_atomically(self.out, content.getvalue())
        print(f"{self.n} digits: {self.out}")


@dataclass
class Evaluate:
    """Measure a trained model: the bound in bits per dimension, and how real its samples look.

    The bound is that of N test images, with standard errors. Samples are compared with all test
    images by Frechet distance (FID) on the features of the digit classifier that ships with the
    package, beside as many real images; by class; and with their nearest training images. A model
    trained --with-labels is told the label of each test image, and to draw 0..9 in turn.
    """

    checkpoint: str
    """A model.safetensors that train wrote, or one that ships: pretrained, pretrained:NAME."""
    n: int | None = None
    """How many test images for the bound. By default 2000, or all if there are fewer."""
    samples: int | None = None
    """How many samples to draw. By default as many as test images."""
    steps: int | None = None
    """Steps of the sampler, 1..T. By default 50, or T if less."""
    sampler: Sampler = "ddim"
    """ddpm (ancestral), ddim or dpm++."""
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
        if self.neighbours is not None and self.neighbours.suffix != ".png":
            raise ValueError(f'neighbours = "{self.neighbours}": the name must end in .png')
        model = _load(self.checkpoint)
        train_images = load_mnist("train", self.data).images
        test = load_mnist("test", self.data)
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
        if len(test_images) == len(load_bundled("test").images):
            print(
                "The digits that ship with the package come from MNIST's training set: the shipped "
                "models have seen them.",
                file=sys.stderr,
            )

        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(test_images), generator=generator)[:n]
        # In float32 on every machine: bfloat16 would add its rounding to the bound.
        bound = measure_bound(
            model,
            test_images[order.to(device)],
            generator,
            terms,
            progress=True,
            labels=test.labels[order].to(device) if model.num_classes else None,
        )
        label = _labels(model, count, None)
        with accelerator.autocast():
            samples = sample(
                model,
                count,
                self.sampler,
                steps,
                generator=generator,
                progress=True,
                label=None if label is None else label.to(device),
            )
        classifier = load_classifier().to(device)
        figures, nearest = measure_samples(
            samples, train_images, test_images, classifier, self.seed, progress=True
        )
        print(_table(bound, figures, n, f"{self.sampler}, {steps} steps"))
        if self.neighbours is not None:
            save_sheet(self.neighbours, _beside(samples, train_images, nearest), columns=15)
        if self.json is not None:
            record = {
                "command": shlex.join(["ddpm-tutorial", *sys.argv[1:]]),
                "checkpoint": self.checkpoint,
                "n": n,
                "seed": self.seed,
                "sampler": self.sampler,
                "steps": steps,
                "terms_per_image": terms,
                "sampling_precision": accelerator.mixed_precision,
                "training_images": len(train_images),
                "machine": describe_machine(),
                "bits_per_dim": dataclasses.asdict(bound),
                "samples": dataclasses.asdict(figures),
            }
            write_atomically(self.json, (json.dumps(record, indent=2) + "\n").encode())


def main() -> None:
    """Entry point. An error that has a remedy is shown as one message, with exit status 2."""
    command = tyro.extras.subcommand_cli_from_dict(
        {"train": Train, "sample": Sample, "evaluate": Evaluate}, prog="ddpm-tutorial"
    )
    try:
        command.run()
    except (TutorialError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Stopped. A training run goes on with --resume.", file=sys.stderr)
        sys.exit(130)


def _settings(command: Train) -> dict[str, Any]:
    """The options of `command` that make its result what it is."""
    values = dataclasses.asdict(command)
    return {name: value for name, value in values.items() if name not in NOT_SETTINGS}


def _log_line(record: TrainingRecord) -> str:
    """One step as a line of the log."""
    return (
        f"{record.step},{record.loss:.6g},{record.gradient_norm:.6g},"
        f"{record.learning_rate:.6g},{record.seconds:.2f}\n"
    )


def _log_until(path: Path, step: int) -> list[str]:
    """The lines of a log up to `step`; none where there is no log.

    Raises TutorialError for a file that train did not write.
    """
    if not path.exists():
        return []
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if header.strip() != LOG_COLUMNS:
            raise ValueError
        return [line for line in lines if int(line.partition(",")[0]) <= step]
    except (ValueError, OSError):
        raise TutorialError(
            f"{path} is no log that train wrote: move it away, and --resume begins a new one"
        ) from None


def _is_on_command_line(option: str) -> bool:
    """Whether the user wrote the option; its value alone cannot tell where it is the default."""
    words = {word.split("=")[0].replace("_", "-") for word in sys.argv}
    return not words.isdisjoint({f"--{option}", f"--no-{option}"})


def _load(checkpoint: str) -> DDPM:
    word, _, name = checkpoint.partition(":")
    return (
        load_pretrained(name or PRETRAINED[0]) if word == "pretrained" else load_model(checkpoint)
    )


def _table(bound: BoundFigures, samples: SampleFigures, n: int, how: str) -> str:
    """The figures as lines for the terminal."""

    def row(name: str, estimate: Estimate) -> str:
        return f"  {name:20} {estimate.mean:8.4f} ± {estimate.standard_error:.4f}"

    def pair(name: str, form: str, field: str) -> str:
        values = (getattr(figures, field) for figures in (samples.pixels, samples.features))
        return f"  {name:44}" + "".join(f"{value:>10{form}}" for value in values)

    return "\n".join(
        [
            f"Bound on {n:,} test images, in bits per dimension",
            row("total", bound.total),
            row("prior", bound.prior),
            row("denoising", bound.denoising),
            *(row(f"  t = {low}..{high}", share) for low, high, share in bound.by_t),
            row("reconstruction", bound.reconstruction),
            f"{samples.samples:,} samples ({how}) beside {samples.references:,} test images",
            f"  FID {samples.fid:.3f}; of as many training images, the floor, "
            f"{samples.fid_floor:.3f}",
            f"  mean confidence of the classifier {samples.confidence:.3f}; for test images "
            f"{samples.confidence_unseen:.3f}",
            f"  read as 0..9: {' '.join(map(str, samples.classes))}",
            "Nearest training image                          pixels  features",
            pair("median distance of the samples", ".3f", "samples"),
            pair("median distance of the test images", ".3f", "unseen"),
            pair("samples nearer than 99 % of test images are", ".2%", "copies"),
        ]
    )


def _beside(
    samples: torch.Tensor, train: torch.Tensor, nearest: Nearest, of_each: int = 5
) -> torch.Tensor:
    """The samples of each digit that lie nearest to a training image, black where there are fewer.

    Each with its nearest by pixels and by features: (10 * of_each * 3, 1, 28, 28).
    """
    order = nearest.distance.argsort()
    digit = nearest.digit[order]
    sheet = samples.new_full((10, of_each, 3, *samples.shape[1:]), -1.0)
    for k in range(10):
        first = order[digit == k][:of_each]
        by_pixels, by_features = nearest.by_pixels[first], nearest.by_features[first]
        found = [samples[first], train[by_pixels], train[by_features]]
        sheet[k, : len(first)] = torch.stack(found, dim=1)
    return sheet.flatten(0, 2)


def _labels(model: DDPM, n: int, digit: int | None) -> torch.Tensor | None:
    """The label of each of n samples: `digit`, or 0..9 in turn; None for a model without labels."""
    classes = model.num_classes
    if digit is not None and not 0 <= digit < classes:
        raise ValueError(
            f"digit = {digit}: this model takes "
            + (f"0..{classes - 1}" if classes else "no digit, it was trained without labels")
        )
    if not classes:
        return None
    return torch.arange(n) % classes if digit is None else torch.full((n,), digit)
