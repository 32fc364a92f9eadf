import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "book/assignments"
MADE = (
    "release",
    "downloaded",
    "submitted",
    "autograded",
    "feedback",
    "gradebook.db",
    "similarity",
    "variants",
    "__pycache__",
)
sys.path.insert(0, str(COURSE))
sys.path += [str(ROOT / "tests/equations"), str(ROOT / "book/_ext")]
ON_LINUX = sys.platform == "linux"


# Where Python lies in a home that others may not enter, they may, for this command only.
ENTER = """set -eu
mount --make-rprivate /
mount --bind "$1/$2" "$3"
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir -p "$1/$2"
mount --bind "$3" "$1/$2"
shift 3
exec "$@"
"""


def for_others(command, place):
    """The command, with Python where other users can read it."""
    prefix = Path(sys.base_prefix)
    closed = [path for path in prefix.parents if not path.stat().st_mode & stat.S_IXOTH]
    if not closed:
        return command
    between = str(prefix.relative_to(closed[0]))
    return [
        "unshare",
        "--mount",
        "bash",
        "-c",
        ENTER,
        "-",
        str(closed[0]),
        between,
        place,
        *command,
    ]


@pytest.fixture(scope="session", autouse=True)
def trust():
    """Only Linux has walls. There they have to stand; elsewhere these tests' own files are run."""
    from grading.sandbox import Sandbox

    Sandbox.trusted = not ON_LINUX


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder of the course as an instructor has it, in a place of its own."""
    folder = tmp_path_factory.mktemp("course") / "assignments"
    shutil.copytree(COURSE, folder, ignore=shutil.ignore_patterns(*MADE))
    return folder


@pytest.fixture(scope="module")
def run(course):
    """Run a command in the folder of the course; what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}

    def run(command):
        if not ON_LINUX:
            command = command.replace("grade.py", "grade.py --trust-students")
        done = subprocess.run(
            command, shell=True, cwd=course, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "SAWarning" not in done.stderr  # they would bury the table
        return done.stdout

    return run


@pytest.fixture
def gradebook(monkeypatch):
    """Of an assignment `a` with a part for the machine and one for a person, and three students."""
    monkeypatch.setattr("nbgrader.api.get_alembic_version", lambda: "")  # it takes a second
    with Gradebook("sqlite://") as book, warnings.catch_warnings(action="ignore"):
        book.add_assignment("a")
        book.add_notebook("a", "a")
        book.add_solution_cell("kl-answer", "a", "a")
        book.add_grade_cell("kl", "a", "a", max_score=3, cell_type="code")
        book.add_solution_cell("nearest", "a", "a")
        book.add_grade_cell("nearest", "a", "a", max_score=3, cell_type="markdown")
        for student in ("s01", "s02", "s03"):
            book.add_student(student)
            book.add_submission("a", student)
        yield book


def notebook(*sources):
    """A notebook of code cells without names."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


def named(source, name, solution, points=None):
    """A cell of an assignment: an answer, or a test."""
    about = {"grade_id": name, "solution": solution, "locked": not solution, "grade": not solution}
    if points is not None:
        about["points"] = points
    return nbformat.v4.new_code_cell(source, metadata={"nbgrader": about})


@pytest.fixture
def release():
    """What was handed out: an answer, its test, and a cell that looks at it."""
    whole = notebook()
    whole.cells = [
        named("raise NotImplementedError()", "f-answer", True),
        named("assert f(1) == 2", "f", False, 1),
        nbformat.v4.new_code_cell("f(3)"),
    ]
    whole.metadata["grading"] = {"names": [], "call_seconds": 10, "total_seconds": 60}
    return whole
