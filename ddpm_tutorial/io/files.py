"""Writing files so that a crash or a full disk leaves the old one whole."""

import contextlib
import os
import secrets
from pathlib import Path

from ddpm_tutorial.errors import TutorialError

__all__ = [
    "ASSETS",
    "check_file",
    "check_parent",
    "shortened",
    "write_atomically",
]

ASSETS = Path(__file__).parent.parent / "assets"  # what ships with the package


def check_parent(path: Path) -> None:
    """Raise TutorialError unless the folder that is to hold `path` exists and can be written.

    And unless `path` is a name that this system can give to a file.
    """
    folder = path.absolute().parent
    try:
        found = folder.is_dir()
        path.exists()
        if "\0" in str(path):  # what Path takes for a file that does not exist
            raise ValueError("no name may hold the character 0")
    except (OSError, ValueError) as error:  # a name too long, a folder that hides what is in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise TutorialError(f"cannot use the name {shortened(path)}: {reason}") from None
    if not found:
        raise TutorialError(f"the folder {folder} does not exist: create it, or choose another")
    as_it_runs = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=as_it_runs):
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
    # A name of its own: two programs may be writing the same file, and the last one wins whole.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the disk's first complaint is the one to report
            part.unlink()
        if not isinstance(error, OSError):
            raise
        kept = " The file that was there before is intact." if os.path.exists(path) else ""
        raise TutorialError(
            f"could not write {path} ({len(content) / 1e6:.1f} MB): {error.strerror}. Free some "
            f"space or choose another folder.{kept}"
        ) from error


def shortened(path: Path) -> str:
    """The name of a file for a message: whole, or where it would fill the screen, its ends."""
    name = str(path)
    name = name if name.isprintable() else repr(name)
    return name if len(name) <= 200 else f"{name[:90]} ... {name[-90:]}"
