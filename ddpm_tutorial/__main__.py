"""`ddpm-tutorial`, `python -m ddpm_tutorial`, and what `accelerate launch -m` starts.

Help and version come from here, without torch, which takes seconds to import.
"""

import argparse
import sys

from ddpm_tutorial import __version__

COMMANDS = {
    "train": "Train a model on MNIST, or on Fashion-MNIST.",
    "sample": "Draw digits from a trained model, as a picture or as an array.",
    "evaluate": "Measure a trained model: the bound in bits per dimension, and how real its "
    "samples look.",
}


def main() -> None:
    """Entry point: hand a command on to `cli`, answer everything else."""
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        from ddpm_tutorial import cli

        cli.main()
    else:
        _answer()


def _answer() -> None:
    """Help, version, or what is wrong with the words; ends the program."""
    parser = argparse.ArgumentParser(
        prog="ddpm-tutorial",
        description="Denoising diffusion models: train one, draw with it, measure it.",
        epilog="ddpm-tutorial COMMAND --help lists the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        commands.add_parser(name, help=line)
    parser.parse_args()
    # Left is only a command that stands after "--".
    parser.error("the command comes first")


if __name__ == "__main__":
    main()
