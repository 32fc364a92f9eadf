"""What a cell prints can be read whole on a phone: the page says how wide it is.

The style sheet makes the letters as small as it takes to show the columns of a table side by side,
down to a size that can still be read. A sentence that is longer breaks instead.
"""

import re
from html import unescape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

MOST = 64  # columns of letters that can still be read on a phone of 390 pixels
EASY = 50  # those that can be read with ease, so that a sentence that is longer breaks
PRINTED = re.compile(
    r'<div class="(output stream [^"]*)">(<div class="highlight"><pre>)(.*?)(?=</pre>)', re.DOTALL
)
GAP = re.compile(r"\S {2,}(?=\S)")  # between two columns


def lines(html: str) -> list[str]:
    """What is printed, without the marks of the page."""
    return unescape(re.sub(r"<[^>]+>", "", html)).splitlines()


def columns(html: str) -> int:
    """The letters in the longest line that must not break."""
    printed = lines(html)
    widest = max(map(len, printed), default=0)
    # One gap is a table of two columns, or a name and a sentence; two are a table.
    table = [line for line in printed if GAP.search(line) and len(line) <= MOST]
    table += [line for line in printed if len(GAP.findall(line)) > 1]
    return max([min(widest, EASY), *map(len, table)])


def break_sentences(html: str, most: int) -> str:
    """Mark the lines that are longer: they may break, and then hang."""
    marked = [
        f'<span class="sentence">{line}</span>' if len("".join(lines(line))) > most else line
        for line in html.split("\n")
    ]
    return "\n".join(marked)


def count_columns(
    _: Sphinx, __: str, ___: str, context: dict[str, Any], ____: nodes.document | None
) -> None:
    """Write into the page how wide each output is."""

    def count(found: re.Match[str]) -> str:
        wide = columns(found[3])
        shown = break_sentences(found[3], wide)
        return f'<div class="{found[1]}" style="--columns: {wide}">{found[2]}{shown}'

    if "body" in context:
        context["body"] = PRINTED.sub(count, context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", count_columns)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
