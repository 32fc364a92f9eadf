"""Links to Colab and Binder, for a book whose repository is a public one on GitHub.

`repository` finds the address. Elsewhere there are no buttons, and other links lead to Colab's
front page, where one can upload a file.
"""

from typing import Any

from docutils import nodes
from repository import BRANCH, address, github
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxRole

COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"
BOOK = "book"


def add_buttons(_: Sphinx, config: Config) -> None:
    """Have the theme put the buttons on each notebook's page."""
    if home := github(address()):
        config.html_theme_options |= {
            "repository_url": home,
            "repository_branch": BRANCH,
            "path_to_docs": BOOK,
            "launch_buttons": {
                "colab_url": COLAB,
                "binderhub_url": BINDER,
                "notebook_interface": "jupyterlab",
            },
        }


class ColabRole(SphinxRole):
    """``{colab}`path.ipynb` ``: a link that opens the notebook; the path is from the book on."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Called by Sphinx."""
        home = github(address())
        owner = home.removeprefix("https://github.com/")
        url = f"{COLAB}/github/{owner}/blob/{BRANCH}/{BOOK}/{self.text}" if home else COLAB
        return [nodes.reference("", "Colab", refuri=url)], []


class RepositoryRole(SphinxRole):
    """``{repository}`words` ``: the words, as a link where the address is known."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Called by Sphinx."""
        if home := github(address()):
            return [nodes.reference("", self.text, refuri=home)], []
        return [nodes.Text(self.text)], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", add_buttons)
    app.add_role("colab", ColabRole())
    app.add_role("repository", RepositoryRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
