"""The head of a page asks for each file once, and for none that the page does not use.

Sphinx writes an inline script twice when an extension adds it late; where the script declares a
constant, the second is an error in the browser. Jupyter Book brings the files of Thebe, which runs
cells on a server, and the theme a script of 1.5 MB that draws icons, though its style sheet can
draw them too. And no script has to run before the text is on the screen.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

# Inline scripts, which cannot wait, speak of what these declare.
FIRST = re.compile(r"documentation_options|doctools")
# katex-math.css is written for other themes; what this book needs of it stands in book.css.
UNUSED = re.compile(r"thebe|katex-math\.css|fontawesome\.js")


def tidy(
    _: Sphinx, page: str, template: str, context: dict[str, Any], __: nodes.document | None
) -> None:
    """Keep the first of what is the same, and let scripts wait for the text."""
    for files in (context["css_files"], context["script_files"]):
        first: dict[tuple[str, str], Any] = {}
        for file in sorted(files, key=lambda file: file.priority):
            key = (str(file.filename or ""), file.attributes.get("body", ""))
            if not any(map(UNUSED.search, key)):
                first.setdefault(key, file)
        files[:] = first.values()  # in place: the theme adds to these lists afterwards
    for script in context["script_files"]:
        if script.filename and not FIRST.search(str(script.filename)):
            script.attributes["defer"] = "defer"


def lean(html: str) -> str:
    """The same for what the theme's templates write: for book/_templates/layout.html."""
    html = re.sub(rf"<script[^>]*(?:{UNUSED.pattern})[^>]*></script>", "", html)
    return re.sub(r"<script src=", "<script defer src=", html)


def add_filter(app: Sphinx) -> None:
    """Give the templates this function by its name."""
    if app.builder.format == "html":
        app.builder.templates.environment.filters["lean"] = lean


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", tidy)
    app.connect("builder-inited", add_filter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
