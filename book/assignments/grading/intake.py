"""What was handed in, made safe to read: one notebook of plain cells, and when it came.

A student chose every name and every byte in the folder. So nothing in it is followed, written to,
or copied: what is good is written anew into a folder of the grader's own.
"""

import json
import re
import shutil
import stat
from pathlib import Path
from uuid import uuid4

import nbformat
from nbformat import NotebookNode

from .adopt import find, parts_of
from .cells import names_of
from .feedback import legible
from .files import LARGEST_FILE, candidates, content, without_outputs
from .late import FORMS, when
from .statements import defined

LARGEST = 20 * 2**20  # bytes of a notebook, without its outputs
MOST_CELLS = 500
MOST_TEXT = 1_000_000  # characters in all cells together
NOTE = "grading_note"
TIME = "timestamp.txt"
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
CLEAR = 3  # that many functions and headings in common tell whose work it is


def take_in(folder: Path, checked: Path, release: Path, remark: str = "") -> str:
    """Put a student's notebook and time of handing in into `checked`, under their right names.

    Returns what was odd, for the instructor and the student, after a remark of the instructor's;
    empty if nothing was. Where there is no notebook that can be read, the version handed out takes
    its place.
    """
    shutil.rmtree(checked, ignore_errors=True)
    checked.mkdir(parents=True)
    notebook, notes = _notebook_in(folder, release)
    notes = [remark, *notes] if remark else notes
    time = content(folder / TIME, 100)
    if time is not None:
        try:
            (checked / TIME).write_text(f"{when(time.decode()):%Y-%m-%d %H:%M:%S.%f} UTC")
        except (ValueError, OverflowError, AttributeError, TypeError):
            notes.append(
                f"`{TIME}` holds no date that can be read, so nothing counts as late. It should "
                f"be {FORMS}."
            )
    if notes:
        notebook.metadata[NOTE] = " ".join(notes)
    nbformat.write(notebook, checked / release.name)
    return " ".join(notes)


def read(written: bytes) -> NotebookNode:
    """The cells of a notebook, and nothing else of it.

    Jupyter opens files that break the rules of the format in many small ways; so does this. Raises
    ValueError, in words for people, for what is no notebook at all.
    """
    if len(written) > LARGEST_FILE:
        raise ValueError(f"it has more than {LARGEST_FILE // 2**20} MB")
    written = without_outputs(written)
    if len(written) > LARGEST:
        raise ValueError(f"it has more than {LARGEST // 2**20} MB beside its outputs")
    try:
        text = written.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    try:
        found = json.loads(text)
        if "worksheets" in found:
            found = nbformat.reads(text, as_version=4)  # of before 2015
        cells = _with_ids_once([_plain(cell) for cell in found["cells"]])
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


def _notebook_in(folder: Path, release: Path) -> tuple[NotebookNode, list[str]]:
    handed_out = read(release.read_bytes())
    nothing = "So nothing could be graded."
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return handed_out, [f"The folder is a link, or no folder. {nothing}"]
    there = sorted(folder.iterdir())
    notebooks: dict[str, NotebookNode] = {}
    faults: dict[str, str] = {}
    names = candidates(there, release.name)
    room = LARGEST_FILE
    for name in names:
        try:
            written = content(folder / name, room + 1) or b""
            room = max(0, room - len(written))
            notebooks[name] = read(written)
        except ValueError as error:
            faults[name] = str(error)
    if faults and not notebooks:
        return handed_out, [f"The file cannot be read: {next(iter(faults.values()))}. {nothing}"]
    if not notebooks:
        named = {path: f"`{legible(path.name, 100)}`" for path in there if path.name != TIME}
        files = {path for path in named if stat.S_ISREG(path.lstat().st_mode)}
        listed = [named[path] + ("" if path in files else " (not a file)") for path in named]
        listed_all = ", ".join(listed) or "nothing"
        return handed_out, [
            f"There is no file `{release.name}`; handed in: {listed_all}. {nothing}"
        ]
    others = {name: _other_assignment(notebook, release) for name, notebook in notebooks.items()}
    found = {name: find(notebook, handed_out) for name, notebook in notebooks.items()}

    def worth(name: str) -> tuple[bool, int, int]:
        minute = int((folder / name).lstat().st_mtime // 60)  # unpacking takes a moment
        return not others[name], len(found[name].answers), minute

    name = max(notebooks, key=worth)  # of equals the first, which has the right name
    if others[name]:
        said = f"This is the work for `{others[name]}`, not for `{release.stem}`."
        return handed_out, [f"{said} {nothing}"]
    notes = []
    if len(names) > 1:
        listed_all = ", ".join(f"`{legible(each, 100)}`" for each in sorted(names))
        notes.append(
            f"Several notebooks were handed in: {listed_all}. "
            f"Graded is `{legible(name, 100)}`: the one with most answers, or the newest of those."
        )
    elif name != release.name:
        notes.append(f"The file was called `{legible(name, 100)}` instead of `{release.name}`.")
    if not names_of(notebooks[name].cells) & names_of(handed_out.cells):
        notes.append(
            "None of the cells to be answered has its name: was the text copied into a new "
            "notebook? The cells carry the names by which they are graded."
        )
    return notebooks[name], notes + found[name].notes


def _other_assignment(notebook: NotebookNode, release: Path) -> str:
    """The name of another assignment whose work this is; empty if it is of none.

    Names of cells are no help: assignments share them. Functions and headings are.
    """
    marks = {name for cell in notebook.cells for name in defined(cell.source)} | _headings(notebook)
    own = len(marks & _marks(release))
    if release.parent.name != release.stem:
        return ""
    shared: dict[str, int] = {}
    for folder in ("source", "release"):
        for other in sorted(release.parents[2].glob(f"{folder}/*/*.ipynb")):
            if other.parent.name == other.stem != release.stem:
                of_both = len(marks & _marks(other))
                shared[other.stem] = max(of_both, shared.get(other.stem, 0))
    # Assignments have a few headings and functions in common, so the one with the most counts.
    best = max(shared, key=shared.__getitem__, default="")
    return best if best and shared[best] >= max(CLEAR, 2 * own + 1) else ""


def _marks(release: Path) -> set[str]:
    """What tells an assignment from others: the functions that it asks for, and its headings."""
    notebook = read(release.read_bytes())
    names = {name for part in parts_of(notebook) for name in part.defines}
    return names | _headings(notebook)


def _headings(notebook: NotebookNode) -> set[str]:
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return {line for source in text for line in source.split("\n") if line.startswith("#")}


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
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    plain: NotebookNode = kind(source, metadata=about)
    ids = [cell.get("id"), metadata.get("id") if isinstance(metadata, dict) else None]  # Colab's
    known = [each for each in ids if isinstance(each, str) and ID.fullmatch(each)]
    plain["id"] = known[0] if known else ""
    return plain


def _with_ids_once(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Of cells with one id only the first keeps it."""
    ids = {""}
    for cell in cells:
        if cell.id in ids:
            cell["id"] = uuid4().hex
        ids.add(cell.id)
    return cells
