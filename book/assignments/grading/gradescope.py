"""What Gradescope runs for one submission: `grade.py` on it, and its result as results.json.

    python -m grading.gradescope NAME /autograder

The format is that of https://gradescope-autograders.readthedocs.io/en/latest/specs/. tools/
make_gradescope.py makes the zip in which this stands, and INSTRUCTORS.md says how to use it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from .cells import name_of
from .feedback import legible
from .files import ENDINGS, MOST_FILES
from .summary import marks
from .tree import survey

STUDENT = "submission"  # there is only one in each container
CLOSED = ("source", "release", "submitted", "checked", "autograded")
HINT = "Hint: "  # as execute.py's `hint_output` begins
LONGEST = 10_000  # characters of what is said of one part
NOTE_OF_THE_GRADER = "**Note of the grader.** "
SAME_USER = (
    "a student's code would run as the same user as the tests here, and could read and change all "
    "that they can. Gradescope runs autograders as root: do so, or install bubblewrap"
)


def main() -> None:
    """Grade what lies in submission/ and write results/results.json; no file if that failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("assignment")
    parser.add_argument("autograder", type=Path, help="the folder that Gradescope makes")
    arguments = parser.parse_args()
    course, begun = Path(__file__).parents[1], time.monotonic()
    out = arguments.autograder / "results" / "results.json"
    out.parent.mkdir(exist_ok=True)
    out.unlink(missing_ok=True)
    if survey().bwrap is None and os.geteuid() != 0:
        raise SystemExit(SAME_USER)
    close(course)
    submitted = course / "submitted" / STUDENT / arguments.assignment
    take(arguments.autograder / "submission", submitted)
    grade = [sys.executable, "grade.py", arguments.assignment, "--student", STUDENT]
    # Trusted, for Gradescope's container may keep us from raising a tree: it is a wall itself, and
    # the code still runs as a user that owns nothing, which `survey` was asked about above.
    done = subprocess.run([*grade, "--jobs", "1", "--trust-students"], cwd=course, check=False)
    if done.returncode != 0:
        raise SystemExit("the submission was not graded: the lines above say why")
    found = results(course, arguments.assignment)
    found["execution_time"] = round(time.monotonic() - begun)
    out.write_text(json.dumps(found, indent=2, allow_nan=False), encoding="utf-8")


def close(course: Path) -> None:
    """Keep other users, as one of whom the student's code may run, from reading the tests."""
    course.chmod(0o711)
    for name in CLOSED:
        (course / name).mkdir(exist_ok=True)
        (course / name).chmod(0o700)
    for path in course.glob("gradebook.db*"):
        path.chmod(0o600)


def take(folder: Path, submitted: Path) -> None:
    """Copy what was handed in to where `grade.py` looks for it.

    The plain files beside one another; if no notebook is among them, those further down as well.
    """
    shutil.rmtree(submitted, ignore_errors=True)
    submitted.mkdir(parents=True)
    files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    if not any(path.name.lower().endswith(ENDINGS) for path in files):
        deeper = sorted(path for path in folder.rglob("*.ipynb") if _below(path, folder))
        files += deeper[:MOST_FILES]
    for path in files:
        if not (submitted / path.name).exists():
            shutil.copy2(path, submitted / path.name)


def _below(path: Path, folder: Path) -> bool:
    """Whether this is a file, reached without a link and not hidden."""
    parts = [path, *path.parents][: len(path.relative_to(folder).parts)]
    return path.is_file() and not any(p.is_symlink() or p.name.startswith(".") for p in parts)


def results(course: Path, assignment: str, student: str = STUDENT) -> dict[str, Any]:
    """What the gradebook and the graded notebook say of a student, as Gradescope reads it.

    It holds what the feedback of `nbgrader generate_feedback` holds, and nothing else: no test, and
    nothing that a hidden test has asked or got.
    """
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        parts = marks(gradebook, assignment)[student].parts
    path = course / "autograded" / student / assignment / f"{assignment}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    tests, said, by_hand = [], list[str](), list[str]()
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("grade") and not about.get("solution"):
            points, most = parts[name_of(cell)]
            tests.append(_test(name_of(cell), points, most, "\n\n".join(_errors(cell))))
        elif about.get("grade"):
            by_hand.append(f"{name_of(cell)} ({parts[name_of(cell)][1]:g} points)")
        elif cell.source.startswith(NOTE_OF_THE_GRADER) and not name_of(cell):
            said.append(cell.source.replace("**", ""))
        else:
            place = f"the cell {name_of(cell)}" if name_of(cell) else "a cell without a name"
            said += [f"In {place}: {error}" for error in _errors(cell)]
    if by_hand:
        said.append(f"Marked by hand, and not counted here: {', '.join(by_hand)}.")
    return {
        "output": legible("\n\n".join(said), LONGEST),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",  # it is for the instructor
        "tests": tests,
    }


def _test(name: str, points: float, most: float, said: str) -> dict[str, Any]:
    return {
        "name": name,
        "score": points,
        "max_score": most,
        "status": "passed" if points == most else "failed",
        "visibility": "visible",
        "output": legible(said, LONGEST),
        "output_format": "text",
    }


def _errors(cell: NotebookNode) -> Iterator[str]:
    """What the feedback says below a cell: an error, and a hint."""
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            yield "\n".join(output.traceback)
        elif output.get("data", {}).get("text/plain", "").startswith(HINT):
            yield output.data["text/plain"]


if __name__ == "__main__":
    main()
