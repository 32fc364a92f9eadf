"""Answers to the assignments, wrong and right, for the tests of the tests."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from grading.cells import read_cells

SOURCES = Path(__file__).parents[2] / "book/assignments/source"


class Variant(NamedTuple):
    """One answer: to which part, what the grader must say (None: nothing, it is right)."""

    part: str
    hint: str | None
    name: str  # what is special about it
    source: str  # as a student would have written it


def wrong(part: str, hint: str) -> Callable[[Callable[..., Any]], Variant]:
    """A wrong answer. It must lose the points of its part, and the hint must be shown."""
    return lambda function: _variant(part, hint, inspect.getsource(function))


def right(part: str) -> Callable[[Callable[..., Any]], Variant]:
    """A correct answer in another style. It must lose no point."""
    return lambda function: _variant(part, None, inspect.getsource(function))


def slip(part: str, hint: str, name: str, answer: str, *changes: tuple[str, str]) -> Variant:
    """A wrong answer that differs from `answer`, a right one, by these changes of its text."""
    for before, after in changes:
        assert answer.count(before) == 1, f"{name} {before!r} stands {answer.count(before)} times"
        answer = answer.replace(before, after)
    return _variant(part, hint, answer)._replace(name=name)


def answer_to(assignment: str, part: str) -> str:
    """The instructor's answer."""
    cells = read_cells(SOURCES / assignment / f"{assignment}.ipynb")
    (found,) = [cell.source for cell in cells if cell.kind == "answer" and cell.part == part]
    return found


def variants_of(module: ModuleType) -> list[Variant]:
    """All variants that a module defines, in order; slips, a list `SLIPS`, come last.

    A name may be defined many times.
    """
    tree = ast.parse(inspect.getsource(module))
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            namespace = dict(vars(module))
            exec(_compiled(node, module), namespace)
            found.append(namespace[node.name])
    return [*found, *getattr(module, "SLIPS", [])]


def _variant(part: str, hint: str | None, source: str) -> Variant:
    node = ast.parse(textwrap.dedent(source)).body[0]
    assert isinstance(node, ast.FunctionDef)
    name = (ast.get_docstring(node) or "").splitlines()[0]
    node.decorator_list = []
    node.body = node.body[1:]  # the docstring names the mistake
    return Variant(part, hint, name, ast.unparse(node))


def _compiled(node: ast.FunctionDef, module: ModuleType) -> Any:
    return compile(ast.Module([node], []), str(module.__file__), "exec")
