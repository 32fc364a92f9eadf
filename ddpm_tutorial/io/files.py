"""Writing files so that a crash or a full disk leaves the old one whole."""

import contextlib
import os
from pathlib import Path

from ddpm_tutorial.errors import TutorialError

__all__ = [
    "ASSETS",
    "check_file",
    "check_parent",
    "write_atomically",
]

ASSETS = Path(__file__).parent.parent / "assets"  # what ships with the package


def check_parent(path: Path) -> None:
    """Raise TutorialError unless the folder that is to hold `path` exists and can be written."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise TutorialError(f"the folder {folder} does not exist: create it, or choose another")
    if not os.access(folder, os.W_OK):
        raise TutorialError(f"the folder {folder} cannot be written to: choose another")


def check_file(path: Path) -> None:
    """As `check_parent`, and raise TutorialError where `path` itself is a folder."""
    check_parent(path)
    if path.is_dir():
        raise TutorialError(f"{path} is a folder: give the name of a file in it")


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, then put it in place in one go.

    Raises TutorialError, and leaves any earlier file at `path` as it was, where the disk is full
    or the folder is gone.
    """
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the disk's first complaint is the one to report
            part.unlink()
        kept = " The file that was there before is intact." if path.exists() else ""
        raise TutorialError(
            f"could not write {path} ({len(content) / 1e6:.1f} MB): {error.strerror}. Free some "
            f"space or choose another folder.{kept}"
        ) from error
