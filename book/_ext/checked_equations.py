"""A link from every numbered equation of the book to its check, on the page of checked equations.

The page is book/equations.md; tools/write_equations_page.py writes it.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

PAGE = "equations"


def link_equations(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put a small link below every equation that has a label."""
    if app.builder.format != "html" or docname == PAGE:
        return
    page = app.builder.get_relative_uri(docname, PAGE)
    for equation in list(doctree.findall(nodes.math_block)):
        label = equation.get("label")
        if label is None:
            continue
        link = nodes.reference("", "checked", internal=True, refuri=f"{page}#check-{label}")
        link["reftitle"] = "how this equation is checked, and the error measured"
        equation.parent.insert(
            equation.parent.index(equation) + 1, nodes.paragraph("", "", link, classes=["checked"])
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", link_equations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
