"""`ddpm-tutorial train`."""

import dataclasses
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import tyro
from tqdm import tqdm

from ddpm_tutorial.algorithms.optimizers import OPTIMIZERS
from ddpm_tutorial.algorithms.processes import any_process, in_all_processes, make_accelerator
from ddpm_tutorial.algorithms.sampling import sample
from ddpm_tutorial.algorithms.training import TrainingRecord, train
from ddpm_tutorial.algorithms.training_state import TrainingConfig
from ddpm_tutorial.cli.interrupt import StopRequest
from ddpm_tutorial.cli.words import labels_for, one_of
from ddpm_tutorial.io.checkpoint import Checkpoint
from ddpm_tutorial.io.data import Dataset, Digits, load_mnist
from ddpm_tutorial.io.run import Run, fingerprint
from ddpm_tutorial.mathematics.schedule import SCHEDULES
from ddpm_tutorial.models.config import DDPMConfig
from ddpm_tutorial.models.parameterisation import PARAMETERISATIONS
from ddpm_tutorial.models.unet import UNetConfig
from ddpm_tutorial.plotting import save_sheet

# Of Train: what may differ between a run and its continuation.
NOT_SETTINGS = {"out", "data", "resume", "save_every", "sample_every"}
# What a run had whose settings do not say, since there was no choice then.
AT_FIRST = {"optimizer": "adamw", "stratified": False}


