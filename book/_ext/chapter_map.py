"""A map of the chapters: what needs what, how many minutes each takes, one click to each.

``{chapter-map}`` lists a place for every numbered chapter of _toc.yml, as YAML:

    02-vae: {title: One latent, at: [0, 1], after: [01-denoise]}

`at` is column (0..2) and row. Number and part come from _toc.yml, the minutes from the text.
"""

import html
import re
from pathlib import Path
from typing import Any

import nbformat
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

WORDS_A_MINUTE = 120  # of a text with formulas, which count as a word each
NO_TEXT = re.compile(r"```\{solution.*?```$|^:\w+:.*?$|<!--.*?-->", re.DOTALL | re.MULTILINE)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)
WIDTH, HEIGHT, STEP, GAP = 158, 58, 84, 10  # of a box; from row to row; from column to column


class ChapterMap(nodes.General, nodes.Element):
    """Carries the chapters with their places until the page is written."""


def minutes_of(path: Path) -> int:
    """How long a first reading takes, without exercises' solutions, in steps of 5 minutes."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    words = FORMULA.sub(" formula ", NO_TEXT.sub("", text)).split()
    return max(5, 5 * round(len(words) / WORDS_A_MINUTE / 5))


def chapters_of(toc: Path) -> dict[str, tuple[int, int]]:
    """The numbered chapters of the book, each with its part and its number, both from 1."""
    parts = [p for p in yaml.safe_load(toc.read_text("utf-8"))["parts"] if p.get("numbered")]
    inside = [(part, one["file"]) for part, p in enumerate(parts, 1) for one in p["chapters"]]
    return {file: (part, number) for number, (part, file) in enumerate(inside, 1)}


class ChapterMapDirective(SphinxDirective):
    """Called by Sphinx where the page asks for the map."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The map, or an error that names the chapters which have no place in it, or too many."""
        source = Path(self.env.srcdir)
        places = yaml.safe_load("\n".join(self.content))
        chapters = chapters_of(source / "_toc.yml")
        needed = {one for place in places.values() for one in place.get("after", [])}
        if wrong := set(places) ^ set(chapters) | needed - set(chapters):
            raise self.error(f"the map and _toc.yml differ in {sorted(wrong)}")
        self.env.note_dependency(str(source / "_toc.yml"))
        for file, (part, number) in chapters.items():
            self.env.note_dependency(str(source / f"{file}.ipynb"))
            minutes = minutes_of(source / f"{file}.ipynb")
            places[file] |= {"part": part, "number": number, "minutes": minutes}
        return [ChapterMap("", places=places)]


def corner(place: dict[str, Any]) -> tuple[int, int]:
    """The upper left corner of a chapter's box."""
    column, row = place["at"]
    return 2 + column * (WIDTH + GAP), 2 + row * STEP


def arrow(start: dict[str, Any], end: dict[str, Any]) -> str:
    """From the edge of one box to the edge of another, down or to the side."""
    (left, top), (to_left, to_top) = corner(start), corner(end)
    if top == to_top:
        x, y = (left + WIDTH, to_left - 3) if left < to_left else (left, to_left + WIDTH + 3)
        return f'<path d="M{x} {top + HEIGHT // 2}H{y}"/>'
    lean = (to_left - left) // (WIDTH + GAP)  # leaves and comes in a little to that side
    x, to_x = left + WIDTH // 2 + 40 * lean, to_left + WIDTH // 2 - 40 * lean
    return f'<path d="M{x} {top + HEIGHT}L{to_x} {to_top - 3}"/>'


def draw(translator: Any, node: ChapterMap) -> None:
    """The map as a drawing whose boxes are links."""
    places, builder = node["places"], translator.builder
    height = max(corner(place)[1] for place in places.values()) + HEIGHT + 2
    parts = [
        f'<svg class="chapter-map" viewBox="0 0 {3 * WIDTH + 2 * GAP + 4} {height}" role="group" '
        'aria-label="Map of the chapters"><defs><marker id="needs" viewBox="0 0 8 8" refX="6" '
        'refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs><g class="needs">'
    ]
    for place in places.values():
        parts += [arrow(places[one], place) for one in place.get("after", [])]
    parts.append("</g>")
    for file, place in places.items():
        (x, y), title = corner(place), html.escape(place["title"])
        below = f"{place['number']} · {place['minutes']} min"
        first = [str(places[one]["number"]) for one in place.get("after", [])]
        needs = f"; first read chapter {' and '.join(first)}" if first else ""
        link = builder.get_relative_uri(translator.docnames[-1], file)
        parts.append(
            f'<a href="{link}" class="part-{place["part"]}" aria-label="{title} {below}{needs}">'
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
            f'<text x="{x + WIDTH // 2}" y="{y + 25}">{title}</text> '
            f'<text class="minutes" x="{x + WIDTH // 2}" y="{y + 46}">{below}</text></a>'
        )
    translator.body.append("".join(parts) + "</svg>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_node(ChapterMap, html=(draw, None))
    app.add_directive("chapter-map", ChapterMapDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
