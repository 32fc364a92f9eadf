"""Take the class from a learning platform's table, and put the grades back into it.

    python roster.py enrol TABLE.csv ASSIGNMENT [--by COLUMN]
    python roster.py fill TABLE.csv ASSIGNMENT [--by COLUMN] [--column COLUMN] [--scale]

TABLE.csv is what Canvas's gradebook exports, or Moodle's grades, or Moodle's grading worksheet of
one assignment. `enrol` enters the students into the gradebook, and says who has not handed that
assignment in. `fill` writes TABLE-ASSIGNMENT.csv for the platform to import.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from grade import course, one_line
from grading.roster import column_for, fill, people, platform_of
from grading.summary import marks
from grading.table import TableError, read_table, write_table
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory


def enrol(path: Path, by: str, gradebook: Gradebook, submissions: Iterable[Path]) -> None:
    """Enter the students, and say whose submission is of nobody in the class.

    `submissions` are the folders of one assignment, each in that of its student.
    """
    table = read_table(path)
    found = people(table, by)
    for person in found:
        gradebook.update_or_create_student(
            person.student, first_name=person.first, last_name=person.last, email=person.email
        )
    named = {person.student for person in found}
    there = {each.parent.name for each in submissions}
    print(f"{len(found)} students of {platform_of(table).name}, as {found[0].student}, say")
    if strangers := sorted(there - named):
        print(f"in submitted/, but not in {path.name}: {one_line(', '.join(strangers))}")
    if there and (missing := sorted(named - there)):
        print(f"nothing handed in yet: {one_line(', '.join(missing))}")


def put_back(path: Path, gradebook: Gradebook, arguments: argparse.Namespace) -> None:
    """Write the table with the grades of those whose parts are all marked."""
    table, assignment = read_table(path), arguments.assignment
    try:
        most = gradebook.find_assignment(assignment).max_score
    except MissingEntry:
        raise TableError(f"the gradebook has no assignment {assignment}") from None
    found = marks(gradebook, assignment)
    scores = {student: mark.score for student, mark in found.items() if not mark.by_hand}
    if not scores:
        raise TableError(f"nobody's grade of {assignment} is final: python grade.py {assignment}")
    column = arguments.column or column_for(table, assignment)
    filled = fill(table, arguments.by, column, scores, most, arguments.scale)
    to = path.with_name(f"{path.stem}-{assignment}.csv")
    write_table(to, filled.table)
    print(f"{len(filled.written)} grades under {one_line(column.strip())!r} in {to.name}")
    if waiting := sorted(set(found) - set(scores)):
        print(f"not written, as a part waits to be marked by hand: {', '.join(waiting)}")
    for note in filled.notes:
        print(one_line(note))


def main() -> None:
    """Do what is asked for, or say in one line why not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("enrol", "take the class"), ("fill", "put the grades back")):
        command = commands.add_parser(name, help=what)
        command.add_argument("table", type=Path)
        command.add_argument("assignment")
        by = "the column with the names by which submissions are collected"
        command.add_argument("--by", default="", metavar="COLUMN", help=by)
    command.add_argument("--column", default="", help="the column of the grades")
    scale = "turn the points into the platform's where it counts others"
    command.add_argument("--scale", action="store_true", help=scale)
    arguments = parser.parse_args()
    directory = CourseDirectory(config=course())
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        try:
            if arguments.command == "enrol":
                handed_in = Path(directory.root).glob(f"submitted/*/{arguments.assignment}")
                enrol(arguments.table, arguments.by, gradebook, handed_in)
            else:
                put_back(arguments.table, gradebook, arguments)
        except TableError as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
