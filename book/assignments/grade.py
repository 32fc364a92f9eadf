"""Grade all submissions of an assignment, several at a time.

    python grade.py ASSIGNMENT [--jobs N] [--new] [--student NAME ... | --regrades]
        [--trust-students]

Reads submitted/STUDENT/ASSIGNMENT/, writes checked/ (what of that is graded), autograded/ and the
gradebook, and prints a line for each student and what the class reached. Whatever a submission does
or is, the others are graded. Grading again is safe: what was marked by hand stays, and waits to be
looked at again only where the answer is another. If grading was interrupted, --new goes on with it:
it leaves out those whose grade rests on all that is there now.
"""

import argparse
import contextlib
import io
import logging
import multiprocessing
import re
import resource
import signal
import sys
import time
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ddpm_tutorial.errors import needs_extra
from ddpm_tutorial.machine import cores

with needs_extra("teaching"):
    import psutil
    from grading import by_hand
    from grading.collect import NAME
    from grading.feedback import on_one_line
    from grading.granted import Regrade, extensions, extra_time, regrades, remark, standing, unknown
    from grading.intake import take_in
    from grading.progress import done, is_done, state
    from grading.rebuild import released
    from grading.sandbox import Sandbox
    from grading.summary import Mark, change, marks, summary
    from grading.table import TableError
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


