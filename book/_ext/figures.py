"""Vector figures in both themes, and room kept for every picture before it comes.

A figure is drawn once, on white. From its SVG come two: one for each theme, on no ground of their
own, of which the page shows one. What is drawn over a picture keeps its colours in both; points
drawn as pixels, which cover no ground, are no picture.
"""

import base64
import hashlib
import io
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
COLOUR = re.compile(r"#(?:[0-9a-f]{6}|[0-9a-f]{3})\b", re.IGNORECASE)
PAINT = ("fill", "stroke", "stop-color", "style")
WHITE = re.compile(r"#fff(fff)?\b", re.IGNORECASE)
# The dark theme's text and ground; and the book's colours, light enough for it.
TEXT, GROUND = 0xE6, 0x14
LIGHTER = {
    "#0072b2": "#4ba6e0",
    "#d55e00": "#ff8f4a",
    "#009e73": "#35c79d",
    "#e69f00": "#ffd04d",
    "#56b4e9": "#a6dcff",
    "#4b0092": "#b58cff",
    "#8b4513": "#c98a5a",
    "#12284c": "#a9c4ee",
}


def for_dark(found: re.Match) -> str:
    """The colour in its place in the dark theme: greys change sides, the book's turn lighter."""
    colour = found[0].lower()
    if len(colour) == 4:
        colour = "#" + "".join(2 * digit for digit in colour[1:])
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    if red == green == blue:
        return "#" + 3 * f"{round(TEXT + (GROUND - TEXT) * red / 255):02x}"
    return LIGHTER.get(colour, colour)


def without_ground(svg: ET.Element) -> None:
    """Take away the white sheet below a figure, and below each of its axes."""
    sheets = [svg.find(f"{SVG}rect")]
    for group in svg.iter(f"{SVG}g"):
        if group.get("id", "").startswith(("figure_", "axes_")):
            sheets.append(group.find(f"{SVG}g/{SVG}path"))
    for sheet in sheets:
        for name in ("fill", "style"):
            if sheet is not None and sheet.get(name):
                sheet.set(name, WHITE.sub("none", sheet.attrib[name]))


def covers(image: ET.Element) -> bool:
    """Whether an image in the SVG hides what lies below it, with every one of its pixels."""
    data = base64.b64decode(image.attrib[LINK].partition(",")[2])
    with Image.open(io.BytesIO(data)) as pixels:
        return pixels.convert("RGBA").getchannel("A").getextrema()[0] == 255


def recolour(element: ET.Element, over_picture: bool = False) -> None:
    """Put the colours of the dark theme in."""
    if element.get("id", "").startswith("axes_"):
        over_picture = any(covers(image) for image in element.iter(f"{SVG}image"))
    white_words = element.get("id", "").startswith("text_") and WHITE.search(
        ET.tostring(element, "unicode")
    )
    if white_words or (over_picture and element.get("clip-path")):
        return
    for name in PAINT:
        if value := element.get(name):
            element.set(name, COLOUR.sub(for_dark, value))
    for part in element:
        recolour(part, over_picture)


def in_both_themes(source: Path, folder: Path) -> tuple[Path, Path]:
    """Write the figure for the light and for the dark theme; return where they are."""
    data = source.read_bytes()
    name = hashlib.sha256(data + Path(__file__).read_bytes()).hexdigest()[:16]
    light, dark = (folder / f"{name}-{theme}.svg" for theme in ("light", "dark"))
    folder.mkdir(parents=True, exist_ok=True)
    svg = ET.fromstring(data)
    for metadata in svg.findall(f"{SVG}metadata"):
        svg.remove(metadata)
    without_ground(svg)
    light.write_bytes(ET.tostring(svg))
    recolour(svg)
    svg.set("fill", "#" + 3 * f"{TEXT:02x}")  # of words, which have no colour of their own
    dark.write_bytes(ET.tostring(svg))
    return light, dark


def add_themes(app: Sphinx, doctree: nodes.document) -> None:
    """Put two figures where one was; bitmaps are left as they are in both themes."""
    if app.builder.format != "html":
        return
    folder = Path(app.outdir).parent / "figures"
    page = Path(app.env.doc2path(app.env.docname)).parent
    for image in list(doctree.findall(nodes.image)):
        if not image["uri"].endswith(".svg"):
            image["classes"].append("dark-light")
            continue
        root = Path(app.srcdir) if image["uri"].startswith("/") else page
        pair = []
        for theme, path in zip(
            ("light", "dark"), in_both_themes(root / image["uri"].lstrip("/"), folder), strict=True
        ):
            pair.append(image.deepcopy())
            pair[-1]["uri"] = Path(os.path.relpath(path, page)).as_posix()
            pair[-1]["classes"].append(f"only-{theme}")
        image.replace_self(pair)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture in the page's pixels, for a bitmap its own."""
    if path.suffix != ".svg":
        return Image.open(path).size
    svg = ET.parse(path).getroot()
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    per_unit = 4 / 3 if svg.get("width", "").endswith("pt") else 1
    return round(width * per_unit), round(height * per_unit)


def keep_room(
    app: Sphinx, _: str, __: str, context: dict[str, Any], ___: nodes.document | None
) -> None:
    """Write each picture's size into the page, and let it come when it is near the screen."""
    sources = {name: source for source, name in app.builder.images.items()}

    def with_size(found: re.Match) -> str:
        width, height = size_of(Path(app.srcdir, sources[unquote(found[1])]))
        return f'{found[0]}width="{width}" height="{height}" loading="lazy" '

    pattern = r'<img (?=[^>]*src="(?:\.\./)*_images/([^"]+)")'
    if app.builder.format == "html" and "body" in context:
        context["body"] = re.sub(pattern, with_size, context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-read", add_themes, priority=400)  # before Sphinx collects the images
    app.connect("html-page-context", keep_room)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
