"""Answers to the assignments, wrong and right, for the tests of the tests."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple


class Variant(NamedTuple):
    """One answer: to which part, what the grader must say (None: nothing, it is right)."""

    part: str
    hint: str | None
    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """What is special about it: the first line of its docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


def wrong(part: str, hint: str) -> Callable[[Callable[..., Any]], Variant]:
    """A wrong answer. It must lose the points of its part, and the hint must be shown."""
    return lambda function: Variant(part, hint, function)


def right(part: str) -> Callable[[Callable[..., Any]], Variant]:
    """A correct answer in another style. It must lose no point."""
    return lambda function: Variant(part, None, function)


def variants_of(module: ModuleType) -> list[Variant]:
    """All variants that a module defines, in order. A name may be defined many times."""
    tree = ast.parse(inspect.getsource(module))
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            namespace = dict(vars(module))
            exec(_compiled(node, module), namespace)
            found.append(namespace[node.name])
    return found


def source_of(variant: Variant) -> str:
    """The answer as a student would have written it: without the decorator."""
    node = ast.parse(textwrap.dedent(inspect.getsource(variant.function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    node.decorator_list = []
    node.body = node.body[1:]  # the docstring names the mistake
    return ast.unparse(node)


def _compiled(node: ast.FunctionDef, module: ModuleType) -> Any:
    return compile(ast.Module([node], []), str(module.__file__), "exec")
