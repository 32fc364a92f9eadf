"""Appendices have letters where chapters have numbers: in titles, headings, equations and links.

Sphinx numbers the pages of a part from 1 on or not at all, and their equations then as if the whole
book were one page.
"""

from pathlib import Path
from string import ascii_uppercase
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CAPTION = "Appendices"  # of their part in _toc.yml


def appendices_of(toc: Path) -> list[str]:
    """The pages of the appendices, in their order."""
    parts = yaml.safe_load(toc.read_text("utf-8"))["parts"]
    (part,) = (part for part in parts if part["caption"] == CAPTION)
    return [page["file"] for page in part["chapters"]]


def number_sections(env: BuildEnvironment, page: str, letter: str) -> None:
    """Number the headings below the title, and those below them."""
    numbers: dict[str, tuple[Any, ...]] = {}

    def number(entries: nodes.Element, above: tuple[Any, ...]) -> None:
        items = [item for item in entries.children if isinstance(item, nodes.list_item)]
        for place, item in enumerate(items, start=1):
            reference = next(item.findall(nodes.reference))
            own = (*above, place) if above else (letter,)
            numbers[reference["anchorname"]] = reference["secnumber"] = own
            for below in item.children:
                if isinstance(below, nodes.bullet_list):
                    number(below, own)

    number(env.tocs[page], ())
    env.toc_secnumbers[page] = numbers  # type: ignore[assignment]
    env.titles[page]["secnumber"] = (letter,)


def give_letters(_: Sphinx, env: BuildEnvironment) -> list[str]:
    """Give each appendix its letter."""
    appendices = appendices_of(Path(env.srcdir) / "_toc.yml")
    for letter, page in zip(ascii_uppercase, appendices, strict=False):
        number_sections(env, page, letter)
        for numbers in env.toc_fignumbers.get(page, {}).values():
            for name, number in numbers.items():
                numbers[name] = (letter, number[-1])  # type: ignore[assignment]
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("env-get-updated", give_letters, priority=900)  # after Sphinx has given numbers
    return {"parallel_read_safe": True, "parallel_write_safe": True}
