"""What was granted to single students, from two tables in the folder of the course.

`extensions.csv` has the columns student, assignment, and due or days: more time. `regrades.csv` has
student, assignment, part and reason: who asked to be graded again, for what, and why. Both are read
anew at each grading, so what is taken out of them is gone with the next.
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from nbgrader.api import Gradebook, MissingEntry

from .collect import NAME
from .feedback import legible
from .late import FORMS, when
from .table import Row, Table, read_table

EXTENSIONS, REGRADES = "extensions.csv", "regrades.csv"
EVERY = "*"  # in the place of an assignment: all of them
MOST_DAYS = 366.0


class Extension(NamedTuple):
    """More time for a student: until a time in UTC, or for so many days."""

    student: str
    assignment: str
    due: datetime | None
    days: float
    line: int


class Regrade(NamedTuple):
    """Who asked to be graded again, for which part (empty: for all), and why."""

    student: str
    assignment: str
    part: str
    reason: str
    line: int


def extensions(root: Path) -> list[Extension] | None:
    """Those that were granted; None if there is no such file. Raises TableError."""
    if not (root / EXTENSIONS).exists():
        return None
    table = read_table(root / EXTENSIONS)
    found, lines = list[Extension](), dict[tuple[str, str], int]()
    for row in table.rows:
        student, assignment = _who_and_what(table, row)
        due, days = _cell(table, row, "due"), _cell(table, row, "days")
        if bool(due) == bool(days):
            raise table.error(row, "write either a date under due or a number under days")
        if (other := lines.setdefault((student, assignment), row.line)) != row.line:
            raise table.error(row, f"line {other} is for {student} and {assignment} too: keep one")
        if due and assignment == EVERY:
            raise table.error(row, f"one date for all assignments: write days, or no {EVERY}")
        found.append(
            Extension(
                student, assignment, _time(table, row, due), _days(table, row, days), row.line
            )
        )
    return found


def extra_time(
    granted: Sequence[Extension], student: str, assignment: str, due: datetime | None
) -> timedelta:
    """How much later than the class a student may hand in; zero if nothing was granted.

    What names the assignment goes before what is for all. A date before that of the class counts
    as that of the class.
    """
    for wanted in (assignment, EVERY):
        for one in granted:
            if (one.student, one.assignment) == (student, wanted):
                if one.due is None:
                    return timedelta(days=one.days)
                return max(timedelta(), one.due - due) if due else timedelta()
    return timedelta()


def standing(gradebook: Gradebook, assignment: str, student: str) -> timedelta:
    """The extra time that the gradebook has for a student; zero if it has none."""
    try:
        return gradebook.find_submission(assignment, student).extension or timedelta()
    except MissingEntry:
        return timedelta()


def regrades(root: Path, assignment: str, parts: Collection[str]) -> list[Regrade]:
    """The requests about an assignment with these parts (none: any). Raises TableError."""
    if not (root / REGRADES).exists():
        return []
    table = read_table(root / REGRADES)
    found = []
    for row in table.rows:
        student, name = _who_and_what(table, row)
        if name == EVERY:
            raise table.error(row, "name one assignment in each row")
        part, reason = (_cell(table, row, column) for column in ("part", "reason"))
        if not reason:
            raise table.error(row, "no reason is given: write what the student says")
        if name != assignment:
            continue
        if part and parts and part not in parts:
            what = f"{assignment} has no part {part!r}; it has {', '.join(parts)}"
            raise table.error(row, what)
        found.append(Regrade(student, name, part, reason, row.line))
    return found


def remark(asked: Sequence[Regrade]) -> str:
    """What the feedback of a student says about these requests; empty for none."""
    said = [f"{one.part}: {one.reason}" if one.part else one.reason for one in asked]
    # Of what may be a student's words, nothing is left that Markdown would set otherwise.
    plain = [re.sub(r"[`*_<>\[\]$\\]", " ", legible(each, 300)) for each in said]
    return f"Graded again on request ({'; '.join(plain)})." if plain else ""


def unknown(root: Path, assignment: str, known: Collection[str]) -> list[str]:
    """What was granted to somebody who is none of the known students: a slip of the pen, often."""
    lines = [(EXTENSIONS, one.line, one.student) for one in extensions(root) or []]
    lines += [(REGRADES, one.line, one.student) for one in regrades(root, assignment, [])]
    return [
        f"{name}, line {line}: nobody here is called {student}"
        for name, line, student in lines
        if student not in known
    ]


def _who_and_what(table: Table, row: Row) -> tuple[str, str]:
    student, assignment = (_cell(table, row, column) for column in ("student", "assignment"))
    if not re.fullmatch(NAME, student):
        raise table.error(row, f"{student!r} is no student: write the name of a folder there")
    if assignment != EVERY and not re.fullmatch(NAME, assignment):
        raise table.error(row, f"{assignment!r} is no assignment: write 01-gaussians, say")
    return student, assignment


def _cell(table: Table, row: Row, column: str) -> str:
    optional = column in ("due", "days", "part")
    if optional and column not in [each.strip().casefold() for each in table.header]:
        return ""
    return row.cells[table.column(column)].strip()


def _time(table: Table, row: Row, text: str) -> datetime | None:
    if not text:
        return None
    try:
        return when(text)
    except (ValueError, OverflowError):
        raise table.error(row, f"{text!r} is no time: write {FORMS}") from None


def _days(table: Table, row: Row, text: str) -> float:
    if not text:
        return 0.0
    try:
        days = float(text.replace(",", "."))
    except ValueError:
        days = -1.0
    if not 0 < days <= MOST_DAYS:
        raise table.error(row, f"{text!r} is no number of days, from 0 to {MOST_DAYS:g}")
    return days
