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
import copy
import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import grade_variants
from grade_variants import ROOT, assignments, cells_of, points_lost
from variants import Variant

from ddpm_tutorial.machine import cores

ASIDE = json.loads((ROOT / "tests/coursework/mutants.json").read_text(encoding="utf-8"))
BEGIN, END = "<!-- mutants: begin -->\n", "<!-- mutants: end -->"
SECONDS = {"04-training": 40}  # of processor time for one mutant; 15 elsewhere
SHARE = 0.99
LONG = {"train", "sampler"}  # a mutant of these takes a quarter of a minute: only with --long
Edit = Callable[[], None]
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


def edits(tree: ast.AST) -> Iterator[tuple[str, Edit]]:
    """What can be done to a tree, each as words and as a function that does it."""
    names = sorted({n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - {"torch", "math"})
    names += sorted({n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)} - set(names))
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for field, at, child in pieces(node):
            for words, new in replacements(child, names):
                yield f"{line}: {words}", lambda n=node, f=field, a=at, w=new: put(n, f, a, w)
        if isinstance(node, ast.Call) and node.keywords:
            for at, word in enumerate(node.keywords):
                yield f"{line}: without {ast.unparse(word)}", lambda n=node, a=at: n.keywords.pop(a)
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            for at, statement in enumerate(block if isinstance(block, list) else []):
                if isinstance(statement, ast.Expr | ast.AugAssign) and not isinstance(
                    statement.value, ast.Constant
                ):
                    yield (
                        f"{statement.lineno}: without {ast.unparse(statement)}",
                        lambda b=block, a=at: put_in(b, a, ast.Pass()),
                    )


def pieces(node: ast.AST) -> Iterator[tuple[str, int | None, Any]]:
    """What a node is made of: the field, the place in it if it is a list, and what stands there."""
    for field, value in ast.iter_fields(node):
        for at, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            yield field, at, child


def changed_by(
    way: Callable[[ast.AST], Iterator[tuple[str, Edit]]], tree: ast.AST
) -> Iterator[tuple[str, ast.AST]]:
    """For each single edit that a way has for a tree: its words, and a copy that it was done to."""
    for number in range(sum(1 for _ in way(tree))):
        changed = copy.deepcopy(tree)
        words, edit = list(way(changed))[number]
        edit()
        yield words, ast.fix_missing_locations(changed)


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


def put(node: ast.AST, field: str, at: int | None, new: ast.AST) -> None:
    """Set a field, or an entry of one that is a list."""
    if at is None:
        setattr(node, field, new)
    else:
        put_in(getattr(node, field), at, new)


def put_in(block: list[Any], at: int, new: ast.AST) -> None:
    """Set an entry of a list."""
    block[at] = new


@cache
def mutants(assignment: str) -> list[Variant]:
    """All that differ from the solution in their text, part by part."""
    found = []
    for cell in cells_of(assignment):
        if cell.kind == "answer":
            tree, seen = ast.parse(cell.source), {ast.unparse(ast.parse(cell.source))}
            times: Counter[str] = Counter()
            for words, changed in changed_by(edits, tree):
                times[words] += 1
                if times[words] > 1:  # the same words at another place of the line
                    words = f"{words} (place {times[words]})"
                source = ast.unparse(changed)
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


def table(rows: list[str]) -> str:
    """With its head, and the assignments in their order."""
    head = ["| assignment | part | mutants | set aside | caught |", "|---|---|---|---|---|"]
    return "\n".join(head + sorted(rows, key=_assignment))


def merged(old: str, rows: list[str]) -> str:
    """A table with new rows for their assignments, and its own for the others."""
    new = {_assignment(row) for row in rows}
    kept = [row for row in old.strip().splitlines()[2:] if _assignment(row) not in new]
    return table(kept + rows)


def _assignment(row: str) -> str:
    return row.split("|")[1].strip()


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
    print(table(rows_of(outcome)))
    judged = caught = 0
    for name, graded in outcome.items():
        for mutant, still in graded:
            if set_aside(name, mutant) is None:
                judged, caught = judged + 1, caught + (not still)
                if still:
                    print(f"{name} {mutant.part}: {mutant.name}")
    print(f"\n{caught} of {judged} lost their points ({caught / judged:.1%}).")
    if arguments.write and arguments.every == 1:
        rows = merged(grade_variants.between(BEGIN, END), rows_of(outcome))
        grade_variants.write_between(BEGIN, END, rows)
    if caught < SHARE * judged:
        raise SystemExit(f"fewer than {SHARE:.0%} were caught")


def _stop(*_: object) -> None:
    raise TimeoutError("it takes too long")


if __name__ == "__main__":
    main()
