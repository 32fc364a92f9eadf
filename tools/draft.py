"""A source notebook that is being changed into a variant, and what is drawn for it from a name.

A bank, book/assignments/bank/NAME.py, holds what can be other in the assignment NAME: one function
`vary(draft, draw)`. `draw("what", "this", "that")` chooses by the name of the variant alone, and
each choice by itself: one more in a bank moves none of the others. What is to be changed in the
notebook has to stand there, as often as is said, or else the bank has gone stale, and Stale is
raised.

Numbers that a visible test shows need not be written down. An expression between ⟦ and ⟧ is
computed with the solutions of the variant, and six digits of its value stand in its place. That the
solutions are right is for the hidden tests to say, which compare with something else.
"""

import ast
import contextlib
import hashlib
import io
import re
import runpy
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
from nbformat import NotebookNode
from torch import Tensor

BEGIN, END = "### BEGIN SOLUTION\n", "### END SOLUTION"
HIDDEN = "### BEGIN HIDDEN TESTS"
OPEN, CLOSE = "⟦", "⟧"  # around what `Draft.fill` computes


class Stale(Exception):
    """A bank does not fit its notebook any more: the message says what it looked for."""


class Draw:
    """Chooses, always the same for one name of a variant and one assignment."""

    def __init__(self, variant: str, assignment: str) -> None:
        self.about = f"{variant}/{assignment}"
        self.drawn: dict[str, Any] = {}
        self.open: set[tuple[str, Any]] = set()  # all that could have been drawn

    def __call__(self, what: str, *choices: Any) -> Any:
        """One of the choices; `what` says which question it answers."""
        self.open |= {(what, choice) for choice in choices}
        digest = hashlib.sha256(f"{self.about}/{what}".encode()).digest()
        self.drawn[what] = choices[int.from_bytes(digest[:8], "big") % len(choices)]
        return self.drawn[what]


class Draft:
    """A notebook in the making. Cells go by nbgrader's names, text by what stands in it."""

    def __init__(self, notebook: NotebookNode) -> None:
        self.notebook = notebook

    def cell(self, name: str) -> NotebookNode:
        """The cell of that name."""
        for cell in self.notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") == name:
                return cell
        raise Stale(f"there is no cell {name}")

    def change(self, name: str, *pairs: tuple[str, str], times: int = 1) -> None:
        """In one cell, what is first of a pair becomes what is second."""
        cell = self.cell(name)
        for before, after in pairs:
            cell.source = _replaced(cell.source, before, after, times, f"cell {name}")

    def text(self, *pairs: tuple[str, str]) -> None:
        """The same in the text, where the first stands in one place."""
        self._in_the_one("markdown", pairs)

    def code(self, *pairs: tuple[str, str]) -> None:
        """The same in a code cell that has no name, where the first stands in one place."""
        self._in_the_one("code", pairs)

    def everywhere(self, pattern: str, after: str, but: tuple[str, ...] = ()) -> None:
        """A regular expression in every cell, other than those named in `but`."""
        found = 0
        for cell in self.notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade_id") not in but:
                cell.source, times = re.subn(pattern, after, cell.source)
                found += times
        if not found:
            raise Stale(f"nowhere stands {pattern!r}")

    def pattern(self, names: str, pattern: str, after: str) -> None:
        """A regular expression in the cells named, apart by blanks; each has to hold it."""
        for name in names.split():
            cell = self.cell(name)
            cell.source, times = re.subn(pattern, after, cell.source)
            if not times:
                raise Stale(f"in cell {name} nowhere stands {pattern!r}")

    def solve(self, part: str, solution: str) -> None:
        """Another solution in the place of the present one."""
        cell = self.cell(f"{part}-answer")
        before, begin, rest = cell.source.partition(BEGIN)
        old, end, after = rest.partition(END)
        if not end:
            raise Stale(f"the answer to {part} has no solution")
        lines = [f"    {line}" if line else "" for line in solution.strip("\n").split("\n")]
        indent = old[len(old.rstrip(" ")) :]
        cell.source = "".join([before, begin, "\n".join(lines), "\n", indent, end, after])

    def hidden(self, part: str, tests: str) -> None:
        """Other hidden tests in the place of the present ones."""
        cell = self.cell(part)
        before, begin, rest = cell.source.partition(f"{HIDDEN}\n")
        if not begin:
            raise Stale(f"the test of {part} hides nothing")
        end = rest[rest.index("### END HIDDEN TESTS") :]
        cell.source = f"{before}{begin}{tests.strip(chr(10))}\n{end}"

    def fill(self) -> None:
        """What stands between ⟦ and ⟧ is computed by the solutions, and its value put there."""
        if not any(OPEN in cell.source for cell in self.notebook.cells):
            return
        namespace: dict[str, Any] = {"__name__": "__main__"}
        matplotlib.use("agg")
        for cell in self.notebook.cells:
            about = cell.metadata.get("nbgrader", {})
            if cell.cell_type == "code" and about and not about.get("grade"):
                run_cell(cell.source, namespace)
            elif OPEN in cell.source:
                cell.source = _filled(cell.source, dict(namespace))

    def _in_the_one(self, kind: str, pairs: tuple[tuple[str, str], ...]) -> None:
        for before, after in pairs:
            cells = [
                cell
                for cell in self.notebook.cells
                if cell.cell_type == kind and before in cell.source
            ]
            if kind == "code":
                cells = [cell for cell in cells if "nbgrader" not in cell.metadata]
            if len(cells) != 1:
                raise Stale(f"{len(cells)} cells of {kind} hold {before!r}")
            cells[0].source = _replaced(cells[0].source, before, after, 1, f"the {kind}")


