"""The statements of a cell: what they define, and which of them are a student's own."""

import ast
from collections.abc import Iterable
from functools import lru_cache

from .cells import names_bound, tree_of
from .magics import plain


@lru_cache(1000)  # some are asked for once for each part
def defined(source: str) -> set[str]:
    """What the source gives a value to, at its top level."""
    tree = tree_of(source)
    return names_bound(tree.body) if tree else set()


def without(source: str, ours: Iterable[str], changed: bool = False) -> str:
    """The top-level statements of a source that are not in ours; empty if there are none.

    One that gives another value to a name of ours is left out, unless `changed`.
    """
    tree = tree_of(source)
    trees = [tree_of(plain(text)) for text in ours]
    body = [statement for known in trees if known for statement in known.body]
    if tree is None:
        return ""
    try:
        dumps = {ast.dump(statement) for statement in body}
        new = [statement for statement in tree.body if ast.dump(statement) not in dumps]
    except RecursionError:
        return ""
    bound = names_bound(body)
    kept = []
    for node in new:
        nothing = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        if not (nothing or isinstance(node, ast.Pass)) and (
            changed or imports or not names_bound([node]) & bound
        ):
            kept.append(node)
    return lines_of(source, kept)


def lines_of(source: str, statements: Iterable[ast.stmt]) -> str:
    """The lines that statements stand on, each once."""
    lines: dict[int, None] = {}
    for node in statements:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(each.lineno for each in decorators)])
        lines |= dict.fromkeys(range(first - 1, node.end_lineno or node.lineno))
    text = source.split("\n")
    return "\n".join(text[number] for number in lines)
