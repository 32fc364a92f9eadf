"""A training run's folder: its files, its lock, its settings, its log, and how to go on with it."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ddpm_tutorial.algorithms.training import TrainingRecord
from ddpm_tutorial.algorithms.training_state import with_prefix
from ddpm_tutorial.errors import TutorialError
from ddpm_tutorial.io.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ddpm_tutorial.io.data import Digits, to_bytes
from ddpm_tutorial.io.files import check_parent, write_atomically
from ddpm_tutorial.models.config import DDPMConfig

__all__ = [
    "LOG_COLUMNS",
    "Run",
    "fingerprint",
]

LOG_COLUMNS = "step,loss,gradient_norm,learning_rate,seconds"  #: the first line of the log


class Run:
    """The folder of a training run.

    It holds `model` (the averaged weights, to sample from), `state` (to go on from), `log` (a line
    for each step), sheets of samples, and a lock while the run goes on. Raises TutorialError where
    the folder that is to hold it does not exist or cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        check_parent(folder)
        self.folder = folder
        self.model = folder / "model.safetensors"
        self.state = folder / "state.safetensors"
        self.log = folder / "log.csv"
        self._lines: list[str] = []
        self._found = self._times()

    def sheet(self, step: int) -> Path:
        """Where the sheet of samples of a step belongs."""
        return self.folder / "samples" / f"step-{step:06d}.png"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, the folder is this process's own; it is made if need be.

        Raises TutorialError, naming the folder, where another process is at it, or has saved there
        since this `Run` was made, or where it cannot be made or locked.
        """
        try:
            self.sheet(0).parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.folder / "lock", timeout=0).acquire()
        except Timeout:
            raise TutorialError(
                f"another process is training in {self.folder}: wait until it has ended, or choose "
                f"another --out"
            ) from None
        except OSError as error:
            raise TutorialError(f"cannot make or lock {self.folder}: {error.strerror}") from None
        with held:
            if self._times() != self._found:
                raise TutorialError(
                    f"another process has just trained in {self.folder}: start again with "
                    f"--resume, or choose another --out"
                )
            yield

    def saved(self, resume: bool) -> Checkpoint | None:
        """The state to go on from; None to start at step 0.

        Raises TutorialError where the folder holds a run and it is not to go on, or a file that
        does not belong there.
        """
        if not resume:
            if self.state.exists() or self.model.exists():
                raise TutorialError(
                    f"{self.folder} already holds a run: add --resume to go on with it, or choose "
                    f"another --out"
                )
            return None
        if not self.state.exists():
            if self.model.exists():
                raise TutorialError(
                    f"{self.folder} holds {self.model.name} but no {self.state.name} to go on "
                    f"from: choose another --out, which starts at step 0"
                )
            return None
        saved = load_checkpoint(self.state)
        if "settings" not in saved.details or "generator" not in saved.tensors:
            raise TutorialError(
                f"{self.state} is no training state: copy the {self.state.name} of the run there, "
                f"or choose another --out"
            )
        self._lines = self._log_until(saved.details["step"])
        return saved

    def settings_of(
        self,
        saved: Checkpoint,
        given: Mapping[str, Any],
        usual: Mapping[str, Any],
        insisted: Collection[str],
    ) -> dict[str, Any]:
        """The settings that the run was begun with, for one that goes on with it.

        `given` are those of now, of which some are `insisted` on, by name; one that the run did not
        write down was as `usual`. Raises TutorialError where one of these is not what the run has.
        """
        found = {}
        for name, value in given.items():
            stored = saved.details["settings"].get(name, usual[name])
            found[name] = stored = tuple(stored) if isinstance(stored, list) else stored
            if value != stored and name in insisted:
                option = "T" if name == "diffusion_steps" else name.replace("_", "-")
                raise TutorialError(
                    f"--{option}: the run in {self.folder} has "
                    f"{'none' if stored is None else stored}, not {value}. Leave --{option} out to "
                    f"go on with it, or choose another --out"
                )
        return found

    def check_data(self, saved: Checkpoint, digits: Digits) -> None:
        """Raise TutorialError unless the run was begun on these images and labels."""
        begun = saved.details.get("data")  # the first edition did not write it down
        if begun is not None and begun != (now := fingerprint(digits)):
            raise TutorialError(
                f"the run in {self.folder} was begun on {begun['images']:,} images with checksum "
                f"{begun['sha256']}, and these are {now['images']:,} with {now['sha256']}: name "
                f"the data that it was begun on, or choose another --out"
            )

    def note(self, record: TrainingRecord) -> None:
        """Add a step to the log, to be written with the next save."""
        self._lines.append(
            f"{record.step},{record.loss:.6g},{record.gradient_norm:.6g},"
            f"{record.learning_rate:.6g},{record.seconds:.2f}\n"
        )

    def save(
        self,
        config: DDPMConfig,
        record: TrainingRecord,
        settings: Mapping[str, Any],
        data: Mapping[str, Any],
    ) -> None:
        """Write log, state and averaged weights, each atomically, as they are after a step.

        `data` is the `fingerprint` of what is trained on.
        """
        details = {
            "settings": dict(settings),
            "step": record.step,
            "seconds": round(record.seconds, 1),
            "torch": torch.__version__,
            "data": dict(data),
        }
        # The log first: what it holds beyond the state is dropped by --resume, a gap would stay.
        write_atomically(self.log, "".join([f"{LOG_COLUMNS}\n", *self._lines]).encode())
        # Then the state: weights without a state could not be gone on with.
        state = Checkpoint(config, record.state.tensors(), details)
        save_checkpoint(self.state, state)
        self._save_model(state)

    def finish(self, saved: Checkpoint) -> None:
        """Write the averaged weights of a run that is over, where they are not those of its state.

        They are behind where the run was killed between the two files of its last save.
        """
        if not self.model.exists() or load_checkpoint(self.model).details != saved.details:
            self._save_model(saved)

    def _times(self) -> list[int | None]:
        """When state and weights were written; None for what is not there."""
        files = (self.state, self.model)
        return [file.stat().st_mtime_ns if file.exists() else None for file in files]

    def _save_model(self, state: Checkpoint) -> None:
        """Write the averaged weights that a training state holds."""
        weights = with_prefix(state.tensors, "ema.")
        save_checkpoint(self.model, state._replace(tensors=weights))

    def _log_until(self, step: int) -> list[str]:
        """The lines of the log up to `step`; none where there is no log.

        Raises TutorialError for a file that train did not write.
        """
        if not self.log.exists():
            return []
        try:
            header, *lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
            if header.strip() != LOG_COLUMNS:
                raise ValueError
            return [line for line in lines if int(line.partition(",")[0]) <= step]
        except OSError as error:
            raise TutorialError(
                f"cannot read {self.log}: {error.strerror}. Ask for the right to, or choose "
                f"another --out"
            ) from None
        except ValueError:
            raise TutorialError(
                f"{self.log} is no log that train wrote: move it away, and --resume begins a new "
                f"one"
            ) from None


def fingerprint(digits: Digits) -> dict[str, Any]:
    """What tells one training set from another: its number of images, and a checksum."""
    digest = hashlib.sha256(to_bytes(digits.images).contiguous().numpy().data)
    digest.update(digits.labels.contiguous().numpy().data)
    return {"images": len(digits.images), "sha256": digest.hexdigest()[:16]}
