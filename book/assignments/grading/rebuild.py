"""Make a submission whole again: the instructor's cells in their order, the student's answers in.

Whatever was deleted, copied, moved or changed outside the answers comes back as it was handed out.
"""

import re
from pathlib import Path

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Unicode

from .adopt import find
from .cells import name_of
from .intake import NOTE

# What every notebook has without importing it, so that its use is no error.
OF_JUPYTER = {
    "display": "def display(*objects, **how):\n    for each in objects:\n        print(each)",
    "get_ipython": "def get_ipython():\n    return None",
}


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

    `adopt.find` says which cell is which. Code cells that the student added follow the known cell
    that they followed. They have no name, so they run in the student's process only.
    """
    found = find(submission, release)
    whole: NotebookNode = nbformat.from_dict({**release, "cells": []})
    note = submission.metadata.get(NOTE)
    if isinstance(note, str):
        whole.cells.append(nbformat.v4.new_markdown_cell(f"**Note of the grader.** {note}"))
    sources = [*found.answers.values(), *(each for some in found.added.values() for each in some)]
    if any(re.search(rf"\b{name}\b", text) for name in OF_JUPYTER for text in sources):
        whole.cells.append(nbformat.v4.new_code_cell("\n\n\n".join(OF_JUPYTER.values())))
    whole.cells += map(nbformat.v4.new_code_cell, found.added.get(-1, []))
    for at, cell in enumerate(release.cells):
        name = name_of(cell)
        if name or cell.cell_type != "code":  # an ordinary one is, if at all, among the added
            whole.cells.append(nbformat.from_dict(cell))
        if name in found.answers:
            whole.cells[-1].source = found.answers[name]
        whole.cells += map(nbformat.v4.new_code_cell, found.added.get(at, []))
    return whole
