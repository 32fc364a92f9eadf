"""Make a submission whole again: the instructor's cells in their order, the student's answers in.

Whatever was deleted, copied, moved or changed outside the answers comes back as it was handed out.
"""

from pathlib import Path

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Unicode

from .cells import name_of, names_of
from .intake import NOTE


class Rebuild(NbGraderPreprocessor):
    """First in nbgrader's chain: what comes after it sees only notebooks of the form it expects."""

    root = Unicode(help="the folder of the course").tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Rebuild on the version that was handed out."""
        release = released(Path(self.root), resources["nbgrader"]["assignment"])
        return rebuild(nb, nbformat.read(release, as_version=4)), resources


def released(root: Path, assignment: str) -> Path:
    """The version that was handed out."""
    return root / "release" / assignment / f"{assignment}.ipynb"


def rebuild(submission: NotebookNode, release: NotebookNode) -> NotebookNode:
    """The released notebook with the submission's answers, and its other code where it stood.

    Answers go by nbgrader's name of their cell; of two with one name the last counts. Code cells
    that the student added follow the known cell that they followed.
    """
    known = names_of(release.cells)
    answers: dict[str, str] = {}
    added: dict[str, list[NotebookNode]] = {}
    place = ""
    for cell in submission.cells:
        name = name_of(cell)
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
        name = name_of(cell)
        if not name and cell.cell_type == "code":
            continue  # an ordinary cell: the student's version of it, if any, is among `added`
        whole.cells.append(nbformat.from_dict(cell))
        if name and cell.metadata["nbgrader"].get("solution") and name in answers:
            whole.cells[-1].source = answers[name]
        whole.cells += added.get(name, []) if name else []
    return whole
