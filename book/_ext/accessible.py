"""What theme and extensions write, mended for readers who hear a page or move by keys.

Each entry is something that a page fails a rule of WCAG 2.2 for, or a name that says nothing.
"""

import re
from typing import Any

from sphinx.application import Sphinx

MENDED = [
    # What opens a part of the menu shows only an arrow.
    (
        r'<summary><span class="toctree-toggle"',
        '<summary aria-label="Pages below"><span class="toctree-toggle"',
    ),
    # What opens folded code says so itself.
    (r' aria-label="Toggle hidden content"', ""),
    # The search field of the menu is a button that says what it is.
    (r'(class="btn search-button-field[^>]*?) aria-label="Search"', r"\1"),
    (r'title="Fullscreen mode"', 'title="Full screen" aria-label="Full screen"'),
    (r'title="Toggle primary sidebar"', 'title="Menu" aria-label="Menu"'),
    (r'title="Toggle secondary sidebar"', 'title="Contents" aria-label="Contents"'),
    # An entry of the bibliography is one of a list; the role for it is withdrawn.
    (r'role="doc-biblioentry"', 'role="listitem"'),
    # Each exercise, solution and algorithm has the same name inside; its own stands outside.
    (r' id="(exercise|solution|proof)-content"', ""),
    (r'(<p class="admonition-title") id="[^"]*"', r"\1"),
    # A link begins with its words.
    (r"Solution to(<a [^>]*>) ", r"Solution to \1"),
    # The arguments of a function, one on each line, are no list of definitions.
    (r'<dl>\n<dd>(?=<em class="sig-param">)', '<span class="sig-line">'),
    (r'</dd>\n<dd>(?=<em class="sig-param">)', '</span><span class="sig-line">'),
    (r"(?<=</em>,)</dd>\n</dl>", "</span>"),
    # An algorithm has the number that the paper gives it, without brackets.
    (r'(?s)(<span class="caption-number">Algorithm )</span> \((.*?)\)(?=\s*</p>)', r"\1</span>\2"),
]


def mended(html: str) -> str:
    """The page's text: for book/_templates/layout.html."""
    for pattern, better in MENDED:
        html = re.sub(pattern, better, html)
    return html


def add_filter(app: Sphinx) -> None:
    """Give the templates this function by its name."""
    if app.builder.format == "html":
        app.builder.templates.environment.filters["mended"] = mended


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", add_filter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
