"""Marks that a person gave: they stay while the answer that was marked is the same.

nbgrader keeps the marks and the comments, but has each looked at again after every grading.
"""

from pathlib import Path

import nbformat
from nbgrader.api import Gradebook, MissingEntry, SubmittedNotebook

from .cells import name_of
from .progress import has_ended

# Of each part that a person marks, the answer and how many points there are for it.
Answers = dict[str, tuple[str, float]]


def marked(gradebook: Gradebook, root: Path, assignment: str, student: str) -> Answers:
    """The answers whose marks are given and wait for nobody: to be asked before grading again.

    Empty where the last grading did not come to its end. What lies there may then be newer than
    what was marked.
    """
    notebook = _graded(gradebook, assignment, student)
    if notebook is None or not has_ended(root / "checked" / student / assignment):
        return {}
    settled = {
        grade.name
        for grade in notebook.grades
        if grade.manual_score is not None and not grade.needs_manual_grade
    }
    answers = _answers(root, assignment, student)
    return {name: answer for name, answer in answers.items() if name in settled}


def keep(gradebook: Gradebook, root: Path, assignment: str, student: str, before: Answers) -> None:
    """Let the marks of answers that are the same as before wait for nobody."""
    notebook, after = _graded(gradebook, assignment, student), _answers(root, assignment, student)
    for grade in notebook.grades if notebook else []:
        if grade.name in before and after.get(grade.name) == before[grade.name]:
            grade.needs_manual_grade = False
    gradebook.db.commit()


def _graded(gradebook: Gradebook, assignment: str, student: str) -> SubmittedNotebook | None:
    try:
        return gradebook.find_submission_notebook(assignment, assignment, student)
    except MissingEntry:
        return None


def _answers(root: Path, assignment: str, student: str) -> Answers:
    """Those in the graded notebook, which is what Formgrader shows."""
    path = root / "autograded" / student / assignment / f"{assignment}.ipynb"
    if not path.is_file():
        return {}
    found: Answers = {}
    for cell in nbformat.read(path, as_version=4).cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("grade") and about.get("solution"):
            found[name_of(cell)] = cell.source, float(about["points"])
    return found
