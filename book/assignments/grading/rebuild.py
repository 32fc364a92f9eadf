"""Make a submission whole again: the instructor's cells in their order, the student's answers in.

Whatever was deleted, copied, moved or changed outside the answers comes back as it was handed out.
"""

import codecs
import shutil
from pathlib import Path

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Unicode

LARGEST = 20 * 2**20  # bytes of a notebook
NOTE = "grading_note"
MOST_CELLS = 500
MOST_TEXT = 1_000_000


class Rebuild(NbGraderPreprocessor):
    """First in nbgrader's chain: what comes after it sees only notebooks of the form it expects."""

    root = Unicode(help="the folder of the course").tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Rebuild on the version that was handed out."""
        release = released(Path(self.root), resources["nbgrader"]["assignment"])
        return rebuild(nb, read(release)), resources


def released(root: Path, assignment: str) -> Path:
    """The version that was handed out."""
    return root / "release" / assignment / f"{assignment}.ipynb"


def read(path: Path) -> NotebookNode:
    """A notebook. Raises ValueError, in words for people, for whatever is none."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"it has more than {LARGEST // 2**20} MB")
    try:
        notebook: NotebookNode = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        if len(notebook.cells) > MOST_CELLS:
            raise ValueError(f"more than {MOST_CELLS} cells")
        if sum(len(cell.source) for cell in notebook.cells) > MOST_TEXT:
            raise ValueError(f"more than {MOST_TEXT} characters in its cells")
        nbformat.validate(notebook)
        nbformat.writes(notebook).encode()  # JSON can hold half characters, UTF-8 cannot
    except UnicodeEncodeError:
        raise ValueError("it has half a character in it, which is no text") from None
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8") from None
    except Exception as error:  # nbformat raises a dozen kinds
        first = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(f"it is not a notebook ({first})") from None
    return notebook


def rebuild(submission: NotebookNode, release: NotebookNode) -> NotebookNode:
    """The released notebook with the submission's answers, and its other code where it stood.

    Answers go by nbgrader's name of their cell; of two with one name the last counts. Code cells
    that the student added follow the known cell that they followed.
    """
    known = {_name(cell) for cell in release.cells} - {""}
    answers: dict[str, str] = {}
    added: dict[str, list[NotebookNode]] = {}
    place = ""
    for cell in submission.cells:
        name = _name(cell)
        if name in known:
            answers[name], place = cell.source, name
        elif cell.cell_type == "code" and not name:
            added.setdefault(place, []).append(nbformat.v4.new_code_cell(cell.source))
    whole: NotebookNode = nbformat.from_dict({**release, "cells": []})
    note = submission.metadata.get(NOTE)
    if isinstance(note, str):
        whole.cells.append(nbformat.v4.new_markdown_cell(f"**Note of the grader.** {note}"))
    whole.cells += added.get("", [])
    for cell in release.cells:
        name = _name(cell)
        if not name and cell.cell_type == "code":
            continue  # an ordinary cell: the student's version of it, if any, is among `added`
        whole.cells.append(nbformat.from_dict(cell))
        if name and cell.metadata["nbgrader"].get("solution") and name in answers:
            whole.cells[-1].source = answers[name]
        whole.cells += added.get(name, []) if name else []
    return whole


def mend(folder: Path, release: Path) -> str:
    """See that a student's folder holds a readable notebook under its right name.

    Returns what was wrong, for the instructor and the student; empty if nothing was. A file that
    cannot be read is kept beside the notebook, and in its place stands the version handed out.
    """
    expected = folder / release.name
    record = expected.with_suffix(".note")  # what a notebook says of itself is not believed
    ours = {expected, record, expected.with_suffix(".unreadable")}
    others = sorted(path for path in folder.iterdir() if path.is_file() and path not in ours)
    notebooks = [path for path in others if path.suffix == ".ipynb"]
    note = ""
    if not expected.exists() and len(notebooks) == 1:
        note = f"The file was called `{notebooks[0].name}` instead of `{expected.name}`."
        shutil.copy(notebooks[0], expected)
    elif not expected.exists():
        handed_in = ", ".join(f"`{path.name}`" for path in others) or "nothing"
        note = f"There is no `{expected.name}`; handed in: {handed_in}. So nothing could be graded."
    if expected.is_file():
        content = expected.read_bytes()
        if content.startswith(codecs.BOM_UTF8):  # harmless, but nbgrader stumbles over it
            expected.write_bytes(content.removeprefix(codecs.BOM_UTF8))
        try:
            notebook = read(expected)
        except ValueError as error:
            expected.rename(expected.with_suffix(".unreadable"))
            note = f"The file cannot be read: {error}. So nothing could be graded."
    if not expected.exists():
        notebook = read(release)
    elif not note:
        kept = notebook.metadata.pop(NOTE, None)
        if kept is None:
            return ""
        if record.exists() and record.read_text(encoding="utf-8") == kept:
            return str(kept)
    if note:
        record.write_text(note, encoding="utf-8")
        notebook.metadata[NOTE] = note
    nbformat.write(notebook, expected)
    return note


def _name(cell: NotebookNode) -> str:
    about = cell.metadata.get("nbgrader")
    name = about.get("grade_id") if isinstance(about, dict) else None
    return name if isinstance(name, str) else ""