def varied(source: Path, bank: Path, variant: str) -> tuple[NotebookNode, dict[str, Any]]:
    """The notebook of an assignment as the variant has it, and what was drawn.

    Without a bank it is the public one, and nothing was drawn.
    """
    draft, draw = drafted(source, bank, variant)
    draft.fill()
    return draft.notebook, draw.drawn


def drafted(source: Path, bank: Path, variant: str) -> tuple[Draft, Draw]:
    """The same before any number is computed. Ends the program where the bank has gone stale."""
    draft, draw = Draft(nbformat.read(source, as_version=4)), Draw(variant, source.stem)
    if bank.exists():
        try:
            runpy.run_path(str(bank))["vary"](draft, draw)
        except Stale as error:
            raise SystemExit(f"{bank.name} does not fit its notebook any more: {error}") from None
    return draft, draw


def shown(value: Any) -> str:
    """A value as it stands in a visible test: six digits, nested lists for tensors."""
    if isinstance(value, Tensor):
        value = (value.squeeze() if value.ndim > 2 else value).tolist()
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, float):
        text = f"{value:.6g}"
        if text.endswith("inf"):
            return text.replace("inf", "math.inf")
        return text if re.search(r"[.e]", text) else f"{text}.0"
    return repr(value)


def _replaced(source: str, before: str, after: str, times: int, where: str) -> str:
    if source.count(before) != times:
        raise Stale(f"in {where} stands {source.count(before)} times {before!r}, not {times}")
    return source.replace(before, after)


def _filled(source: str, namespace: dict[str, Any]) -> str:
    """Statement by statement up to the first place, whose value is put in; and so on."""
    while OPEN in source:
        at = source.index(OPEN)
        expression = source[at + 1 : source.index(CLOSE)]
        bare = re.sub(f"{OPEN}.*?{CLOSE}", "0", source)
        number = source[:at].count("\n") + 1
        before = [each for each in ast.parse(bare).body if (each.end_lineno or 0) < number]
        scope = dict(namespace)
        run_cell(ast.unparse(ast.Module(before, [])), scope)
        with contextlib.redirect_stdout(io.StringIO()):
            value = shown(eval(expression, scope))
        source = source.replace(f"{OPEN}{expression}{CLOSE}", value, 1)
    return source


def run_cell(source: str, namespace: dict[str, Any]) -> None:
    """Execute a cell of a notebook; what it prints is not shown."""
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, "<cell>", "exec"), namespace)
