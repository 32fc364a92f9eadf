"""What the book says of a name of the package: the chapters that use it, the equations it computes.

Neither is written down for it. The chapters are those whose notebooks import the name, and the
equations those whose check has it in `code`, where a deliberate mistake in it must make the check
fail.
"""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import nbformat

BOOK = Path(__file__).parents[1]
CHECKS = BOOK.parent / "tests" / "equations"
Places = dict[str, list[str]]


@cache
def chapters_of_names() -> Places:
    """For each name, after `ddpm_tutorial.`, the chapters that import it, in their order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(BOOK.glob("[0-9]*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        for node in ast.walk(ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", code))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ddpm_tutorial"):
                module = str(node.module).removeprefix("ddpm_tutorial").removeprefix(".")
                for alias in node.names:
                    name = f"{module}.{alias.name}".removeprefix(".")
                    if path.stem not in found[name]:
                        found[name].append(path.stem)
    return dict(found)


@cache
def code_of_equations() -> Places:
    """For each numbered equation, the names whose code its check is bound to.

    A private part counts as what it is a part of.
    """
    found: Places = {}
    for path in sorted(CHECKS.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "pytest.mark.equation":
                continue
            (code,) = [k.value for k in node.keywords if k.arg == "code"] or [ast.List([])]
            names = [re.sub(r"\._.*", "", ast.unparse(one)) for one in code.elts]  # type: ignore[attr-defined]
            found[node.args[0].value] = list(dict.fromkeys(names))  # type: ignore[attr-defined]
    return found


@cache
def equations_of_names() -> Places:
    """The same the other way round; the equations in the order of the book."""
    pages = [*sorted(BOOK.glob("[0-9]*.ipynb")), *BOOK.glob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    order = list(dict.fromkeys(re.findall(r"\$\$ \((eq-[\w-]+)\)", text)))
    found: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(code_of_equations(), key=order.index):
        for name in code_of_equations()[label]:
            found[name].append(label)
    return dict(found)
