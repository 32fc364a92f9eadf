"""The command line: `ddpm-tutorial train`, `sample` and `evaluate`, one file each."""

import io
import os
import sys
import warnings
from contextlib import redirect_stderr
from typing import NoReturn

import torch
import tyro

from ddpm_tutorial.algorithms.processes import leave_processes
from ddpm_tutorial.cli.evaluate import Evaluate
from ddpm_tutorial.cli.sample import Sample
from ddpm_tutorial.cli.train import Train
from ddpm_tutorial.cli.words import Talk
from ddpm_tutorial.errors import TutorialError


def main() -> None:
    """Run the command. An error that has a remedy is shown as one message, with exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        # A sign or a file's name that the screen cannot show must not end a run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="namereplace")
    with redirect_stderr(Talk(sys.stderr)):
        try:
            _run()
        finally:
            leave_processes()


def _run() -> None:
    command = tyro.extras.subcommand_cli_from_dict(
        {"train": Train, "sample": Sample, "evaluate": Evaluate}, prog="ddpm-tutorial"
    )
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
            command.run()
        if sys.stdout is not None:  # closed: there is no screen
            sys.stdout.flush()
    except (TutorialError, ValueError) as error:
        _fail(str(error))
    except KeyboardInterrupt as stop:
        _say(str(stop) or "Stopped.")
        sys.exit(130)
    except BrokenPipeError:  # `| head` has read enough; nor is there anyone to complain to
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        _fail(f"{named}{error.strerror or error}. Look at the file and its folder, and try again")
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        _fail(f"out of memory: {command.less_memory}. What was saved before is intact")


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has an error of its own for a GPU, and on a CPU and on MPS only words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in ("can't allocate memory", "out of memory"))


def _fail(message: str) -> NoReturn:
    _say(f"error: {message}")
    sys.exit(2)


def _say(message: str) -> None:
    print(message, file=sys.stderr)
