"""The command line: `ddpm-tutorial train`, `sample` and `evaluate`, one file each."""

import sys

import tyro

from ddpm_tutorial.cli.evaluate import Evaluate
from ddpm_tutorial.cli.sample import Sample
from ddpm_tutorial.cli.train import Train
from ddpm_tutorial.errors import TutorialError


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
