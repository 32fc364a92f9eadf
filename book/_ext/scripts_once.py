"""Every script once on a page.

Sphinx writes an inline script twice when an extension adds it late. Where the script declares a
constant, the second is an error in the browser.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def drop_repeated(
    _: Sphinx, page: str, template: str, context: dict[str, Any], __: nodes.document | None
) -> None:
    """Keep the first of scripts that are the same."""
    scripts = context["script_files"]
    first: dict[tuple[str, str | None], Any] = {}
    for script in scripts:
        first.setdefault((str(script.filename or ""), script.attributes.get("body")), script)
    scripts[:] = first.values()  # in place: the theme adds to this list afterwards


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", drop_repeated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
