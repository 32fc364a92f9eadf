"""Paste the public solutions into variants for a class, and count the points that they lose.

    python tools/paste_solutions.py [--short] [--write] [--names NAME ...] [ASSIGNMENT ...]

For each name, each assignment that has a bank is made as that variant. Its own solution has to
keep all points. The public one, pasted part by part under the names that are asked for, has to lose
at least half of all points, those of parts that a person marks included. Without names, there are
as many as it takes until each choice of the bank was drawn once. --short leaves out the parts that
train a model; --write puts the table of the rest into INSTRUCTORS.md.
"""

import argparse
import ast
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
COURSE = ROOT / "book/assignments"
sys.path[:0] = [str(Path(__file__).parent), str(COURSE)]

from draft import drafted, varied  # noqa: E402
from grade_variants import complaint, write_table  # noqa: E402
from grading.cells import cell_of  # noqa: E402

LONG = {"04-training": {"train"}, "06-network": {"unet"}}  # some twenty seconds each
SHARE = 0.5
BEGIN, END = "<!-- variants: begin -->\n", "<!-- variants: end -->"


class Outcome(NamedTuple):
    """Points in all, points of the parts that were run, and what each of the two lost, with why."""

    points: float
    run: float
    own: dict[str, str]
    pasted: dict[str, str]
    lost: float


def source_of(assignment: str) -> Path:
    """The instructor's notebook."""
    return COURSE / "source" / assignment / f"{assignment}.ipynb"


def bank_of(assignment: str) -> Path:
    """What can be other in it."""
    return COURSE / "bank" / f"{assignment}.py"


def with_banks() -> list[str]:
    """The assignments that have a bank."""
    return sorted(path.stem for path in (COURSE / "bank").glob("*.py"))


def covering(assignment: str) -> list[str]:
    """Names in whose variants each choice of the bank is drawn once, or more often."""
    names, seen, number = list[str](), set[tuple[str, Any]](), 0
    while True:
        number += 1
        draw = drafted(source_of(assignment), bank_of(assignment), f"v{number}")[1]
        if not set(draw.drawn.items()) <= seen:
            names.append(f"v{number}")
            seen |= set(draw.drawn.items())
        if seen == draw.open:
            return names


def lost_by(cells: list[Any], answers: dict[str, str], parts: set[str]) -> dict[str, str]:
    """Run the cells with these answers in the place of their own; each part that fails, and why."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    lost = {}
    for cell in cells:
        if cell.cell_type != "code":
            continue
        kind, part, _, source = cell_of(cell.metadata, cell.source)
        if kind == "test" and part in parts:
            if said := complaint(source, dict(namespace)):
                lost[part] = said
        elif kind in ("given", "answer"):
            complaint(answers.get(part, source) if kind == "answer" else source, namespace)
        plt.close("all")
    return lost


def defined(source: str) -> str:
    """The name of the last function that a cell defines."""
    tree = ast.parse(source)
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)][-1]


def outcome(assignment: str, variant: str, short: bool) -> Outcome:
    """Grade the variant's own solution and the public one."""
    cells = varied(source_of(assignment), bank_of(assignment), variant)[0].cells
    public = varied(source_of(assignment), Path("none"), variant)[0].cells
    whole = sum(float(cell.metadata.get("nbgrader", {}).get("points", 0)) for cell in cells)
    tests = [cell_of(each.metadata, "") for each in cells if each.cell_type == "code"]
    points = {each.part: each.points for each in tests if each.kind == "test"}
    if short:
        points = {part: n for part, n in points.items() if part not in LONG.get(assignment, ())}
    found = [cell_of(each.metadata, each.source) for each in public if each.cell_type == "code"]
    answers = {each.part: each.source for each in found if each.kind == "answer"}
    for cell in (cell_of(each.metadata, each.source) for each in cells if each.cell_type == "code"):
        if cell.kind == "answer" and cell.part in answers:  # under the name that is asked for
            name, asked = defined(answers[cell.part]), defined(cell.source)
            answers[cell.part] += f"\n{asked} = {name}"
    own, pasted = lost_by(cells, {}, set(points)), lost_by(cells, answers, set(points))
    return Outcome(whole, sum(points.values()), own, pasted, sum(points[part] for part in pasted))


def table(found: dict[str, list[Outcome]]) -> str:
    """One row for each assignment: how many variants were tried, and what came of it."""
    rows = ["| assignment | variants tried | their own solutions keep | the public one loses |"]
    rows.append("|---|---|---|---|")
    for assignment, outcomes in found.items():
        kept = sum(not each.own for each in outcomes)
        keep = "all points" if kept == len(outcomes) else f"all points in {kept}"
        least = min(outcomes, key=lambda each: each.lost / each.points)
        most = max(each.lost for each in outcomes)
        lost = f"{least.lost:g}" if most == least.lost else f"{least.lost:g} to {most:g}"
        rows.append(f"| {assignment} | {len(outcomes)} | {keep} | {lost} of {least.points:g} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the table into INSTRUCTORS.md")
    parser.add_argument("--names", nargs="+")
    parser.add_argument("assignments", nargs="*", default=with_banks())
    arguments = parser.parse_args()
    matplotlib.use("agg")
    torch.set_num_threads(1)
    found: dict[str, list[Outcome]] = {}
    wrong = []
    for assignment in arguments.assignments:
        for variant in arguments.names or covering(assignment):
            begun, one = time.monotonic(), outcome(assignment, variant, arguments.short)
            found.setdefault(assignment, []).append(one)
            about = f"{assignment} as {variant}"
            seconds = time.monotonic() - begun
            print(f"{about}: {one.lost:g} of {one.points:g} lost, {seconds:.0f} s", file=sys.stderr)
            wrong += [f"{about}: its own solution loses {p}: {w}" for p, w in one.own.items()]
            if one.lost < SHARE * one.points:
                wrong.append(f"{about}: the public solution loses less than half")
    print(table(found))
    if wrong:
        raise SystemExit("\n".join(["", *wrong]))
    if arguments.write:
        write_table(BEGIN, END, table(found))


if __name__ == "__main__":
    main()
