"""What ships, and writing files so that a crash or a full disk leaves the old one whole."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from ddpm_tutorial.errors import TutorialError

__all__ = [
    "ASSETS",
    "book_file",
    "check_file",
    "check_name",
    "check_parent",
    "shortened",
    "write_atomically",
]

ASSETS = Path(__file__).parent.parent / "assets"  #: what ships with the package


def book_file(name: str) -> Path:
    """A file that the chapters read, such as "results/terms.json"; `name` is seen from book/.

    It is taken from the clone in whose folder `book` the notebook runs, else from the clone that
    this package is imported from, else it came with the package. So a chapter runs from a copy
    alone, and where somebody measures anew, in a clone, the new figures are shown. Raises
    TutorialError where the file is in none of these.
    """
    package = ASSETS.parent
    roots = [root for root in (Path.cwd().parent, package.parent) if _is_clone(root)] + [package]
    for root in roots:
        if (path := root / "book" / name).is_file():
            return path
    raise TutorialError(
        f"{name} is neither in a clone of the book nor in the ddpm_tutorial that is installed in "
        f"{package}, which may be older than this notebook: install it again"
    )


def _is_clone(root: Path) -> bool:
    return (root / "book" / "_toc.yml").is_file()


def check_parent(path: Path) -> None:
    """Raise TutorialError unless the folder that is to hold `path` exists and can be written.

    And unless `path` is a name that this system can give to a file.
    """
    folder = path.absolute().parent
    check_name(path)
    try:
        found = folder.is_dir()
        path.exists()
    except OSError as error:  # a name too long, a folder that hides what is in it
        raise TutorialError(f"cannot use the name {shortened(path)}: {error.strerror}") from None
    if not found:
        raise TutorialError(f"the folder {folder} does not exist: create it, or choose another")
    as_it_runs = os.access in os.supports_effective_ids
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=as_it_runs):
        raise TutorialError(f"the folder {folder} cannot be written to: choose another")


def check_name(path: Path) -> None:
    """Raise TutorialError for a name that no file can have, or that safetensors cannot read."""
    try:
        if "\0" in os.fsencode(path).decode("utf-8"):
            raise ValueError("no name may hold the character 0")
    except ValueError as error:
        raise TutorialError(f"cannot use the name {shortened(path)}: {error}") from None


def check_file(path: Path) -> None:
    """As `check_parent`, and raise TutorialError where `path` itself is a folder."""
    check_parent(path)
    if path.is_dir():
        raise TutorialError(f"{path} is a folder: give the name of a file in it")


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, then put it in place in one go.

    A link stays, and what it leads to is replaced; what is no ordinary file, such as /dev/null, is
    written to. Raises TutorialError, and leaves any earlier file at `path` as it was, where the
    disk is full or the folder is gone.
    """
    special = path.exists() and not path.is_file() and not path.is_dir()
    path = path if special else Path(os.path.realpath(path))
    # A name of its own: two programs may be writing the same file, and the last one wins whole.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(path if special else part, "wb" if special else "xb") as file:
            file.write(content)
            file.flush()
            if not special:
                os.fsync(file.fileno())
        if not special:
            os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the disk's first complaint is the one to report
            part.unlink()
        if not isinstance(error, OSError):
            raise
        kept = " The file that was there before is intact." if os.path.isfile(path) else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise TutorialError(
            f"could not write {path} ({len(content) / 1e6:.1f} MB): {error.strerror}. "
            f"{'Free some space or choose' if full else 'Choose'} another folder.{kept}"
        ) from error


def shortened(path: Path) -> str:
    """The name of a file for a message: whole, or where it would fill the screen, its ends."""
    name = str(path)
    name = name if name.isprintable() else repr(name)
    return name if len(name) <= 200 else f"{name[:90]} ... {name[-90:]}"
