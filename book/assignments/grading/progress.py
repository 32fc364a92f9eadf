"""Whose grading came to its end, and on what: so that an interrupted one can be gone on with."""

import hashlib
import stat
from pathlib import Path

from .files import LARGEST_FILE, content

GRADED = "graded.txt"


def state(submitted: Path, release: Path, *more: str) -> str:
    """A fingerprint of all that a grade rests on: the files, the version handed out, and `more`.

    What is no plain file is not opened: a student chose what lies there.
    """
    found = hashlib.sha256("\0".join(more).encode("utf-8", "replace"))
    linked = submitted.is_symlink() or submitted.parent.is_symlink()
    inside = sorted(submitted.iterdir()) if submitted.is_dir() and not linked else []
    for path in (release, *inside):
        found.update(repr(path.name).encode())
        plain = stat.S_ISREG(path.lstat().st_mode)
        text = content(path, LARGEST_FILE) if plain else None
        found.update(hashlib.sha256(text or b"").digest())
    return found.hexdigest()


def is_done(checked: Path, wanted: str) -> bool:
    """Whether the last grading of this student came to its end, on this state."""
    return content(checked / GRADED, 100) == wanted.encode()


def has_ended(checked: Path) -> bool:
    """Whether the last grading of this student came to its end, on whatever state."""
    return content(checked / GRADED, 100) is not None


def done(checked: Path, reached: str) -> None:
    """Note it; the next grading of this student begins by emptying the folder."""
    (checked / GRADED).write_text(reached)