class Terms(NamedTuple):
    """What holds for one student: more time, requests to be graded again, and the date of all.

    `extra` is None if the course has no file of extensions: the gradebook's own, `standing`, then
    stays.
    """

    extra: timedelta | None
    standing: timedelta
    asked: list[Regrade]
    due: datetime | None

    def state(self, root: Path, assignment: str, student: str) -> str:
        """What a grade rests on, as a fingerprint."""
        asked, extra = remark(self.asked), self.standing if self.extra is None else self.extra
        place = root / "submitted" / student / assignment
        return state(place, released(root, assignment), repr((extra, self.due)), asked)


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
        with warnings.catch_warnings():  # nbgrader reads what it makes before it adds it: no harm
            about = r"Object of type <Submitted\w+> not in session"
            warnings.filterwarnings("ignore", about, SAWarning, r"nbgrader\.api")
            with Gradebook(directory.db_url, directory.course_id) as gradebook:
                terms = agreed(gradebook, root, assignment, student)
                marked = by_hand.marked(gradebook, root, assignment, student)
            rests_on = terms.state(root, assignment, student)
            folders = (root / "submitted" / place, root / "checked" / place)
            note = take_in(*folders, released(root, assignment), remark(terms.asked))
            logger = logging.getLogger(f"{assignment}/{student}")
            logger.addHandler(logging.StreamHandler(log))
            logger.propagate = False
            api = NbGraderAPI(directory, config=config, log=logger)
            outcome = api.autograde(assignment, student, force=True, create=True)
            if outcome["success"]:
                with Gradebook(directory.db_url, directory.course_id) as gradebook:
                    by_hand.keep(gradebook, root, assignment, student, marked)
    except Exception as error:
        return Result(student, False, f"{type(error).__name__}: {error}")
    if outcome["success"]:
        done(root / "checked" / place, rests_on)
        if terms.extra and terms.due:
            until = f"extended to {terms.due + terms.extra:%Y-%m-%d %H:%M} UTC"
            note = f"{until}. {note}" if note else until
        return Result(student, True, note)
    said = [line.strip() for line in f"{outcome['log']}\n{log.getvalue()}".splitlines()]
    errors = [line for line in said if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return Result(student, False, (errors or said or ["it is not known why"])[-1])


def agreed(gradebook: Gradebook, root: Path, assignment: str, student: str) -> Terms:
    """The terms of a student, with the extra time in the gradebook, from which it is counted."""
    terms = terms_of(gradebook, root, assignment, [student])[student]
    if terms.extra is not None:
        extra = terms.extra if terms.due else None  # nbgrader cannot add it to no date
        gradebook.update_or_create_student(student)
        gradebook.update_or_create_submission(assignment, student, extension=extra)
    return terms


def grade_all(assignment: str, students: Sequence[str], jobs: int) -> Generator[Result, None, None]:
    """Grade each in a process of its own, so that what ends or stops one ends no other.

    Forked, so that nbgrader and torch are loaded once. The students' code runs in none of them.
    """
    waiting, running = list(students), dict[Connection, tuple[str, Any, float]]()
    try:
        yield from _grade_all(assignment, waiting, running, jobs)
    finally:  # also where it was interrupted
        for _, process, _ in running.values():
            _end(process)


def _grade_all(
    assignment: str,
    waiting: list[str],
    running: dict[Connection, tuple[str, Any, float]],
    jobs: int,
) -> Iterator[Result]:
    context = multiprocessing.get_context("fork")
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
            if result is None:
                _end(process)
            process.join()
            yield result or Result(student, False, "grading it took too much time or memory")


def _end(process: Any) -> None:
    """End a process of the pool, with all that it started."""
    with contextlib.suppress(psutil.Error):
        for child in [*psutil.Process(process.pid).children(recursive=True), process]:
            with contextlib.suppress(psutil.Error):
                child.kill()


def _report(sender: Connection, assignment: str, student: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
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


def due(gradebook: Gradebook, assignment: str) -> datetime | None:
    """The due date in UTC as the gradebook has it: it may read a zone that it does not know so."""
    with contextlib.suppress(MissingEntry):
        date: datetime | None = gradebook.find_assignment(assignment).duedate
        return date
    return None


def terms_of(
    gradebook: Gradebook, root: Path, assignment: str, students: Sequence[str]
) -> dict[str, Terms]:
    """What holds for each of these students. Raises TableError."""
    date, granted, parts = due(gradebook, assignment), extensions(root), list[str]()
    with contextlib.suppress(MissingEntry):
        notebooks = gradebook.find_assignment(assignment).notebooks
        parts = [cell.name for notebook in notebooks for cell in notebook.grade_cells]
    asked = regrades(root, assignment, parts)
    return {
        student: Terms(
            None if granted is None else extra_time(granted, student, assignment, date),
            standing(gradebook, assignment, student),
            [one for one in asked if one.student == student],
            date,
        )
        for student in students
    }


def chosen(
    arguments: argparse.Namespace, root: Path, there: Sequence[str], terms: Mapping[str, Terms]
) -> list[str]:
    """The students to be graded now, of those who submitted something."""
    students = list(arguments.student or there)
    if arguments.regrades:
        students = [student for student in there if terms[student].asked]
        if not students:
            raise SystemExit(f"regrades.csv has nobody who submitted {arguments.assignment}")
    if arguments.new:
        graded = [
            student
            for student in students
            if is_done(
                root / "checked" / student / arguments.assignment,
                terms[student].state(root, arguments.assignment, student),
            )
        ]
        print(f"{len(graded)} of {len(students)} are graded on what is there now: left out")
        students = [student for student in students if student not in graded]
    return students


def say(
    gradebook: Gradebook, assignment: str, results: Sequence[Result], before: Mapping[str, Mark]
) -> None:
    """Print a line for each result, what changed, and what the class reached."""
    date = due(gradebook, assignment)
    when = f"due {date:%Y-%m-%d %H:%M} UTC, as nbgrader understood it" if date else "no due date"
    print(f"{assignment}: {when}")
    after, changed = marks(gradebook, assignment), list[str]()
    for result in results:
        student, note = result.student, result.note
        what = points(gradebook, assignment, student) if result.graded else "NOT GRADED"
        if student in after and (moved := change(before.get(student), after[student])):
            changed.append(student)
            note = f"{moved}. {note}" if note else moved
        print(f"{one_line(student):20} {what:30} {one_line(note)}".rstrip())
    print(summary(assignment, after, changed))


def main() -> None:
    """Grade, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assignment")
    parser.add_argument("--jobs", type=int, default=cores())
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--student", nargs="+", help="these students only")
    which.add_argument("--regrades", action="store_true", help="those in regrades.csv only")
    new = "not those graded already on what is there now: goes on after an interruption"
    parser.add_argument("--new", action="store_true", help=new)
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
    if missing := set(arguments.student or ()) - set(there):
        raise SystemExit(f"nothing submitted for {assignment} by: {', '.join(sorted(missing))}")
    Sandbox.trusted = arguments.trust_students
    print(walls_for(Sandbox.trusted).summary())
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        try:
            terms = terms_of(gradebook, root, assignment, there)
        except TableError as error:
            raise SystemExit(str(error)) from None
        before = marks(gradebook, assignment)
        known = {*there, *(student.id for student in gradebook.students)}
    for stranger in unknown(root, assignment, known):
        print(one_line(stranger))
    students = chosen(arguments, root, there, terms)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    apart, results, whole = grade_all(assignment, students, arguments.jobs), list[Result](), True
    try:
        for result in tqdm(apart, total=len(students), desc=assignment, disable=None):
            results.append(result)
    except KeyboardInterrupt:
        apart.close()
        whole = False
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        say(gradebook, assignment, sorted(results), before)
    if not whole:
        again = " ".join(each for each in sys.argv[1:] if each != "--new")
        left = len(students) - len(results)
        raise SystemExit(f"INTERRUPTED, {left} left. To go on: python grade.py {again} --new")
    sys.exit(0 if all(result.graded for result in results) else 1)


if __name__ == "__main__":
    main()
