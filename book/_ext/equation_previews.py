"""What an equation says, where its number is named: the page carries each formula it refers to.

book.js shows it beside the number for a pointer, a finger or the keyboard.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinxcontrib import katex

NUMBER = re.compile(r'<a class="reference internal" href="[^"]*#equation-(eq-[\w-]+)">')


def note(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the LaTeX of each numbered equation of a page."""
    app.env.equations_of = getattr(app.env, "equations_of", {})  # type: ignore[attr-defined]
    app.env.equations_of[app.env.docname] = {  # type: ignore[attr-defined]
        formula["label"]: formula.astext()
        for formula in doctree.findall(nodes.math_block)
        if formula.get("label")
    }


def carry(
    app: Sphinx, _: str, __: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the formulas behind the numbers at the end of the page's text."""
    if doctree is None or app.builder.format != "html":
        return
    formulas = {
        label: latex
        for of_page in app.env.equations_of.values()  # type: ignore[attr-defined]
        for label, latex in of_page.items()
    }
    named = sorted({*NUMBER.findall(context["body"])} & {*formulas})
    context["body"] += "".join(
        f'<template class="equation" data-label="{label}">'
        f"{katex.render_latex(formulas[label], {'displayMode': True})}</template>"
        for label in named
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-read", note)
    app.connect("html-page-context", carry)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
