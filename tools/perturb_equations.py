"""Break every numbered equation on purpose and see that its check notices.

    python tools/perturb_equations.py [LABEL ...]

One thing is changed at a time: a factor of 2, a sign, t for t - 1 and the reverse, a root or a
square left out. It is changed in the LaTeX of the equation, wherever its check evaluates it; in the
line `printed = ...` of the check, which is a side of the equation as the book prints it; and in the
functions of the package that the check names. A change that the check lets pass is printed, and the
script then ends with status 1.
"""

import ast
import copy
import importlib.util
import inspect
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tqdm import tqdm

CHECKS = Path(__file__).parent.parent / "tests" / "equations"
sys.path.insert(0, str(CHECKS))

import latex  # noqa: E402
from chapters import numbered_equations  # noqa: E402
from conftest import Claim  # noqa: E402

INDICES = {"t", "s"}


@dataclass
class Check:
    """The function that checks one equation, where it stands, and the code that it names."""

    label: str
    name: str
    module: ast.Module
    path: Path
    code: list[FunctionType] = field(default_factory=list)

    @property
    def latex(self) -> str:
        """The equation as the book prints it."""
        return numbered_equations()[self.label].latex


def main() -> int:
    """Try every change; say which pass unnoticed."""
    warnings.simplefilter("ignore")  # broken formulas divide by zero
    checks = [check for path in sorted(CHECKS.glob("test_*.py")) for check in find_checks(path)]
    if wanted := sys.argv[1:]:
        checks = [check for check in checks if check.label in wanted]
    for check in checks:
        if not passes(check, check.module):
            raise SystemExit(f"{check.label}: the check fails before anything is changed")
    unnoticed, tried = [], 0
    for check in tqdm(checks, unit="equation", desc="in the book"):
        run = _run(check, check.module)
        run(claim := Claim(check.latex))
        for side in claim.evaluated:
            for change, symbols in latex.changes(claim.symbols, side):
                tried += 1
                if _holds(run, Claim(" ".join(symbols))):
                    unnoticed.append(f"{check.label}, in the book: {change}")
    for check in tqdm(checks, unit="equation", desc="in the checks"):
        changes = list(changes_of_check(check))
        tried += len(changes)
        for change, module in changes:
            if passes(check, module):
                unnoticed.append(f"{check.label}: {change}")
    functions = {function: None for check in checks for function in check.code}
    for function in tqdm(functions, unit="function", desc="in the package"):
        naming = [check for check in checks if function in check.code]
        changes = list(changes_of_function(function))
        tried += len(changes)
        for change, code in changes:
            original, function.__code__ = function.__code__, code
            try:
                if all(passes(check, check.module) for check in naming):
                    unnoticed.append(f"{function.__qualname__}: {change}")
            finally:
                function.__code__ = original
    for line in unnoticed:
        print(f"not noticed: {line}")
    print(f"{len(checks)} equations, {tried} changes, {len(unnoticed)} not noticed")
    return bool(unnoticed)


