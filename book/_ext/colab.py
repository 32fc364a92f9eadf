"""Links to Colab, for a book that is built from a clone of a public GitHub repository.

`repository` finds the address. Elsewhere the links lead to Colab's front page, where one can upload
a file.
"""

from typing import Any

from docutils import nodes
from repository import BRANCH, github, origin
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxRole

COLAB = "https://colab.research.google.com"
BOOK = "book"


def add_buttons(_: Sphinx, config: Config) -> None:
    """Have the theme put a button on each notebook's page."""
    if address := github(origin()):
        config.html_theme_options |= {
            "repository_url": address,
            "repository_branch": BRANCH,
            "path_to_docs": BOOK,
            "launch_buttons": {"colab_url": COLAB},
        }


class ColabRole(SphinxRole):
    """``{colab}`path.ipynb` ``: a link that opens the notebook; the path is from the book on."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Called by Sphinx."""
        address = github(origin())
        owner = address.removeprefix("https://github.com/")
        url = f"{COLAB}/github/{owner}/blob/{BRANCH}/{BOOK}/{self.text}" if address else COLAB
        return [nodes.reference("", "Colab", refuri=url)], []


class RepositoryRole(SphinxRole):
    """``{repository}`words` ``: the words, as a link where the address is known."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Called by Sphinx."""
        if address := github(origin()):
            return [nodes.reference("", self.text, refuri=address)], []
        return [nodes.Text(self.text)], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", add_buttons)
    app.add_role("colab", ColabRole())
    app.add_role("repository", RepositoryRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
