"""The numbers of equations in an assignment become links in the book.

A notebook that a student has downloaded knows no labels. So an assignment names an equation by its
number, with the label in a comment that no reader sees: `(2.4)<!-- eq-kl-normal -->`. The book puts
the reference in its place, with the number that Sphinx gives; tests/coursework/test_assignments.py
holds the two equal.
"""

import re
from typing import Any

from sphinx.application import Sphinx

NUMBER = re.compile(r"\((\w+\.\d+)\)<!-- (eq-[\w-]+) -->")


def link_numbers(_: Sphinx, page: str, source: list[str]) -> None:
    """Put references into what students get, as the page of the book shows it."""
    if page.startswith("assignments/student/"):
        source[0] = NUMBER.sub(r"{eq}`\2`", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", link_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
