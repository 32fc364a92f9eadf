"""Grade answers whose authors knew neither the tests nor the hints, and say how the grader did.

    python tools/grade_holdout.py [--set N] [--write] [--show] [ASSIGNMENT ...]

tests/coursework/holdout/N/NAME.json holds answers to assignment NAME, written from the student's
file alone: the part, whether it is right, what is wrong with it in the author's words, and its
source.
Three figures are printed for each assignment: how many of the right answers keep all points, how
many of the wrong ones lose the points of their part, and how many of these are told more than that
two numbers differ or that Python raised something. With --show, each answer that is graded wrongly
and each message is printed too; with --write, the figures go into INSTRUCTORS.md.

Who writes tests or hints does not read the newest set: it measures only as long as nobody aims at
it. Once there is a newer one, a set is known like all other answers: `make test` holds that each
right one keeps its points and each wrong one loses them.
"""

import argparse
import json
import re
from functools import cache
from typing import NamedTuple

from grade_variants import ROOT, Variant, cells_of, on_all_cores, points_lost, write_table

HOLDOUT = ROOT / "tests/coursework/holdout"
NEWEST = max(int(path.name) for path in HOLDOUT.iterdir())
BEGIN, END = "<!-- holdout: begin -->\n", "<!-- holdout: end -->"
TWO_NUMBERS = re.compile(
    r"Wrong: (result \d of \d: )?the answer is \S+ where \S+ is right \(entry [^)]*\)$"
)


class Answer(NamedTuple):
    """One answer of a holdout, as its author has put it down."""

    part: str
    kind: str  # "right" or "wrong"
    mistake: str
    source: str


@cache
def answers_to(assignment: str, which: int) -> list[Answer]:
    """All of a set, in the order of the file; none where the set has no such file."""
    path = HOLDOUT / str(which) / f"{assignment}.json"
    text = path.read_text(encoding="utf-8") if path.exists() else "[]"
    return [Answer(**each) for each in json.loads(text)]


def graded(assignment: str, number: int, which: int, alone: bool = False) -> dict[str, str]:
    """For each part that loses its points: what the student is told.

    A right answer must cost no points in any part; with `alone`, only its own is tested.
    """
    cells, answer = cells_of(assignment), answers_to(assignment, which)[number]
    parts = [cell.part for cell in cells if cell.kind == "test"]
    whole = answer.kind == "right" and not alone
    asked = parts[parts.index(answer.part) :] if whole else [answer.part]
    variant = Variant(answer.part, None, answer.mistake, answer.source)
    try:
        return points_lost(cells, variant, asked)
    except Exception as error:  # the answer's cell itself does not run
        return {answer.part: f"{type(error).__name__}: {error}"}


def told(message: str) -> bool:
    """Whether it says more than that two numbers differ, or that Python raised something."""
    said = message.startswith(("Wrong: ", "AssertionError: "))
    return said and not TWO_NUMBERS.match(message)


def table(which: int, found: dict[str, list[dict[str, str]]]) -> str:
    """One row for each assignment, and one for all."""
    rows = [
        "| assignment | right answers that keep all points | wrong ones that lose them "
        "| of these, told how |",
        "|---|---|---|---|",
    ]
    sums = [0] * 6
    for name, outcomes in found.items():
        pairs = list(zip(answers_to(name, which), outcomes, strict=True))
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
    parser.add_argument("--set", type=int, default=NEWEST, help="which; the newest if not given")
    parser.add_argument("assignments", nargs="*")
    arguments = parser.parse_args()
    if arguments.write and arguments.assignments:
        parser.error("--write has a row for all assignments: name none")
    every = sorted(path.stem for path in (HOLDOUT / str(arguments.set)).glob("*.json"))
    todo = [
        (name, k, arguments.set)
        for name in arguments.assignments or every
        for k in range(len(answers_to(name, arguments.set)))
    ]
    found: dict[str, list[dict[str, str]]] = {}
    for (name, number, which), lost in zip(todo, on_all_cores(graded, todo), strict=True):
        found.setdefault(name, []).append(lost)
        if arguments.show:
            answer = answers_to(name, which)[number]
            print(f"{name}, {answer.part}, {answer.kind}: {answer.mistake}\n    {lost}")
    print(table(arguments.set, found))
    if arguments.write:
        write_table(BEGIN, END, table(arguments.set, found))


if __name__ == "__main__":
    main()
