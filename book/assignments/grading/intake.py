"""What was handed in, made safe to read: one notebook of plain cells, and when it came.

A student chose every name and every byte in the folder. So nothing in it is followed, written to,
or copied: what is good is written anew into a folder of the grader's own.
"""

import contextlib
import json
import os
import shutil
import stat
from datetime import datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import parse_utc

from .cells import names_of
from .feedback import legible

LARGEST = 20 * 2**20  # bytes of a notebook
MOST_CELLS = 500
MOST_TEXT = 1_000_000  # characters in all cells together
NOTE = "grading_note"
TIME = "timestamp.txt"


def take_in(folder: Path, checked: Path, release: Path) -> str:
    """Put a student's notebook and time of handing in into `checked`, under their right names.

    Returns what was odd, for the instructor and the student; empty if nothing was. Where there is
    no notebook that can be read, the version handed out takes its place.
    """
    shutil.rmtree(checked, ignore_errors=True)
    checked.mkdir(parents=True)
    notebook, notes = _notebook_in(folder, release)
    time = _content(folder / TIME, 100)
    if time is not None:
        try:
            (checked / TIME).write_text(f"{when(time.decode()):%Y-%m-%d %H:%M:%S.%f} UTC")
        except (ValueError, OverflowError, AttributeError, TypeError):
            notes.append(f"`{TIME}` holds no date that can be read, so nothing counts as late.")
    if notes:
        notebook.metadata[NOTE] = " ".join(notes)
    nbformat.write(notebook, checked / release.name)
    return " ".join(notes)


def read(content: bytes) -> NotebookNode:
    """The cells of a notebook, and nothing else of it.

    Jupyter opens files that break the rules of the format in many small ways; so does this. Raises
    ValueError, in words for people, for what is no notebook at all.
    """
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST // 2**20} MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    try:
        found = json.loads(text)
        if "worksheets" in found:
            found = nbformat.reads(text, as_version=4)  # of before 2015
        cells = [_plain(cell) for cell in found["cells"]]
        "".join(cell.source for cell in cells).encode()
    except UnicodeEncodeError:  # JSON can hold half characters, UTF-8 cannot
        raise ValueError("it has half a character in it, which is no text") from None
    except Exception as error:  # JSON of any form, and converting it, fail in a dozen ways
        first = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(f"it is not a notebook ({type(error).__name__}: {first})") from None
    if len(cells) > MOST_CELLS:
        raise ValueError(f"it has more than {MOST_CELLS} cells")
    if sum(len(cell.source) for cell in cells) > MOST_TEXT:
        raise ValueError(f"it has more than {MOST_TEXT} characters in its cells")
    notebook: NotebookNode = nbformat.v4.new_notebook(cells=cells)
    return notebook


def when(text: str) -> datetime:
    """The time that a file `timestamp.txt` says, in UTC. Raises one of many errors if it does not.

    The year has to be one that a computer's clock shows.
    """
    time: datetime = parse_utc(text.strip())
    if not 1970 <= time.year < 2200:
        raise ValueError(text)
    return time


def _notebook_in(folder: Path, release: Path) -> tuple[NotebookNode, list[str]]:
    handed_out = read(release.read_bytes())
    nothing = "So nothing could be graded."
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return handed_out, [f"The folder is a link, or no folder. {nothing}"]
    there = {path.name: path for path in sorted(folder.iterdir())}
    files = [name for name, path in there.items() if stat.S_ISREG(path.lstat().st_mode)]
    notebooks = [name for name in files if name.endswith(".ipynb")]
    notes = []
    name = release.name
    if name not in files and len(notebooks) == 1:
        (name,) = notebooks
        notes.append(f"The file was called `{legible(name, 100)}` instead of `{release.name}`.")
    elif name not in files:
        names = [f"`{legible(n, 100)}`" + ("" if n in files else " (not a file)") for n in there]
        listed = ", ".join(n for n in names if n != f"`{TIME}`") or "nothing"
        return handed_out, [f"There is no file `{name}`; handed in: {listed}. {nothing}"]
    try:
        notebook = read(_content(folder / name, LARGEST + 1) or b"")
    except ValueError as error:
        return handed_out, [f"The file cannot be read: {error}. {nothing}"]
    if not names_of(notebook.cells) & names_of(handed_out.cells):
        notes.append(
            "None of the cells to be answered is in the file: was the text copied into a new "
            "notebook? The cells carry the names by which they are graded."
        )
    return notebook, notes


def _content(path: Path, most: int) -> bytes | None:
    """The first bytes of a file; None if there is none, or something that is not a plain file."""
    with contextlib.suppress(OSError):
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(opened, "rb") as file:
            if stat.S_ISREG(os.fstat(opened).st_mode):
                return file.read(most)
    return None


def _plain(cell: dict[str, object]) -> NotebookNode:
    """A cell with its kind, its source and nbgrader's name for it."""
    make = {"code": nbformat.v4.new_code_cell, "raw": nbformat.v4.new_raw_cell}
    source, metadata = cell.get("source", ""), cell.get("metadata")
    if isinstance(source, list):
        source = "".join(source)
    if not isinstance(source, str):
        raise TypeError("the source of a cell is no text")
    kept = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    about = {"nbgrader": kept} if isinstance(kept, dict) else {}
    kind = make.get(str(cell.get("cell_type")), nbformat.v4.new_markdown_cell)
    plain: NotebookNode = kind(source, metadata=about)
    return plain
