"""Make the student's and the solution versions of the assignments from the instructor's notebooks.

    python tools/make_assignments.py

For each notebook under book/assignments/source/ this writes book/assignments/student/NAME.ipynb,
which is what nbgrader hands out, and book/assignments/solutions/NAME.ipynb, with the answers and
without the hidden tests. Both begin with the cell of book/assignments/header.ipynb. The
autograder's version is nbgrader's own: the gradebook, which `nbgrader generate_assignment NAME`
fills from the same notebook.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from ddpm_tutorial.errors import needs_extra

COURSE = Path(__file__).parents[1] / "book/assignments"
sys.path.insert(0, str(COURSE))

with needs_extra("teaching"):
    import nbformat
    from grading.feedback import HIDDEN
    from nbformat import NotebookNode
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

HEADER = COURSE / "header.ipynb"  # tools/write_first_cells.py writes it
MARKS = ("### BEGIN SOLUTION", "### END SOLUTION")


def with_tools() -> str:
    """The search path with the tools of this Python first: nbgrader calls one of them, alembic."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def student_version(name: str) -> NotebookNode:
    """What nbgrader makes of the source: stubs for answers, no hidden tests, locked cells."""
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(COURSE / "source" / name, Path(root, "source", name))
        config = Config()
        config.CourseDirectory.root = root
        config.CourseDirectory.course_id = "ddpm-tutorial"
        config.IncludeHeaderFooter.header = str(HEADER)
        outcome = NbGraderAPI(CourseDirectory(config=config), config=config).generate_assignment(
            name, create=True
        )
        if not outcome["success"]:
            raise SystemExit(f"{name}: {outcome['log']}")
        return nbformat.read(Path(root, "release", name, f"{name}.ipynb"), as_version=4)


def solution_version(name: str) -> NotebookNode:
    """The source without its marks and its hidden tests."""
    notebook = nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        source = HIDDEN.sub("", cell.source)
        lines = [line for line in source.splitlines() if line.strip() not in MARKS]
        cell.source = "\n".join(lines)
    notebook.cells[:0] = nbformat.read(HEADER, as_version=4).cells
    return notebook


def main() -> None:
    os.environ["PATH"] = with_tools()
    for source in sorted(COURSE.glob("source/*/*.ipynb")):
        name = source.stem
        for folder, make in (("student", student_version), ("solutions", solution_version)):
            (COURSE / folder).mkdir(exist_ok=True)
            nbformat.write(make(name), COURSE / folder / f"{name}.ipynb")
        print(name)


if __name__ == "__main__":
    main()