def find_checks(path: Path) -> Iterator[Check]:
    """The checks in a file of tests."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    loaded = _load(path)
    for node in module.body:
        marks = getattr(getattr(loaded, getattr(node, "name", ""), None), "pytestmark", [])
        for mark in marks:
            if mark.name == "equation":
                code = [inspect.unwrap(function) for function in mark.kwargs.get("code", [])]
                yield Check(mark.args[0], node.name, module, path, code)  # type: ignore[attr-defined]


def passes(check: Check, module: ast.Module) -> bool:
    """Whether the check holds, with `module` in place of its file."""
    try:
        return _holds(_run(check, module), Claim(check.latex))
    except Exception:  # a broken formula may fail where the file is read
        return False


def _run(check: Check, module: ast.Module) -> Callable[[Claim], None]:
    """The check as a function, with `module` in place of its file."""
    names: dict[str, Any] = {"__name__": check.path.stem, "__file__": str(check.path)}
    exec(compile(module, str(check.path), "exec"), names)
    return names[check.name]  # type: ignore[no-any-return]


def _holds(run: Callable[[Claim], None], claim: Claim) -> bool:
    try:
        run(claim)
    except Exception:  # a broken formula may fail in any way
        return False
    return True


def changes_of_check(check: Check) -> Iterator[tuple[str, ast.Module]]:
    """Each change of the lines `printed = ...`, with the file that it makes."""

    def inside(module: ast.Module) -> list[ast.expr]:
        (function,) = (n for n in module.body if getattr(n, "name", "") == check.name)
        return [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "printed"
        ]

    if not inside(check.module):
        raise SystemExit(f"{check.label}: its check holds no line `printed = ...`")
    yield from _changes(check.module, inside)


def changes_of_function(function: FunctionType) -> Iterator[tuple[str, CodeType]]:
    """Each change of what a function computes, with its byte code."""
    module = ast.parse(textwrap.dedent(inspect.getsource(function)))

    def inside(module: ast.Module) -> list[ast.expr]:
        return [
            node.value
            for node in ast.walk(module)
            if isinstance(node, ast.Assign | ast.Return) and node.value is not None
        ]

    for change, changed in _changes(module, inside):
        changed.body[0].decorator_list = []  # type: ignore[attr-defined]
        names: dict[str, Any] = {}
        exec(compile(changed, function.__code__.co_filename, "exec"), function.__globals__, names)
        yield change, names[function.__name__].__code__


def _changes(
    module: ast.Module, inside: Callable[[ast.Module], list[ast.expr]]
) -> Iterator[tuple[str, ast.Module]]:
    """One copy of the module for each change of one node below the expressions `inside` finds."""
    for which, expression in enumerate(inside(module)):
        whole = expression.elts if isinstance(expression, ast.Tuple) else [expression]
        nodes = list(ast.walk(expression))
        for position, node in enumerate(nodes):
            parent = next((n for n in nodes if node in ast.iter_child_nodes(n)), None)
            for words, change in _changes_of_node(node, parent, node in whole):
                changed = copy.deepcopy(module)
                target = list(ast.walk(inside(changed)[which]))[position]
                _replace(changed, target, change(target))
                before, after = ast.unparse(node), ast.unparse(change(copy.deepcopy(node)))
                yield f"{words}: {before}  ->  {after}", ast.fix_missing_locations(changed)


def _changes_of_node(
    node: ast.AST, parent: ast.AST | None, whole: bool
) -> Iterator[tuple[str, Callable[[Any], ast.expr]]]:
    if whole:
        yield "factor 2", lambda n: ast.BinOp(ast.Constant(2), ast.Mult(), n)
        yield "sign", lambda n: ast.UnaryOp(ast.USub(), n)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        if isinstance(node.left, ast.Name) and node.left.id in INDICES:
            yield "index", lambda n: n.left
        else:
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            yield "sign", lambda n: ast.BinOp(n.left, other, n.right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", lambda n: n.operand
    if isinstance(node, ast.Name) and node.id in INDICES and _is_index(node, parent):
        yield "index", lambda n: ast.BinOp(n, ast.Sub(), ast.Constant(1))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "sqrt" and not node.args:
            yield "root", lambda n: n.func.value
        if node.func.attr == "square" and not node.args:
            yield "square", lambda n: n.func.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        yield "square", lambda n: n.left


def _is_index(node: ast.Name, parent: ast.AST | None) -> bool:
    """Whether a time stands alone, as an index or an argument, and not inside t - 1."""
    if isinstance(parent, ast.Subscript):
        return node is parent.slice
    return isinstance(parent, ast.Call) and node in parent.args


def _replace(tree: ast.AST, old: ast.AST, new: ast.expr) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
                return
            if isinstance(value, list) and any(entry is old for entry in value):
                setattr(parent, name, [new if entry is old else entry for entry in value])
                return
    raise ValueError("the node is not in the tree")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"checks_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
