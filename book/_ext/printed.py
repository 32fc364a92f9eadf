"""What a cell prints keeps its columns on a phone: the page says how many they are.

The style sheet makes the letters as small as it takes to show them side by side, down to a size
that can still be read. What is wider than that scrolls, in letters of the usual size.
"""

import re
from html import unescape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

MOST = 61  # columns of letters that can still be read on a phone of 390 pixels
PRINTED = re.compile(
    r'<div class="(output stream [^"]*)">(<div class="highlight"><pre>)(.*?)(?=</pre>)', re.DOTALL
)


def columns(html: str) -> int:
    """The letters in the longest line."""
    lines = unescape(re.sub(r"<[^>]+>", "", html)).splitlines()
    return max(map(len, lines), default=0)


def count_columns(
    _: Sphinx, __: str, ___: str, context: dict[str, Any], ____: nodes.document | None
) -> None:
    """Write into the page how wide each output is."""

    def count(found: re.Match[str]) -> str:
        wide = columns(found[3])
        style = f' style="--columns: {wide}"' if wide <= MOST else ""
        return f'<div class="{found[1]}"{style}>{found[2]}{found[3]}'

    if "body" in context:
        context["body"] = PRINTED.sub(count, context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", count_columns)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
