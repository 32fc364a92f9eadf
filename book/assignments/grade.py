"""Grade all submissions of an assignment, several at a time.

    python grade.py ASSIGNMENT [--jobs N] [--student NAME ...] [--trust-students]

Reads submitted/STUDENT/ASSIGNMENT/, writes checked/ (what of that is graded), autograded/ and the
gradebook, and prints a line for each student. Whatever a submission does or is, the others are
graded. Grading again is safe: what was marked by hand stays.
"""

import argparse
import contextlib
import io
import logging
import multiprocessing
import re
import resource
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ddpm_tutorial.errors import needs_extra
from ddpm_tutorial.machine import cores

with needs_extra("teaching"):
    import psutil
    from grading.collect import NAME
    from grading.feedback import on_one_line
    from grading.intake import take_in
    from grading.rebuild import released
    from grading.sandbox import Sandbox
    from grading.tree import walls_for
    from nbgrader.api import Gradebook, MissingEntry
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from sqlalchemy.exc import SAWarning
    from traitlets.config import Config, PyFileConfigLoader

LONGEST = 10_000.0  # seconds for one submission, all in all, on a machine that is busy
MEMORY = 4 * 2**30  # that the grader itself may take for one submission


class Result(NamedTuple):
    """What came of one submission; `note` is empty if there is nothing to say."""

    student: str
    graded: bool
    note: str


def course() -> Config:
    """The settings in nbgrader_config.py of the present folder."""
    if not Path("nbgrader_config.py").exists():
        raise SystemExit(
            "there is no nbgrader_config.py here: run this in the folder of the course"
        )
    return PyFileConfigLoader("nbgrader_config.py", path=str(Path.cwd())).load_config()


def grade_one(assignment: str, student: str) -> Result:
    """Grade one submission, in a process of this program's own pool."""
    if not re.fullmatch(NAME, student):
        return Result(student, False, "nbgrader cannot take this name: rename the student's folder")
    config = course()
    config.CourseDirectory.submitted_directory = "checked"
    directory = CourseDirectory(config=config)
    root = Path(directory.root)
    log = io.StringIO()
    try:
        place = Path(student, assignment)
        note = take_in(
            root / "submitted" / place, root / "checked" / place, released(root, assignment)
        )
        logger = logging.getLogger(f"{assignment}/{student}")
        logger.addHandler(logging.StreamHandler(log))
        logger.propagate = False
        api = NbGraderAPI(directory, config=config, log=logger)
        with warnings.catch_warnings():  # nbgrader reads what it makes before it adds it: no harm
            about = r"Object of type <Submitted\w+> not in session"
            warnings.filterwarnings("ignore", about, SAWarning, r"nbgrader\.api")
            outcome = api.autograde(assignment, student, force=True, create=True)
    except Exception as error:
        return Result(student, False, f"{type(error).__name__}: {error}")
    if outcome["success"]:
        return Result(student, True, note)
    said = [line.strip() for line in f"{outcome['log']}\n{log.getvalue()}".splitlines()]
    errors = [line for line in said if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return Result(student, False, (errors or said or ["it is not known why"])[-1])


def grade_all(assignment: str, students: Sequence[str], jobs: int) -> Iterator[Result]:
    """Grade each in a process of its own, so that what ends or stops one ends no other.

    Forked, so that nbgrader and torch are loaded once. The students' code runs in none of them.
    """
    context = multiprocessing.get_context("fork")
    waiting, running = list(students), dict[Connection, tuple[str, Any, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            student = waiting.pop(0)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_report, args=(sender, assignment, student))
            process.start()
            sender.close()
            running[receiver] = student, process, time.monotonic() + LONGEST
        soonest = min(until for _, _, until in running.values())
        ready = wait(list(running), max(0.0, soonest - time.monotonic()))
        now = time.monotonic()
        over = [one for one, (_, _, until) in running.items() if one in ready or now > until]
        for receiver in over:
            student, process, _ = running.pop(receiver)
            try:
                result = receiver.recv() if receiver in ready else None
            except EOFError:
                result = None
            if result is None and process.is_alive():
                for child in [*psutil.Process(process.pid).children(recursive=True), process]:
                    with contextlib.suppress(psutil.Error):
                        child.kill()
            process.join()
            yield result or Result(student, False, "grading it took too much time or memory")


def _report(sender: Connection, assignment: str, student: str) -> None:
    with contextlib.suppress(ValueError, OSError):  # an answer that takes all memory ends only this
        room = psutil.Process().memory_info().vms + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (room, resource.getrlimit(resource.RLIMIT_AS)[1]))
    sender.send(grade_one(assignment, student))


def one_line(note: str) -> str:
    """The note as one line that changes nothing else on a terminal: students choose file names."""
    return on_one_line(note)[:600]


def points(gradebook: Gradebook, assignment: str, student: str) -> str:
    """What the gradebook says."""
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return "none"
    late = f", {submission.late_submission_penalty:g} off" if submission.total_seconds_late else ""
    by_hand = ", to be marked by hand" if submission.needs_manual_grade else ""
    return f"{submission.score:g} of {submission.max_score:g}{late}{by_hand}"


def due(gradebook: Gradebook, assignment: str) -> str:
    """The due date as the gradebook has it: nbgrader reads a zone that it does not know as UTC."""
    with contextlib.suppress(MissingEntry):
        if date := gradebook.find_assignment(assignment).duedate:
            return f"due {date:%Y-%m-%d %H:%M} UTC, as nbgrader understood it"
    return "no due date"


def main() -> None:
    """Grade, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assignment")
    parser.add_argument("--jobs", type=int, default=cores())
    parser.add_argument("--student", nargs="+", help="these students only")
    trust = "run their code even where it cannot be contained"
    parser.add_argument("--trust-students", action="store_true", help=trust)
    arguments = parser.parse_args()
    directory = CourseDirectory(config=course())
    root, assignment = Path(directory.root), arguments.assignment
    if arguments.jobs < 1:
        raise SystemExit(f"--jobs is {arguments.jobs}: at least one is needed")
    if not re.fullmatch(NAME, assignment):
        raise SystemExit(f"{assignment} is no name of an assignment: give 01-gaussians, say")
    if not released(root, assignment).exists():
        raise SystemExit(f"{assignment} is not released: nbgrader generate_assignment {assignment}")
    there = sorted(path.parent.name for path in root.glob(f"submitted/*/{assignment}"))
    students = arguments.student or there
    if missing := set(students) - set(there):
        raise SystemExit(f"nothing submitted for {assignment} by: {', '.join(sorted(missing))}")
    Sandbox.trusted = arguments.trust_students
    print(walls_for(Sandbox.trusted).summary())
    apart = grade_all(assignment, students, arguments.jobs)
    results = sorted(tqdm(apart, total=len(students), desc=assignment, disable=None))
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        print(f"{assignment}: {due(gradebook, assignment)}")
        for result in results:
            what = points(gradebook, assignment, result.student) if result.graded else "NOT GRADED"
            print(f"{one_line(result.student):20} {what:30} {one_line(result.note)}")
    sys.exit(0 if all(result.graded for result in results) else 1)


if __name__ == "__main__":
    main()
