"""Sort what a learning platform exports into the students' folders.

    python collect.py ASSIGNMENT

Reads downloaded/ASSIGNMENT/archive/, writes submitted/STUDENT/ASSIGNMENT/, and prints a line for
each student. What is odd is named, put into downloaded/ASSIGNMENT/odd/, and stops nobody else.
"""

import argparse
import re
from pathlib import Path

from grade import course, one_line
from grading.collect import NAME, Form, collect
from nbgrader.coursedir import CourseDirectory


def main() -> None:
    """Collect, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assignment")
    assignment = parser.parse_args().assignment
    config = course()
    root = Path(CourseDirectory(config=config).root)
    archive = root / "downloaded" / assignment / "archive"
    if not re.fullmatch(NAME, assignment):
        raise SystemExit(f"{assignment} is no name of an assignment: give 01-gaussians, say")
    if not archive.is_dir() or not any(archive.iterdir()):
        raise SystemExit(f"there is nothing in {archive}: put your platform's export there")
    form = Form(config.Collect.prefixes, config.Collect.time, config.Collect.zone)
    outcomes = collect(root, assignment, form)
    taken = [outcome for outcome in outcomes if outcome.taken]
    for outcome in outcomes:
        when = f"{outcome.time:%Y-%m-%d %H:%M} UTC" if outcome.time else "no time"
        what = when if outcome.taken else "SET ASIDE"
        print(f"{one_line(outcome.who):20} {what:22} {one_line('; '.join(outcome.notes))}".rstrip())
    if len({outcome.time is None for outcome in taken}) > 1:
        print(
            "Some names have a time and some have none. If your platform puts none, the times are "
            "the students' own: see nbgrader_config.py."
        )
    odd = len(outcomes) - len(taken)
    print(
        f"{len(taken)} collected, {odd} set aside" + (f": see {archive.parent}/odd" if odd else "")
    )


if __name__ == "__main__":
    main()
