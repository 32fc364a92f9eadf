"""Who is in the class, from a learning platform's table, and their grades back into that table.

Three tables are known by their columns: Canvas's gradebook, and of Moodle the grades of the whole
course and the worksheet of one assignment. What comes back has the platform's own form, with one
column filled, for the platform to import.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from .collect import NAME
from .table import Row, Table, TableError

LONGEST = 60  # letters of a student's name in the gradebook
KEPT = ("EX", "N/A")  # in Canvas: excused, and not given this assignment


class Platform(NamedTuple):
    """How to know a platform's table, and which of its columns say what."""

    name: str
    needs: tuple[str, ...]  # columns by which it is known
    key: str  # the column that says which student a submission is of
    last: tuple[str, ...]
    first: tuple[str, ...]
    email: str
    grade: str  # the column for grades, where its name is always the same
    maximum: str  # the column that says for each student how many points there are


PLATFORMS = (
    # ID is Canvas's own number of a student, which stands in the names of downloaded files.
    Platform("Canvas", ("Student", "ID", "Section"), "ID", ("Student",), (), "", "", ""),
    Platform("Canvas", ("LastName", "FirstName", "ID", "Section"), "ID", ("LastName",),
             ("FirstName",), "", "", ""),
    Platform("Moodle's worksheet", ("Identifier", "Full name", "Grade"), "Identifier",
             ("Full name",), (), "Email address", "Grade", "Maximum grade"),
    Platform("Moodle", ("First name", "Email address"), "Email address",
             ("Surname", "Last name"), ("First name",), "Email address", "", ""),
)  # fmt: skip


class Person(NamedTuple):
    """A student in the class; `student` is the name in the gradebook and of the folders."""

    student: str
    first: str
    last: str
    email: str
    row: Row


class Filled(NamedTuple):
    """A table with grades in it, and what was not filled: for people to read."""

    table: Table
    written: list[str]
    notes: list[str]


def platform_of(table: Table) -> Platform:
    """The platform that a table is of. Raises TableError."""
    there = {each.strip().casefold() for each in table.header}
    for platform in PLATFORMS:
        if all(name.casefold() in there for name in platform.needs):
            return platform
    shapes = "; ".join(f"{each.name}: {', '.join(each.needs)}" for each in PLATFORMS)
    raise table.error(None, f"these are no platform's columns, in English ({shapes})")


def people(table: Table, by: str = "") -> list[Person]:
    """Each student of the class, known by the column `by` or else the platform's usual one.

    Raises TableError for a student without a name in that column, or two with one.
    """
    platform = platform_of(table)
    key = by or platform.key
    at, found, lines = table.column(key), list[Person](), dict[str, int]()
    for row in table.rows:
        if _is_no_student(platform, row):
            continue
        student = row.cells[at].strip()
        if platform.needs[0] == "Identifier" and key == "Identifier":
            student = student.rpartition(" ")[2]  # Participant 4711
        if not student:
            raise table.error(row, f"no {key} here: name another column with --by")
        if not re.fullmatch(NAME, student) or len(student) > LONGEST:
            what = f"{student!r} cannot be a folder's name: name another column with --by"
            raise table.error(row, what)
        if (other := lines.setdefault(student.casefold(), row.line)) != row.line:
            what = f"{student!r} stands in line {other} already: take one of the two out"
            raise table.error(row, what)
        first, last = (_first_of(table, row, names) for names in (platform.first, platform.last))
        if not first and platform.last in (("Student",), ("Full name",)):
            first, last = _split(last)
        found.append(Person(student, first, last, _first_of(table, row, (platform.email,)), row))
    if not found:
        raise table.error(None, "there is no student below the columns' names")
    return found