@dataclass
class Train:
    """Train a model on MNIST, or on Fashion-MNIST.

    Writes OUT/model.safetensors (the averaged weights, to sample from), OUT/state.safetensors
    (to go on with --resume), OUT/log.csv (loss, gradient norm, learning rate and seconds of each
    step) and OUT/samples/*.png while it runs. Give --steps or --minutes. Ctrl-C saves, and then
    stops.
    """

    less_memory: ClassVar[str] = "lower --batch-size or --channels"

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
    optimizer: Annotated[str, one_of(OPTIMIZERS)] = "muon"
    """What turns gradients into steps: AdamW, or Muon, with AdamW for what is no hidden matrix."""
    learning_rate: float = 2e-3
    """Highest learning rate of AdamW: it warms up to this, then falls to 0. Muon's is ten times as
    high."""
    stratified: bool = True
    """Spread the steps t of a batch evenly over 1..T, instead of drawing each alone."""
    min_snr: float | None = None
    """Weigh the squared error of x_0 by the signal-to-noise ratio, cut at this value (5, say)."""
    ema_decay: float = 0.999
    """How slowly the averaged weights follow the trained ones, in [0, 1)."""
    seed: int = 0
    """Seed of the weights and the noise: the same command gives the same weights on one CPU."""
    schedule: Annotated[str, one_of(SCHEDULES)] = "cosine"
    """Noise schedule."""
    diffusion_steps: Annotated[int, tyro.conf.arg(name="T")] = 1000
    """Number of diffusion steps T."""
    predicts: Annotated[str, one_of(PARAMETERISATIONS)] = "v"
    """What the network predicts: the noise eps, the data x0, v, the velocity (goes well with
    --schedule straight), or, for the bound, the probability of each grey level (goes well with
    --schedule log-snr)."""
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
        run = Run(self.out)
        saved = run.saved(self.resume)
        if saved is not None:
            usual = settings_of(type(self)(self.out))
            insisted = self._insisted(usual)
            begun_with = run.settings_of(saved, settings_of(self), usual | AT_FIRST, insisted)
            for name, value in begun_with.items():
                setattr(self, name, value)
        if self.steps is None and self.minutes is None:
            self.steps = 5000
        model_config, training_config = self._configs()
        accelerator = make_accelerator()
        digits, data = in_all_processes(self._load, lambda found: found[1])
        if saved is not None:
            run.check_data(saved, digits)
        torch.manual_seed(self.seed)
        records = train(
            model_config.build(),
            digits.images,
            training_config,
            labels=digits.labels if self.with_labels else None,
            accelerator=accelerator,
            resume=None if saved is None else saved.tensors,
        )
        if self.resume and saved is None and accelerator.is_main_process:
            print(f"Nothing to resume in {self.out}: starting at step 0.", file=sys.stderr)

        with ExitStack() as stack:
            main = accelerator.is_main_process
            in_all_processes(lambda: main and stack.enter_context(run.locked()))
            stop = stack.enter_context(StopRequest())
            bar = stack.enter_context(self._bar(saved, main))
            record, kept = None, None if saved is None else int(saved.tensors["step"])
            try:
                for record in records:
                    stopping = any_process(accelerator, stop.asked)
                    if main:
                        run.note(record)
                    if record.step % self.save_every == 0 or stopping or record.progress == 1:
                        # In all, so that a full disk ends all.
                        settings = settings_of(self)
                        save = partial(run.save, model_config, record, settings, data)
                        in_all_processes(save if main else lambda: None)
                        kept = record.step
                    if main:
                        self._show(bar, record)
                        if record.step % self.sample_every == 0 or record.progress == 1:
                            with accelerator.autocast():
                                self._draw(record, run.sheet(record.step))
                    if stopping and record.progress < 1:
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                raise KeyboardInterrupt(_how_to_go_on(kept) if main else "") from None
            if record is None and main:
                assert saved is not None
                run.finish(saved)
        if not main:
            return
        if record is None:
            print(f"The run in {self.out} is already finished.", file=sys.stderr)
            return
        print(f"Trained for {record.step} steps. Weights: {run.model}")

    def _load(self) -> tuple[Digits, dict[str, Any]]:
        digits = load_mnist("train", self.data, self.dataset)
        return digits, fingerprint(digits)

    def _insisted(self, usual: dict[str, Any]) -> set[str]:
        """The settings that are not the usual ones, or that the user wrote all the same."""
        words = {word.split("=")[0].replace("_", "-") for word in sys.argv}
        options = {n: "T" if n == "diffusion_steps" else n.replace("_", "-") for n in usual}
        return {
            name
            for name, option in options.items()
            if getattr(self, name) != usual[name]
            or not words.isdisjoint({f"--{option}", f"--no-{option}"})
        }

    def _configs(self) -> tuple[DDPMConfig, TrainingConfig]:
        unet = UNetConfig(channels=self.channels, num_classes=10 if self.with_labels else 0)
        variance = "learned" if self.learned_variance else None
        return (
            DDPMConfig(
                self.schedule, self.diffusion_steps, self.predicts, variance, unet, self.min_snr
            ),
            TrainingConfig(
                steps=self.steps,
                minutes=self.minutes,
                batch_size=self.batch_size,
                optimizer=self.optimizer,
                learning_rate=self.learning_rate,
                stratified=self.stratified,
                ema_decay=self.ema_decay,
                label_dropout=self.label_dropout,
                seed=self.seed,
            ),
        )

    def _bar(self, saved: Checkpoint | None, shown: bool) -> "tqdm[Any]":
        """Counts steps, or seconds in a run of given minutes; so the time left is right."""
        if self.steps is not None:
            done = 0 if saved is None else int(saved.tensors["step"])
            return tqdm(total=self.steps, initial=done, unit="step", disable=not shown)
        assert self.minutes is not None
        seconds = 0 if saved is None else int(saved.tensors["seconds"])
        total = round(60 * self.minutes)
        return tqdm(total=total, initial=seconds, unit="s", disable=not shown)

    def _show(self, bar: "tqdm[Any]", record: TrainingRecord) -> None:
        done = record.step if self.steps is not None else int(record.seconds)
        images = self.batch_size * record.step / record.seconds
        bar.set_postfix_str(f"loss {record.loss:.4f}, {images:.0f} images/s", refresh=False)
        bar.update(min(done, bar.total) - bar.n)

    def _draw(self, record: TrainingRecord, path: Path) -> None:
        count = 100
        generator = torch.Generator().manual_seed(self.seed)
        denoiser = record.ema.denoiser(labels_for(record.ema, count, None))
        steps = min(25, denoiser.schedule.T)
        save_sheet(path, sample(denoiser, count, "ddim", steps, generator))


def settings_of(command: Train) -> dict[str, Any]:
    """The options of `command` that make its result what it is."""
    values = dataclasses.asdict(command)
    return {name: value for name, value in values.items() if name not in NOT_SETTINGS}


def _how_to_go_on(step: int | None) -> str:
    if step is None:
        return "Stopped before a step was saved."
    return f"Stopped. The run is saved up to step {step}: the same command with --resume goes on."
