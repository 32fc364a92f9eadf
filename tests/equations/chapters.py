"""The numbered equations as the chapters print them."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import yaml

BOOK = Path(__file__).parents[2] / "book"
PAGE_OF_CHECKS = "equations"


@dataclass(frozen=True)
class Equation:
    """The stem of its page's file, its label, and what stands between the dollars."""

    page: str
    label: str
    latex: str


@functools.cache
def numbered_equations() -> dict[str, Equation]:
    """By label, in the order of the book."""
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    pages = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    found = [e for page in pages if page != PAGE_OF_CHECKS for e in equations_of(page)]
    assert len({e.label for e in found}) == len(found), "two equations have the same label"
    return {e.label: e for e in found}


def equations_of(page: str) -> list[Equation]:
    """The display equations of one page that carry a label, in their order."""
    found, block = [], None
    for line in map(str.strip, text_of(page).splitlines()):
        if line.startswith("$$"):
            if block is not None and line.startswith("$$ (eq-"):
                found.append(Equation(page, line[4:-1], "\n".join(block)))
            block = [] if block is None else None
        elif block is not None:
            block.append(line)
    return found


def text_of(page: str) -> str:
    """The Markdown of a page."""
    path = BOOK / f"{page}.ipynb"
    if not path.exists():
        return (BOOK / f"{page}.md").read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
