"""A cell's text as plain Python: IPython's own lines taken out as Jupyter takes them.

`%matplotlib inline`, `!pip` and `f?` leave nothing to run; of a cell below `%%time` the body stays.
"""

import ast
import re
from typing import NamedTuple

from IPython.core.inputtransformer2 import TransformerManager

from .cells import tree_of

MOST = 500_000  # characters that IPython may read; it does so anew for each of its lines
MARKED = re.compile(r"^[^\S\n]*[%!?]|\?[^\S\n]*$|=[^\S\n]*[%!]|\A\s*[^\S\n]|^\s*(>>>|In \[)", re.M)
RUN_BODY = {"time", "timeit", "capture", "prun", "python", "python3"}


class Call(NamedTuple):
    """A call of IPython: the node, the method, its arguments; `alone` if it is all of a line."""

    node: ast.Call
    method: str
    arguments: list[str]
    alone: bool


def work(source: str) -> int:
    """The characters that IPython has to read for a cell, all in all."""
    marks = sum(1 for _ in MARKED.finditer(source))
    return (marks + 1) * len(source) if marks or "get_ipython" in source else 0


def plain(source: str) -> str:
    """The cell without IPython's lines; as it is if it has none, or is no Python even so."""
    if not 0 < work(source) <= MOST or (tree_of(source) and "get_ipython" not in source):
        return source
    try:
        text = TransformerManager().transform_cell(source).rstrip("\n")
    except Exception:  # it tokenizes what anybody may have written
        return source
    tree = tree_of(text)
    if tree is None:
        return source
    calls = _calls(tree)
    if len(calls) == 1 and calls[0].alone and calls[0].method == "run_cell_magic":
        name, line, *body = [*calls[0].arguments, "", ""]
        kept = plain(body[0].rstrip("\n")) if name in RUN_BODY else ""
        return f"# {_one_line(f'%%{name} {line}')}\n{kept}".rstrip("\n")
    return _replaced(text, calls)


def _calls(tree: ast.Module) -> list[Call]:
    """All calls of a method of get_ipython(), in order."""
    nodes = list(ast.walk(tree))
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    found = []
    for node in nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        name = owner.func if isinstance(owner, ast.Call) else None
        if isinstance(name, ast.Name) and name.id == "get_ipython":
            texts = [str(a.value) for a in node.args if isinstance(a, ast.Constant)]
            found.append(Call(node, node.func.attr, texts, id(node) in alone))
    return sorted(found, key=lambda call: (call.node.lineno, call.node.col_offset))


def _replaced(text: str, calls: list[Call]) -> str:
    """The text with something in the place of each call that does what Jupyter's would to names."""
    lines = [line.encode() for line in text.split("\n")]
    for node, method, arguments, alone in reversed(calls):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        new = _instead(method, arguments, alone, ends_line=not after.strip())
        lines[first : last + 1] = [before + new.encode() + after]
    return b"\n".join(lines).decode()


def _instead(method: str, arguments: list[str], alone: bool, ends_line: bool) -> str:
    name, line, *_ = [*arguments, "", ""]
    if method == "run_line_magic" and name == "time":
        code = plain(line.strip())
        tree = tree_of(code)
        expression = tree is not None and [type(node) for node in tree.body] == [ast.Expr]
        if tree is not None and tree.body and (alone or expression):
            return code if alone else f"({code})"
    if not alone:
        return "[]" if method == "getoutput" else "None"
    marks = {"run_line_magic": f"%{name} {line}", "system": f"!{name}", "getoutput": f"!{name}"}
    was = marks.get(method, "")
    return f"pass  # {_one_line(was)}" if was and ends_line else "pass"


def _one_line(text: str) -> str:
    return " ".join(text.split())
