"""The cells of an assignment, by what they are for."""

import json
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
