"""Grade a class in a place of its own: what the Dockerfile beside this starts in a container.

    python grade_class.py ASSIGNMENT [--due DATE] [--jobs N] [--new]

/submitted, which may be read-only, holds STUDENT/ASSIGNMENT/, as collect.py writes it. /graded gets
the gradebook, the feedback, the grades as CSV, and what Formgrader needs for marking by hand. It
holds data only, no program. If it has a gradebook of before, with extensions.csv and regrades.csv,
the grading goes on from that.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

KEPT = ("gradebook.db", "checked", "autograded", "feedback", "grades.csv")
GIVEN = ("gradebook.db", "checked", "autograded", "extensions.csv", "regrades.csv")


def copy(name: str, source: Path, target: Path) -> None:
    """Copy a file or a folder of this name, if it is there, in the place of what is there now."""
    there, to = source / name, target / name
    if there.is_symlink() or not there.exists():
        return
    if to.is_dir() and not to.is_symlink():
        shutil.rmtree(to)
    else:
        to.unlink(missing_ok=True)
    if there.is_dir():
        shutil.copytree(there, to, symlinks=True)
    else:
        shutil.copyfile(there, to)


def check(submitted: Path, out: Path, course: Path, assignment: str) -> None:
    """Raise SystemExit, with the remedy, where the work cannot begin."""
    if os.geteuid() == 0:
        raise SystemExit('this runs as root: give docker run --user "$(id -u):$(id -g)"')
    if not (course / "release" / assignment).is_dir() or "/" in assignment:
        there = ", ".join(sorted(path.name for path in course.glob("release/*")))
        raise SystemExit(f"there is no assignment {assignment}: choose of {there}")
    if not any(submitted.glob(f"*/{assignment}")):
        raise SystemExit(f"{submitted} holds no STUDENT/{assignment}: run collect.py first")
    if not (out.is_dir() and os.access(out, os.W_OK)):
        raise SystemExit(f"{out} is no folder that user {os.geteuid()} can write to")


def grade(course: Path, arguments: argparse.Namespace) -> int:
    """Run the commands of INSTRUCTORS.md in the folder of the course; 0 if all were graded."""

    def run(*command: str) -> int:
        print("$", *command, flush=True)
        return subprocess.run(command, cwd=course, check=False).returncode

    assignment = arguments.assignment
    if arguments.due and run(
        *("nbgrader", "db", "assignment", "add", assignment, "--duedate", arguments.due)
    ):
        raise SystemExit("the due date was not understood")
    new = ["--new"] if arguments.new else []
    code = run(sys.executable, "grade.py", assignment, "--jobs", str(arguments.jobs), *new)
    code += run("nbgrader", "generate_feedback", assignment, "--force")
    return code + run("nbgrader", "export", "--to", "grades.csv")


def main(words: Sequence[str] | None = None) -> int:
    """Make a course in memory, grade in it, and copy out what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("assignment")
    parser.add_argument("--due", help='such as "2027-02-01 23:59 UTC"')
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--new", action="store_true", help="those only that are not graded yet")
    parser.add_argument("--submitted", type=Path, default=Path("/submitted"))
    parser.add_argument("--out", type=Path, default=Path("/graded"))
    arguments = parser.parse_args(words)
    submitted, out = arguments.submitted.resolve(), arguments.out.resolve()
    made = Path(__file__).parent
    check(submitted, out, made, arguments.assignment)
    with tempfile.TemporaryDirectory(prefix="course-") as place:
        course = Path(place) / "course"
        shutil.copytree(made, course)
        for name in GIVEN:
            copy(name, out, course)
        (course / "submitted").symlink_to(submitted)
        code = grade(course, arguments)
        for name in KEPT:
            copy(name, course, out)
    return min(code, 1)


if __name__ == "__main__":
    sys.exit(main())