def fill(
    table: Table,
    by: str,
    column: str,
    scores: Mapping[str, float],
    maximum: float,
    scale: bool = False,
) -> Filled:
    """The table with each student's score in one column, in the form that the platform imports.

    `scores` holds those whose score is final; every other cell stays as it was. Of Canvas's table
    only this column and those that say who somebody is are kept, so that no other grade changes.
    Raises TableError where the platform counts other points than `maximum`, unless `scale`.
    """
    platform, written, notes = platform_of(table), list[str](), list[str]()
    at = table.column(column)
    if column.strip().casefold() in {name.casefold() for name in _about(table, platform)}:
        raise table.error(None, f"{column!r} says who a student is: name the column of the grades")
    full = None
    for row in table.rows:
        if platform.name == "Canvas" and "Points Possible" in row.cells[0]:
            full = _number(table, row, row.cells[at])
    rows, known = {row.line: row for row in table.rows}, set[str]()
    for person in people(table, by):
        student, row = person.student, person.row
        known.add(student)
        if student not in scores:
            continue
        if row.cells[at].strip().upper() in KEPT:
            notes.append(f"{student}: {row.cells[at].strip()} was left as it is")
            continue
        of = full
        if platform.maximum and platform.maximum.casefold() in map(str.casefold, table.header):
            of = _number(table, row, row.cells[table.column(platform.maximum)])
        points = scores[student]
        if of is not None and of != maximum:
            if not scale:
                what = f"{platform.name} counts {of:g} points and the assignment has {maximum:g}: "
                raise table.error(row, what + "change them there, or add --scale")
            points *= of / maximum
        cells = [*row.cells]
        cells[at] = f"{points:.2f}".rstrip("0").rstrip(".")
        rows[row.line] = Row(row.line, cells)
        written.append(student)
    if lost := sorted(set(scores) - known):
        notes.append(f"graded, but not in {table.name}: {', '.join(lost)}")
    filled = table._replace(rows=list(rows.values()))
    if platform.name == "Canvas":
        kept = [*map(table.column, _about(table, platform)), at]
        filled = filled._replace(
            header=[table.header[k] for k in kept],
            rows=[Row(row.line, [row.cells[k] for k in kept]) for row in filled.rows],
        )
    return Filled(filled, written, notes)


def column_for(table: Table, assignment: str) -> str:
    """The column of an assignment's grades: the only one in whose name it stands."""
    platform = platform_of(table)
    if platform.grade:
        return platform.grade
    title = re.sub(r"^\d+\W", "", assignment)  # a teacher may have called 01-gaussians Gaussians
    for wanted in (assignment, title):
        found = [each for each in table.header if wanted.casefold() in each.casefold()]
        if len(found) == 1:
            return found[0]
    raise table.error(None, f"which column is for {assignment}? Name it with --column")


def _about(table: Table, platform: Platform) -> list[str]:
    """The columns that say who somebody is; in Canvas those up to the section."""
    if platform.name == "Canvas":
        return table.header[: table.column("Section") + 1]
    named = (platform.key, *platform.first, *platform.last, platform.email, platform.maximum)
    return [name for name in named if name]


def _is_no_student(platform: Platform, row: Row) -> bool:
    """Canvas's rows about points and hidden grades, and its made-up student."""
    if platform.name != "Canvas":
        return False
    name = row.cells[0].strip()
    return "Points Possible" in name or not name or name == "Student, Test"


def _first_of(table: Table, row: Row, names: tuple[str, ...]) -> str:
    there = {each.strip().casefold(): at for at, each in enumerate(table.header)}
    places = [there[name.casefold()] for name in names if name.casefold() in there]
    return row.cells[places[0]].strip()[:128] if places else ""


def _split(name: str) -> tuple[str, str]:
    """First and last name: Canvas writes `Last, First`, Moodle's worksheet `First Last`."""
    if "," in name:
        last, _, first = name.partition(",")
        return first.strip(), last.strip()
    first, _, last = name.rpartition(" ")
    return first.strip(), last.strip()


def _number(table: Table, row: Row, cell: str) -> float | None:
    """A number with a point or a comma; None for an empty cell. Raises TableError."""
    if not cell.strip():
        return None
    try:
        return float(cell.strip().replace(",", "."))
    except ValueError:
        raise table.error(row, f"{cell.strip()!r} should be a number of points") from None


__all__ = ["Filled", "Person", "Platform", "TableError", "column_for", "fill", "people"]
