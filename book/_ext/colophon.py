"""What the book says of itself: version, date, repository, how to install and how to cite it.

Each from the one place that has it: the version from the package, the citation from CITATION.cff,
the date from git, the address from the clone (see `repository`). What is not known is not said.
"""

import html
from typing import Any

import yaml
from docutils import nodes
from last_changed import days, in_words
from repository import ROOT, github, origin
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective, SphinxRole

from ddpm_tutorial import __version__

CHANGES, CITE = "changelog", "intro"


def number(_: Sphinx, config: Config) -> None:
    """Tell Sphinx the version, which it writes into the list of names for other books."""
    config.version = config.release = __version__


def edition() -> str:
    """The version, with the day of the last change where it is known."""
    day = max(days(ROOT).values(), default="")
    return f"version {__version__}" + (f", last changed on {in_words(day)}" if day else "")


def bibtex(cff: str, year: str, address: str) -> str:
    """The entry for a bibliography, from the text of CITATION.cff."""
    says = yaml.safe_load(cff)
    names = [
        f"{{{one['name']}}}" if "name" in one else f"{one['family-names']}, {one['given-names']}"
        for one in says["authors"]
    ]
    fields = {
        "title": says["title"],
        "author": " and ".join(names),
        "year": year,
        "note": f"Version {says['version']}",
        "url": address,
    }
    lines = [f"  {name:<6} = {{{value}}}" for name, value in fields.items() if value]
    return "@misc{ddpm_tutorial,\n" + ",\n".join(lines) + "\n}"


def install_line(address: str) -> str:
    """The command that installs the package alone: in a clone where no address is known."""
    return f'$ pip install "ddpm-tutorial @ git+{address}"' if address else "$ pip install ."


def block(text: str, language: str) -> list[nodes.Node]:
    """A block of code."""
    return [nodes.literal_block(text, text, language=language)]


class Citation(SphinxDirective):
    """``{citation}``: how to cite the book."""

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        cff = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
        year = self.config.copyright[:4]
        return block(bibtex(cff, year, github(origin())), "bibtex")


class Install(SphinxDirective):
    """``{install}``: the command that installs the package alone."""

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        return block(install_line(github(origin())), "console")


class Edition(SphinxRole):
    """``{edition}`This is` ``: the words, and after them version and date."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Called by Sphinx."""
        return [nodes.Text(f"{self.text} {edition()}")], []


class Erratum(SphinxRole):
    """``{erratum}`words` ``: the words, as a link to the form for it where the address is known."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Called by Sphinx."""
        if address := github(origin()):
            form = f"{address}/issues/new?template=erratum.yml"
            return [nodes.reference("", self.text, refuri=form)], []
        return [nodes.Text(self.text)], []


def sign(
    app: Sphinx, page: str, _: str, context: dict[str, Any], __: nodes.document | None
) -> None:
    """Write the foot of a page, before the licence that _config.yml has for it."""
    if app.builder.format != "html":
        return

    def to(name: str, place: str, words: str) -> str:
        uri = html.escape(context["pathto"](name).rstrip("#") + place)
        return f'<a href="{uri}">{words}</a>'

    parts = [f"Version {__version__}"]
    if address := github(origin()):
        parts.append(f'<a href="{html.escape(address)}">Repository</a>')
    parts.append(to(CHANGES, "", "Changes and errata"))
    parts.append(to(CITE, "#licence-and-citation", "How to cite"))
    licence = context.get("theme_extra_footer", "")
    context["theme_extra_footer"] = f"<p>{' · '.join(parts)}</p><p>{licence}</p>"


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", number)
    app.connect("html-page-context", sign)
    app.add_directive("citation", Citation)
    app.add_directive("install", Install)
    app.add_role("edition", Edition())
    app.add_role("erratum", Erratum())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
