"""A page before or between the chapters goes without numbers: it says `unnumbered: true` on top.

Sphinx numbers all pages of a part or none, and would make such a page a section of the chapter
before it. Its figures would count as that chapter's, or from 1 where there is none.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def take_numbers(_: Sphinx, env: BuildEnvironment) -> list[str]:
    """Take away the numbers of title, headings and figures, in the lists of contents too."""
    for page in (page for page, says in env.metadata.items() if "unnumbered" in says):
        env.toc_secnumbers.pop(page, None)
        env.toc_fignumbers.pop(page, None)
        env.titles[page].attributes.pop("secnumber", None)
        for entry in env.tocs[page].findall(nodes.reference):
            entry.attributes.pop("secnumber", None)
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("env-get-updated", take_numbers, priority=900)  # after Sphinx has given them
    return {"parallel_read_safe": True, "parallel_write_safe": True}
