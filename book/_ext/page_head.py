"""The head of a page asks for each file once, and for none that the page does not use.

Sphinx writes an inline script twice when an extension adds it late; where the script declares a
constant, the second is an error in the browser. Jupyter Book brings the files of Thebe, which runs
cells on a server, and the theme a script of 1.5 MB that draws icons, though its style sheet can
draw them too. The scripts of live views come when they are needed, see book/_live. And no script
has to run before the text is on the screen.

It also says what the page is about, for search engines and for those who share a link to it.
"""

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

# Inline scripts, which cannot wait, speak of what these declare.
FIRST = re.compile(r"documentation_options|doctools")
# katex-math.css is written for other themes; what this book needs of it stands in book.css.
UNUSED = re.compile(r"thebe|katex-math\.css|fontawesome\.js|live/(?!loader\.js)")
LONGEST = 200  # letters of a description, of which a search engine shows as many or fewer


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


def describe(
    app: Sphinx, page: str, _: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Name the page's title, its first sentences and the book's picture in its head."""
    if doctree is None:
        return
    texts = (p.astext() for p in doctree.findall(nodes.paragraph) if p.parent.tagname == "section")
    sentences = " ".join(next(texts, app.config.html_title).split())
    about = sentences if len(sentences) <= LONGEST else sentences[:LONGEST].rsplit(" ", 1)[0] + " …"
    title = re.sub(r"<[^>]+>", "", context["title"])
    said = {
        "og:title": title if page == app.config.root_doc else f"{title} · {app.config.html_title}",
        "og:description": about,
        "og:type": "article",
        "og:image": context["pathto"]("_static/card.png", resource=True),
    }
    if app.config.html_baseurl:  # with it, the picture has an address that others can ask for
        said["og:image"] = app.config.html_baseurl.rstrip("/") + "/_static/card.png"
    context["metatags"] += f'<meta name="description" content="{html.escape(about)}">' + "".join(
        f'<meta property="{name}" content="{html.escape(value)}">' for name, value in said.items()
    )


def lean(page: str) -> str:
    """The same for what the theme's templates write: for book/_templates/layout.html."""
    page = re.sub(rf"<script[^>]*(?:{UNUSED.pattern})[^>]*></script>", "", page)
    return re.sub(r"<script src=", "<script defer src=", page)


def add_filter(app: Sphinx) -> None:
    """Give the templates this function by its name."""
    if app.builder.format == "html":
        app.builder.templates.environment.filters["lean"] = lean


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", tidy)
    app.connect("html-page-context", describe)
    app.connect("builder-inited", add_filter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
