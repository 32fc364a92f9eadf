"""The cells of an assignment, by what they are for."""

import ast
import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ANSWER = "-answer"  # the answer to part `kl` is in the cell `kl-answer`, its test in the cell `kl`


class Cell(NamedTuple):
    """One code cell: `kind` is given, answer, test or free; `part` is empty for given and free."""

    kind: str
    part: str
    points: float
    source: str


def read_cells(path: Path) -> list[Cell]:
    """The code cells of an instructor's notebook, in order."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [
        cell_of(cell["metadata"], "".join(cell["source"]))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def cell_of(metadata: dict[str, Any], source: str) -> Cell:
    """What nbgrader's metadata says of a code cell."""
    about = metadata.get("nbgrader", {})
    name = about.get("grade_id", "")
    if about.get("grade") and about.get("locked"):
        return Cell("test", name, float(about["points"]), source)
    if about.get("solution"):
        return Cell("answer", name.removesuffix(ANSWER), 0.0, source)
    return Cell("given" if about.get("locked") else "free", "", 0.0, source)


def names_of(cells: Iterable[Mapping[str, Any]]) -> set[str]:
    """The names of all cells that have one."""
    return {name_of(cell) for cell in cells} - {""}


def name_of(cell: Mapping[str, Any]) -> str:
    """The name that nbgrader gave a cell; empty for a cell without one, whoever wrote it."""
    about = cell["metadata"].get("nbgrader")
    name = about.get("grade_id") if isinstance(about, dict) else None
    return name if isinstance(name, str) else ""


def tree_of(source: str) -> ast.Module | None:
    """The source as a syntax tree; None if it is no Python, or too deep for a parser."""
    with warnings.catch_warnings(action="ignore"):  # "\d" in a text is no concern of ours
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def names_bound(body: Iterable[ast.stmt]) -> set[str]:
    """The names that statements give a value to where they stand, not inside functions."""
    found: set[str] = set()
    nodes: list[ast.AST] = list(body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(name.asname or name.name).partition(".")[0] for name in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif not isinstance(node, ast.Lambda):
            nodes += ast.iter_child_nodes(node)
    return found


def free_names(source: str) -> set[str]:
    """The names that a cell uses and does not define."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    defined = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    defined |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    defined |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {(name.asname or name.name).partition(".")[0] for name in node.names}
    return {node.id for node in names if isinstance(node.ctx, ast.Load)} - defined
