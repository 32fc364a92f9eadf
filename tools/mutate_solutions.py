"""Spoil the model answers of the assignments, one place at a time, and see that points are lost.

    python tools/mutate_solutions.py [--write] [--every N] [--long] [ASSIGNMENT ...]

A mutant differs from the solution in one operator, constant, index, name, keyword or call. Each is
graded in this process, as tools/grade_variants.py grades, for at most some seconds of processor
time. What is equivalent, so that no test could tell, is set aside in tests/coursework/mutants.json,
with the reason. Of the rest, 99 in 100 have to lose the points of their part. `--every N` takes
every Nth only; `--write` puts the rows of these assignments into the table of INSTRUCTORS.md.
"""

import argparse
import ast
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import grade_variants
from grade_variants import ROOT, assignments, cells_of, points_lost
from variants import Variant

from ddpm_tutorial.machine import cores

ASIDE = json.loads((ROOT / "tests/coursework/mutants.json").read_text(encoding="utf-8"))
BEGIN, END = "<!-- mutants: begin -->\n", "<!-- mutants: end -->"
SECONDS = {"04-training": 40}  # of processor time for one mutant; 15 elsewhere
SHARE = 0.99
LONG = {"train", "sampler"}  # a mutant of these takes a quarter of a minute: only with --long
SWAPS: dict[type, list[Any]] = {
    ast.Add: [ast.Sub()],
    ast.Sub: [ast.Add()],
    ast.Mult: [ast.Div()],
    ast.Div: [ast.Mult(), ast.FloorDiv()],
    ast.FloorDiv: [ast.Div()],
    ast.Pow: [ast.Mult()],
    ast.MatMult: [ast.Mult()],
    ast.Gt: [ast.GtE(), ast.Lt()],
    ast.Lt: [ast.LtE(), ast.Gt()],
    ast.GtE: [ast.Gt()],
    ast.LtE: [ast.Lt()],
    ast.Eq: [ast.NotEq()],
}


class Edit(NamedTuple):
    """One change, in words: what a field of a node is to hold."""

    words: str
    node: ast.AST
    field: str
    value: Any


def edits(tree: ast.AST) -> Iterator[Edit]:
    """What can be done to a tree."""
    names = sorted({n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - {"torch", "math"})
    names += sorted({n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)} - set(names))
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for edit in exchanges(node, lambda piece: replacements(piece, names)):
            yield edit._replace(words=f"{line}: {edit.words}")
        if isinstance(node, ast.Call):
            for at, word in enumerate(node.keywords):
                others = node.keywords[:at] + node.keywords[at + 1 :]
                yield Edit(f"{line}: without {ast.unparse(word)}", node, "keywords", others)
        for edit in exchanges(node, omission):
            if edit.field in ("body", "orelse"):
                yield edit


def exchanges(node: ast.AST, others: Callable[[Any], Iterator[tuple[str, Any]]]) -> Iterator[Edit]:
    """For each piece of a node, what may stand in its place: `others` gives words and the piece."""
    for field, held in ast.iter_fields(node):
        for at, piece in enumerate(held) if isinstance(held, list) else [(None, held)]:
            for words, new in others(piece):
                value = new if at is None else [*held[:at], new, *held[at + 1 :]]
                yield Edit(words, node, field, value)


def omission(statement: Any) -> Iterator[tuple[str, ast.AST]]:
    """Nothing in the place of a statement that is a call or adds to something."""
    called = isinstance(statement, ast.Expr | ast.AugAssign)
    if called and not isinstance(statement.value, ast.Constant):
        yield f"{statement.lineno}: without {ast.unparse(statement)}", ast.Pass()


def spoilt(tree: ast.AST, way: Callable[[ast.AST], Iterator[Edit]]) -> Iterator[tuple[str, str]]:
    """For each single edit that a way has for a tree: its words, and the source that it makes."""
    for words, node, field, value in list(way(tree)):
        was = getattr(node, field)
        setattr(node, field, value)
        yield words, ast.unparse(tree)
        setattr(node, field, was)


