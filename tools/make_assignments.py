"""Make the student's and the solution versions of the assignments from the instructor's notebooks.

    python tools/make_assignments.py [--variant NAME]

For each notebook under book/assignments/source/ this writes book/assignments/student/NAME.ipynb,
which is what nbgrader hands out, and book/assignments/solutions/NAME.ipynb, with the answers and
without the hidden tests. Both begin with the cell of book/assignments/header.ipynb. The
autograder's version is nbgrader's own: the gradebook, which `nbgrader generate_assignment NAME`
fills from the same notebook.

With a name, the assignments that have a bank, book/assignments/bank/ASSIGNMENT.py, are made as the
variant of that name: other conventions and other questions, drawn from the name. They go into a
folder of their own, book/assignments/variants/NAME/, which is a course as book/assignments is one:
the same commands collect, grade and give feedback there.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from ddpm_tutorial.errors import needs_extra

COURSE = Path(__file__).parents[1] / "book/assignments"
sys.path[:0] = [str(COURSE), str(Path(__file__).parent)]

from draft import varied  # noqa: E402

with needs_extra("teaching"):
    import nbformat
    from grading.feedback import HIDDEN
    from nbformat import NotebookNode
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

HEADER = COURSE / "header.ipynb"  # tools/write_first_cells.py writes it
MARKS = ("### BEGIN SOLUTION", "### END SOLUTION")
PROGRAMS = ("collect.py", "grade.py", "roster.py", "similarity.py")
SETTINGS = '''"""Settings of nbgrader for a variant: those of the course, in this folder."""

from pathlib import Path

HERE = Path(__file__).parent
COURSE = HERE / {course!r}
load_subconfig("nbgrader_config.py", path=str(COURSE))  # noqa: F821 - nbgrader puts it there

c = get_config()  # noqa: F821
c.CourseDirectory.root = str(HERE)
c.CourseDirectory.db_url = f"sqlite:///{{HERE}}/gradebook.db?timeout=120"
c.Rebuild.root = str(HERE)
'''


def with_tools() -> str:
    """The search path with the tools of this Python first: nbgrader calls one of them, alembic."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def student_version(name: str, course: Path = COURSE) -> NotebookNode:
    """What nbgrader makes of the source: stubs for answers, no hidden tests, locked cells."""
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(course / "source" / name, Path(root, "source", name))
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


def solution_version(name: str, course: Path = COURSE) -> NotebookNode:
    """The source without its marks and its hidden tests."""
    notebook = nbformat.read(course / "source" / name / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        source = HIDDEN.sub("", cell.source)
        lines = [line for line in source.splitlines() if line.strip() not in MARKS]
        cell.source = "\n".join(lines)
    notebook.cells[:0] = nbformat.read(HEADER, as_version=4).cells
    return notebook


def make_variant(variant: str, course: Path) -> None:
    """A folder with sources, settings and programs of its own, in which a class can be graded."""
    for source in sorted(COURSE.glob("source/*/*.ipynb")):
        name = source.stem
        notebook, drawn = varied(source, COURSE / "bank" / f"{name}.py", variant)
        (course / "source" / name).mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, course / "source" / name / f"{name}.ipynb")
        said = ", ".join(f"{what}: {choice}" for what, choice in drawn.items())
        print(f"{name} as {variant}: {said or 'NO BANK, it is the public one'}")
    back = os.path.relpath(COURSE, course)
    (course / "nbgrader_config.py").write_text(SETTINGS.format(course=back), encoding="utf-8")
    for program in PROGRAMS:  # Python looks for what they import where they really are
        (course / program).unlink(missing_ok=True)
        (course / program).symlink_to(Path(back, program))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", help="a name, from which all that is other is drawn")
    variant, course = parser.parse_args().variant, COURSE
    os.environ["PATH"] = with_tools()
    if variant is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", variant):
            raise SystemExit(f"{variant!r} is no name of a variant: take letters, digits, - and _")
        course = COURSE / "variants" / variant
        make_variant(variant, course)
    for source in sorted(course.glob("source/*/*.ipynb")):
        name = source.stem
        for folder, make in (("student", student_version), ("solutions", solution_version)):
            (course / folder).mkdir(exist_ok=True)
            nbformat.write(make(name, course), course / folder / f"{name}.ipynb")
        print(name)
    if variant is not None:
        print(f"The course of this variant: {course}")


if __name__ == "__main__":
    main()
