"""What a symbol means, beside it: from the table of symbols on the page of notation.

A formula of the text that is nothing but a symbol of the table is marked, and book.js shows what it
means to a pointer that rests on it and to a finger. Who moves by keys or hears the page finds the
symbols of a page in a list at its end, which is where book.js takes the meanings from.
"""

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

TABLE = "notation"
# Bold or not, and spaces: what makes no other symbol of a letter.
DRESS = re.compile(r"\\(?:mathbf|boldsymbol|mathrm)\b|\\[,;:! ]|[{}\s]")
CHAPTERS = re.compile(r"\(chapters? ([\d, and]+)\)")  # where alone a row of the table holds
MARK = re.compile(r'data-symbol="(\d+)"')


def key(latex: str) -> str:
    """The symbol without its dress; a single letter means something else in other dress."""
    bare = DRESS.sub("", latex)
    return bare if len(bare) > 1 else latex.strip()


def holds_in(row: nodes.row, page: str) -> bool:
    """Whether a row of the table speaks of this page: one that names chapters or leads to one."""
    found = CHAPTERS.search(row[-1].astext())
    named = [f"{int(n):02}-" for n in re.findall(r"\d+", found[1])] if found else []
    leads_to = [link["refuri"] for link in row[-1].findall(nodes.reference) if "refuri" in link]
    named += [target.removesuffix(".html") for target in leads_to if "#" not in target]
    return not named or any(page.startswith(name) for name in named)


def rows(app: Sphinx) -> list[nodes.row]:
    """The rows of the table, in its order."""
    if not hasattr(app, "rows_of_symbols"):
        page = app.env.get_and_resolve_doctree(TABLE, app.builder)
        app.rows_of_symbols = list(next(page.findall(nodes.tbody)).findall(nodes.row))  # type: ignore[attr-defined]
    return app.rows_of_symbols  # type: ignore[attr-defined]


def parents(node: nodes.Node) -> Iterator[nodes.Element]:
    """What a node stands in, from the inside out."""
    while (node := node.parent) is not None:
        yield node


def mark(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Note the row of each formula that is a symbol, and whether its section has it anew."""
    if app.builder.format != "html" or page == TABLE:
        return
    known = {
        key(symbol.astext().partition("=")[0]): number
        for number, row in enumerate(rows(app))
        if holds_in(row, page)
        for symbol in row[0].findall(nodes.math)
    }
    seen = set()
    for formula in doctree.findall(nodes.math):
        above = list(parents(formula))
        if any(isinstance(part, nodes.title | nodes.reference) for part in above):
            continue
        if (number := known.get(key(formula.astext()))) is not None:
            sections = [part for part in above if isinstance(part, nodes.section)]
            place = (number, id(sections[-2:][0]))  # the last of them is the page itself
            formula["symbol"], formula["first"] = number, place not in seen
            seen.add(place)


def list_symbols(
    app: Sphinx, page: str, _: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the symbols of a page, with what they mean, at its end."""
    if doctree is None or app.builder.format != "html":
        return
    used = sorted({int(number) for number in MARK.findall(context["body"])})
    if not used:
        return
    table = app.builder.get_relative_uri(page, TABLE)
    folder = posixpath.dirname(table)

    def inside(entry: nodes.entry) -> str:
        parts = (app.builder.render_partial(part.deepcopy())["fragment"] for part in entry)
        text = re.sub(r"</?p>", "", "".join(parts).strip())
        return re.sub(r'href="(?!#|\w+:)', f'href="{folder}/', text) if folder else text

    entries = []
    for number in used:
        symbol, code, meaning = map(inside, rows(app)[number])
        named = f"; in code {code}" if "<code" in code else ""
        entries.append(
            f'<div data-symbol="{number}"><dt>{symbol}</dt><dd>{meaning}{named}</dd></div>'
        )
    context["body"] += (
        f'<details class="symbols"><summary>Symbols on this page</summary><dl>{"".join(entries)}'
        f'</dl><p><a class="reference internal" href="{table}">All symbols</a></p></details>'
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", mark)
    # Before the formulas behind the numbers are added, for some meanings name an equation.
    app.connect("html-page-context", list_symbols, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
