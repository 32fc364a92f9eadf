"""Grade answers whose authors knew neither the tests nor the hints, and say how the grader did.

    python tools/grade_holdout.py [--write] [--show] [ASSIGNMENT ...]

tests/coursework/holdout/NAME.json holds answers to assignment NAME, written from the student's file
alone: the part, whether it is right, what is wrong with it in the author's words, and its source.
Three figures are printed for each assignment: how many of the right answers keep all points, how
many of the wrong ones lose the points of their part, and how many of these are told more than that
two numbers differ or that Python raised something. With --show, each answer that is graded wrongly
and each message is printed too; with --write, the figures go into INSTRUCTORS.md.

Who writes tests or hints does not read these files: they measure only as long as nobody aims at
them. The next edition gets new ones, and these then become known answers like the others.
"""

import argparse
import json
import re
from typing import NamedTuple

from grade_variants import ROOT, Variant, cells_of, on_all_cores, points_lost, write_between

HOLDOUT = ROOT / "tests/coursework/holdout"
BEGIN, END = "<!-- holdout: begin -->\n", "<!-- holdout: end -->"
TWO_NUMBERS = re.compile(r"Wrong: the answer is \S+ where \S+ is right \(entry [^)]*\)$")


class Answer(NamedTuple):
    """One answer of a holdout, as its author has put it down."""

    part: str
    kind: str  # "right" or "wrong"
    mistake: str
    source: str


def answers_to(assignment: str) -> list[Answer]:
    """All of them, in the order of the file."""
    text = (HOLDOUT / f"{assignment}.json").read_text(encoding="utf-8")
    return [Answer(**each) for each in json.loads(text)]


def graded(assignment: str, number: int) -> dict[str, str]:
    """For each part that loses its points: what the student is told."""
    cells, answer = cells_of(assignment), answers_to(assignment)[number]
    parts = [cell.part for cell in cells if cell.kind == "test"]
    asked = parts if answer.kind == "right" else [answer.part]
    variant = Variant(answer.part, None, answer.mistake, answer.source)
    try:
        return points_lost(cells, variant, asked)
    except Exception as error:  # the answer's cell itself does not run
        return {answer.part: f"{type(error).__name__}: {error}"}


def told(message: str) -> bool:
    """Whether it says more than that two numbers differ, or that Python raised something."""
    return message.startswith("Wrong: ") and not TWO_NUMBERS.match(message)


def table(assignments: list[str], found: dict[str, list[dict[str, str]]]) -> str:
    """One row for each assignment, and one for all."""
    rows = [
        "| assignment | right answers that keep all points | wrong ones that lose them "
        "| of these, told how |",
        "|---|---|---|---|",
    ]
    sums = [0] * 6
    for name in assignments:
        pairs = list(zip(answers_to(name), found[name], strict=True))
        right = [not lost for answer, lost in pairs if answer.kind == "right"]
        wrong = [lost for answer, lost in pairs if answer.kind == "wrong"]
        caught = [message for lost in wrong for message in lost.values()]
        counts = [sum(right), len(right), len(caught), len(wrong), sum(map(told, caught))]
        rows.append(_row(name, [*counts, len(caught)]))
        sums = [one + more for one, more in zip(sums, [*counts, len(caught)], strict=True)]
    return "\n".join([*rows, _row("all", sums)])


def _row(name: str, counts: list[int]) -> str:
    cells = [f"{counts[k]} of {counts[k + 1]}" for k in range(0, 6, 2)]
    return "| " + " | ".join([name, *cells]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into INSTRUCTORS.md")
    parser.add_argument("--show", action="store_true", help="print what was graded, and how")
    every = sorted(path.stem for path in HOLDOUT.glob("*.json"))
    parser.add_argument("assignments", nargs="*", default=every)
    arguments = parser.parse_args()
    todo = [(name, k) for name in arguments.assignments for k in range(len(answers_to(name)))]
    done = on_all_cores(graded, todo)
    found: dict[str, list[dict[str, str]]] = {name: [] for name in arguments.assignments}
    for (name, number), lost in zip(todo, done, strict=True):
        found[name].append(lost)
        if arguments.show:
            answer = answers_to(name)[number]
            print(f"{name}, {answer.part}, {answer.kind}: {answer.mistake}\n    {lost}")
    print(table(arguments.assignments, found))
    if arguments.write:
        write_between(BEGIN, END, table(arguments.assignments, found))


if __name__ == "__main__":
    main()
