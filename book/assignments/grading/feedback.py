"""What a student gets to see: nothing of the hidden tests, nothing that a browser would run."""

import re

import bleach
from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

TAGS = {*bleach.ALLOWED_TAGS, "p", "br", "hr", "pre", "span", "div", "del", "s"}
TAGS |= {"h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}
HIDDEN = re.compile(
    r"\n*^[ ]*### BEGIN HIDDEN TESTS.*?^[ ]*### END HIDDEN TESTS[^\n]*", re.M | re.S
)


def markdown(source: str) -> str:
    """As HTML in which nothing runs: nbgrader's templates take no notice of `sanitize_html`."""
    html = markdown2html_mistune(source)
    attributes, protocols = {"a": ["href"], "*": ["class"]}, ["http", "https", "mailto"]
    return str(bleach.clean(html, TAGS, attributes, protocols))


def clean(html: str | bytes) -> str:
    """What a cell shows, as HTML in which nothing runs, with hints that are folded.

    As nbconvert's own filter, which turns `details` into text.
    """
    text = html.decode() if isinstance(html, bytes) else str(html)
    tags = {*bleach.ALLOWED_TAGS, "div", "pre", "span", "table", "tr", "td", "details", "summary"}
    return str(bleach.clean(text, tags, {**bleach.ALLOWED_ATTRIBUTES, "*": ["class", "id"]}))


def legible(text: str, length: int) -> str:
    """Cut, and without what UTF-8 cannot hold: a student chose it."""
    return text[:length].encode("utf-8", "replace").decode()


def on_one_line(text: str) -> str:
    """With nothing that would move a terminal's cursor, or colour it: a student chose it."""
    return "".join(c if c.isprintable() else " " for c in text)


class HideTests(NbGraderPreprocessor):
    """Take the hidden tests out of the feedback. What failed in them is still said."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: ResourcesDict, cell_index: int
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Cut what lies between the marks."""
        about = cell.metadata.get("nbgrader", {})
        if about.get("grade") and about.get("locked"):  # no other has any; \n* takes n * n steps
            cell.source = HIDDEN.sub("", cell.source)
        return cell, resources