def replacements(child: Any, names: list[str]) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in the place of a piece."""
    if not isinstance(child, ast.AST):
        return
    was = ast.unparse(child) if isinstance(child, ast.expr) else type(child).__name__
    for new in SWAPS.get(type(child), []):
        yield f"{was} -> {type(new).__name__}", new
    if isinstance(child, ast.UnaryOp) and isinstance(child.op, ast.USub):
        yield f"{was} without its sign", child.operand
    value = child.value if isinstance(child, ast.Constant) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        for other in sorted({value + 1, value - 1, 2 * value, 0} - {value}):
            yield f"{was} -> {other}", ast.Constant(other)
    if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load):
        for name in names:
            if name != child.id and was not in ("torch", "math"):
                yield f"{was} -> {name}", ast.Name(name, ast.Load())
    if isinstance(child, ast.Call):
        inner = child.func.value if isinstance(child.func, ast.Attribute) else None
        if inner is not None and ast.unparse(inner) not in ("torch", "math", "torch.optim"):
            yield f"{was} -> {ast.unparse(inner)}", inner  # x.sqrt() becomes x
        elif child.args:
            yield f"{was} -> {ast.unparse(child.args[0])}", child.args[0]
    if isinstance(child, ast.IfExp):
        yield f"{was} -> its first", child.body
        yield f"{was} -> its second", child.orelse
    if isinstance(child, ast.BinOp):
        yield f"{was} -> {ast.unparse(child.left)}", child.left
        yield f"{was} -> {ast.unparse(child.right)}", child.right


@cache
def mutants(assignment: str) -> list[Variant]:
    """All that differ from the solution in their text, part by part."""
    found = []
    for cell in cells_of(assignment):
        if cell.kind == "answer":
            tree = ast.parse(cell.source)
            seen = {ast.unparse(tree)}
            times: Counter[str] = Counter()
            for words, source in spoilt(tree, edits):
                times[words] += 1
                if times[words] > 1:  # the same words at another place of the line
                    words = f"{words} (place {times[words]})"
                if source not in seen:
                    seen.add(source)
                    found.append(Variant(cell.part, "", words, source))
    return found


def survives(assignment: str, number: int) -> bool:
    """Whether a mutant keeps the points of its part. One that takes too long loses them."""
    mutant = mutants(assignment)[number]
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS.get(assignment, 15))
    try:
        return not points_lost(cells_of(assignment), mutant, [mutant.part])
    except Exception:  # in a cell that looks at the answer, before the test
        return False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def rows_of(outcome: dict[str, list[tuple[Variant, bool]]]) -> list[str]:
    """One row for each part."""
    rows = []
    for assignment, graded in outcome.items():
        for part in dict.fromkeys(mutant.part for mutant, _ in graded):
            here = [pair for pair in graded if pair[0].part == part]
            judged = [alive for mutant, alive in here if not set_aside(assignment, mutant)]
            aside, caught = len(here) - len(judged), len(judged) - sum(judged)
            rows.append(
                f"| {assignment} | {part} | {len(here)} | {aside} | {caught} of {len(judged)} |"
            )
    return rows


def table(outcome: dict[str, list[tuple[Variant, bool]]]) -> str:
    """With its head."""
    head = ["| assignment | part | mutants | set aside | caught |", "|---|---|---|---|---|"]
    return "\n".join(head + rows_of(outcome))


def set_aside(assignment: str, mutant: Variant) -> str | None:
    """The reason why a mutant is as right as the solution; None if it is not."""
    found: dict[str, str] = ASIDE.get(f"{assignment} {mutant.part}", {})
    return found.get(mutant.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into INSTRUCTORS.md")
    parser.add_argument(
        "--long", action="store_true", help=f"take {' and '.join(sorted(LONG))} as well"
    )
    parser.add_argument("--every", type=int, default=1, help="take every Nth mutant only")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes at a time")
    parser.add_argument("assignments", nargs="*", default=assignments())
    arguments = parser.parse_args()
    todo = [
        (name, k)
        for name in arguments.assignments
        for k in range(0, len(mutants(name)), arguments.every)
        if arguments.long or mutants(name)[k].part not in LONG
    ]
    alive = grade_variants.on_all_cores(survives, todo, arguments.jobs)
    outcome: dict[str, list[tuple[Variant, bool]]] = {}
    for (name, k), still in zip(todo, alive, strict=True):
        outcome.setdefault(name, []).append((mutants(name)[k], still))
    print(table(outcome))
    judged = caught = 0
    for name, graded in outcome.items():
        for mutant, still in graded:
            if set_aside(name, mutant) is None:
                judged, caught = judged + 1, caught + (not still)
                if still:
                    print(f"{name} {mutant.part}: {mutant.name}")
    print(f"\n{caught} of {judged} lost their points ({caught / judged:.1%}).")
    if arguments.write and arguments.every == 1:
        grade_variants.write_table(BEGIN, END, table(outcome))
    if caught < SHARE * judged:
        raise SystemExit(f"fewer than {SHARE:.0%} were caught")


def _stop(*_: object) -> None:
    raise TimeoutError("it takes too long")


if __name__ == "__main__":
    main()
