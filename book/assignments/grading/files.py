"""The files in a student's folder: those that may be the work, and their text without outputs."""

import contextlib
import os
import re
import stat
from pathlib import Path

LARGEST_FILE = 300 * 2**20  # bytes, outputs included
MOST_FILES = 20
ENDINGS = (".ipynb", ".ipynb.txt", ".ipynb.json", ".json")
# Strings and brackets of JSON. What stands between them is no concern here.
TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{\]}]', re.S)
DROPPED = (b'"outputs"', b'"attachments"')
OPENS = re.compile(rb"\s*:\s*(?=[\[{])")


def content(path: Path, most: int) -> bytes | None:
    """The first bytes of a file; None if there is none, or something that is not a plain file."""
    with contextlib.suppress(OSError):
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(opened, "rb") as file:
            if stat.S_ISREG(os.fstat(opened).st_mode):
                return file.read(most)
    return None


def without_outputs(text: bytes) -> bytes:
    """The JSON of a notebook without its outputs, which may be large, and are not looked at.

    They are stepped over, not read: memory is that of the text. What is no JSON stays no JSON.
    """
    kept, start, at = [], 0, 0
    while found := TOKEN.search(text, at):
        at = found.end()
        if found[0] in DROPPED and (opens := OPENS.match(text, at)):
            kept.append(text[start : opens.end()])
            closing, at = _skipped(text, opens.end())
            kept.append(b"[]" if closing == b"]" else b"{}")
            start = at
    return b"".join([*kept, text[start:]])


def _skipped(text: bytes, at: int) -> tuple[bytes, int]:
    """The bracket that closes what opens at a place, and the place behind it."""
    depth = 0
    while found := TOKEN.search(text, at):
        at = found.end()
        if found[0] in (b"[", b"{"):
            depth += 1
        elif found[0] in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                return found[0], at
    return b"]", len(text)


def candidates(there: list[Path], name: str) -> list[str]:
    """The names of the files that may be the work: that of the right name first.

    Names that begin with a point are no work: macOS and editors put them there.
    """
    names = [
        path.name
        for path in there
        if path.name.lower().endswith(ENDINGS) and not path.name.startswith(".")
        if stat.S_ISREG(path.lstat().st_mode)
    ]
    return sorted(names, key=lambda each: (each != name, each))[:MOST_FILES]
