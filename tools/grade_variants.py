"""Grade answers that are known to be wrong or right, and see that each gets what it deserves.

    python tools/grade_variants.py [--write] [ASSIGNMENT ...]

For every part of every assignment there are answers in tests/coursework/: wrong ones, taken from
real mistakes, and right ones in other styles. A wrong answer must lose the points of its part and
be told its own hint; a right one must lose no point anywhere. Prints one line for each part, and
fails if a single answer got something else. With --write, the table goes into INSTRUCTORS.md too.
"""

import argparse
import importlib
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib import pyplot as plt
from tqdm import tqdm

from ddpm_tutorial.machine import cores

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "book/assignments/INSTRUCTORS.md"
BEGIN, END = "<!-- answers: begin -->\n", "<!-- answers: end -->"
sys.path[:0] = [str(ROOT / each) for each in ("tools", "tests/coursework", "book/assignments")]

from draft import run_cell  # noqa: E402
from grading.cells import Cell, read_cells  # noqa: E402
from variants import SOURCES, Variant, variants_of  # noqa: E402

WRONG, RIGHT = 6, 3  # at least so many of each for every part


def assignments() -> list[str]:
    """The names of all assignments, in order."""
    return sorted(path.parent.name for path in SOURCES.glob("*/*.ipynb"))


@cache
def cells_of(assignment: str) -> list[Cell]:
    """The code cells of the instructor's version."""
    return read_cells(SOURCES / assignment / f"{assignment}.ipynb")


@cache
def answers_to(assignment: str) -> list[Variant]:
    """The wrong and right answers to all of its parts."""
    return variants_of(importlib.import_module(f"variants_{assignment.replace('-', '_')}"))


def points_lost(cells: list[Cell], variant: Variant | None, parts: list[str]) -> dict[str, str]:
    """Run the notebook with one answer exchanged: for each part that lost its points, why.

    Cells that only show something are left out where a single part is tested.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    lost = {}
    for cell in cells:
        if cell.kind == "test":
            if cell.part in parts:
                said = complaint(cell.source, dict(namespace))
                if said is not None:
                    lost[cell.part] = said
            if cell.part == parts[-1]:
                break
            continue
        if cell.kind == "free" and len(parts) == 1:
            continue
        run_cell(cell.source, namespace)
        if variant is not None and cell.kind == "answer" and cell.part == variant.part:
            run_cell(variant.source, namespace)
    plt.close("all")
    return lost


def verdict(assignment: str, number: int) -> str | None:
    """What is wrong with how an answer is graded; None if nothing is."""
    cells, variant = cells_of(assignment), answers_to(assignment)[number]
    parts = [cell.part for cell in cells if cell.kind == "test"]
    if variant.part not in parts:
        return f"there is no part {variant.part!r}"
    if variant.hint is None:
        lost = points_lost(cells, variant, parts[parts.index(variant.part) :])
        return f"a right answer lost points: {lost}" if lost else None
    lost = points_lost(cells, variant, [variant.part])
    if not lost:
        return "a wrong answer kept its points"
    if variant.hint not in lost[variant.part]:
        return f"expected the hint {variant.hint!r}, got {lost[variant.part]!r}"
    return None


def table(verdicts: dict[str, list[str | None]]) -> str:
    """One row for each part: how many of its answers got what they deserve."""
    rows = ["| assignment | part | points | wrong: caught, with their hint | right: kept |"]
    rows.append("|---|---|---|---|---|")
    for assignment, found in verdicts.items():
        for cell in cells_of(assignment):
            if cell.kind == "test":
                wrong, right = (
                    f"{sum(good)} of {len(good)}" for good in _by_kind(assignment, cell.part, found)
                )
                rows.append(f"| {assignment} | {cell.part} | {cell.points:g} | {wrong} | {right} |")
    return "\n".join(rows)


def failures(assignment: str, found: list[str | None]) -> list[str]:
    """In words: answers that got something else than they deserve, and parts with too few."""
    cells = cells_of(assignment)
    tests = [cell.part for cell in cells if cell.kind == "test"]
    lost = points_lost(cells, None, tests)
    said = [f"{assignment}, {part}: the solution fails: {why}" for part, why in lost.items()]
    for variant, complaint in zip(answers_to(assignment), found, strict=True):
        if complaint is not None:
            said.append(f"{assignment}, {variant.part}, {variant.name} {complaint}")
    for part in tests:
        wrong, right = _by_kind(assignment, part, found)
        if len(wrong) < WRONG or len(right) < RIGHT:
            said.append(f"{assignment}, {part}: fewer than {WRONG} wrong or {RIGHT} right answers")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into INSTRUCTORS.md")
    parser.add_argument("assignments", nargs="*", default=assignments())
    arguments = parser.parse_args()
    todo: list[tuple[Any, ...]] = [
        (name, k) for name in arguments.assignments for k in range(len(answers_to(name)))
    ]
    done = on_all_cores(verdict, todo)
    verdicts: dict[str, list[str | None]] = {name: [] for name in arguments.assignments}
    for (name, _), complaint in zip(todo, done, strict=True):
        verdicts[name].append(complaint)
    print(table(verdicts))
    if arguments.write:
        write_table(BEGIN, END, table(verdicts))
    if said := [line for name, found in verdicts.items() for line in failures(name, found)]:
        raise SystemExit("\n".join(["", *said]))
    print("\nEvery wrong answer lost its points and was told why; no right answer lost any.")


def on_all_cores(
    grade: Callable[..., Any], todo: list[tuple[Any, ...]], jobs: int | None = None
) -> list[Any]:
    """What `grade` gives for each assignment, number and what else it takes, in their order."""
    matplotlib.use("agg")
    torch.set_num_threads(1)  # one for each of the processes
    context: Any = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs or cores(), mp_context=context) as pool:
        return list(tqdm(pool.map(grade, *zip(*todo, strict=True)), total=len(todo)))


def between(begin: str, end: str) -> str:
    """What stands between two marks of INSTRUCTORS.md."""
    return GUIDE.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]


def write_table(begin: str, end: str, text: str) -> None:
    """Put a table between two marks of INSTRUCTORS.md; rows of assignments that it lacks stay."""
    text = merged(between(begin, end), text)
    before, _, rest = GUIDE.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    GUIDE.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")


def merged(old: str, new: str) -> str:
    """A table with the rows of a newer one for its assignments, and its own for the others."""
    rows = new.splitlines()
    renewed = {_assignment(row) for row in rows}
    kept = [row for row in old.splitlines()[2:] if _assignment(row) not in renewed]
    return "\n".join(rows[:2] + sorted(kept + rows[2:], key=_assignment))


def _assignment(row: str) -> str:
    return row.split("|")[1].strip()


def _by_kind(assignment: str, part: str, found: list[str | None]) -> tuple[list[bool], list[bool]]:
    """For the wrong and for the right answers to a part: whether each got what it deserves."""
    pairs = zip(answers_to(assignment), found, strict=True)
    here = [(answer.hint, said is None) for answer, said in pairs if answer.part == part]
    return [good for hint, good in here if hint], [good for hint, good in here if hint is None]


def complaint(source: str, namespace: dict[str, Any]) -> str | None:
    """Run a cell: what it raises, with the hint if it has one; None if it raises nothing."""
    try:
        run_cell(source, namespace)
    except Exception as error:
        hint = getattr(error, "hint", None)
        return f"{type(error).__name__}: {error}" + (f" Hint: {hint}" if hint else "")
    return None


if __name__ == "__main__":
    main()
