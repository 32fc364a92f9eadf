"""One drawing becomes two: for the light and for the dark theme of the book."""

import base64
import io
import re
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from ddpm_tutorial.plotting import BLUE, SHADE, use_book_style

sys.path.insert(0, str(Path(__file__).parent.parent / "book" / "_ext"))

from figures import COLOUR, HREF, LIGHTER, PNG, SVG, for_dark, in_both_themes, size_of

TEXT_ON_DARK, LINE_ON_DARK = "#e6e6e6", LIGHTER[BLUE.lower()]


def luminance(colour):
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def contrast(one, other):
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture
def both(tmp_path):
    """Draws with what it is given on the axes, and gives the roots of both SVGs."""

    def both(draw):
        with plt.rc_context():
            use_book_style()
            fig, ax = plt.subplots()
            draw(ax)
            fig.savefig(tmp_path / "drawn.svg")
            plt.close(fig)
        return [
            ET.parse(path).getroot() for path in in_both_themes(tmp_path / "drawn.svg", tmp_path)
        ]

    return both


def colours(svg, group):
    """The colours below the first group whose id begins like this."""
    found = next(g for g in svg.iter(f"{SVG}g") if g.get("id", "").startswith(group))
    return set(COLOUR.findall(ET.tostring(found, "unicode")))


def test_no_theme_has_a_sheet_below_its_figure(both):
    for svg in both(lambda ax: ax.plot([0, 1])):
        for group in ("patch_1", "patch_2"):
            assert colours(svg, group) == set()


def test_words_and_lines_stand_out_in_the_dark(both):
    light, dark = both(lambda ax: ax.plot([0, 1], color=BLUE))
    assert light.get("fill") is None  # black, as SVG has it
    assert dark.get("fill") == TEXT_ON_DARK
    assert colours(light, "matplotlib.axis_1") == {"#000000"}
    assert colours(dark, "matplotlib.axis_1") == {TEXT_ON_DARK}
    assert colours(dark, "patch_3") == {TEXT_ON_DARK}  # the axis itself
    drawn = [COLOUR.findall(ET.tostring(svg, "unicode")) for svg in (light, dark)]
    assert BLUE.lower() in drawn[0]
    assert LINE_ON_DARK in drawn[1]
    assert BLUE.lower() not in drawn[1]


def test_what_is_drawn_over_a_picture_keeps_its_colours(both):
    def over_picture(ax):
        ax.imshow(np.zeros((4, 4)), cmap="gray")
        ax.plot([0, 3], [0, 3], color=BLUE)
        ax.text(1, 1, "white on black", color="white")
        ax.set_xlabel("beside it")

    _, dark = both(over_picture)
    everything = ET.tostring(dark, "unicode")
    assert BLUE.lower() in everything
    words = [colours(dark, g.get("id")) for g in dark.iter(f"{SVG}g") if "text_" in g.get("id", "")]
    assert {"#ffffff"} in words
    assert colours(dark, "matplotlib.axis_1") == {TEXT_ON_DARK}


def test_a_map_that_can_be_seen_through_turns_with_its_lines(both):
    def over_map(ax):
        ax.pcolormesh(np.arange(16).reshape(4, 4), cmap=SHADE, rasterized=True)
        ax.plot([0, 3], [0, 3], color=BLUE)

    pictures = []
    for svg in both(over_map):
        data = base64.b64decode(next(svg.iter(f"{SVG}image")).get(HREF).removeprefix(PNG))
        pictures.append(np.array(Image.open(io.BytesIO(data))))
    light, dark = pictures
    assert (light[..., 3] == dark[..., 3]).all()
    assert {*light[..., 3].flat} >= {0, 255}  # the ground shows where the map is low, only there
    assert (light[light[..., 3] > 0, :3] == 0).all()
    assert (dark[dark[..., 3] > 0, :3] == int(TEXT_ON_DARK[1:3], 16)).all()
    assert BLUE.lower() not in ET.tostring(both(over_map)[1], "unicode")


def test_what_is_drawn_over_points_made_of_pixels_turns_with_the_theme(both):
    def over_points(ax):
        ax.plot([0, 1], [1, 0], ".", rasterized=True)
        ax.plot([0, 1], [0, 1], color=BLUE)

    _, dark = both(over_points)
    everything = ET.tostring(dark, "unicode")
    assert "image" in {element.tag.removeprefix(SVG) for element in dark.iter()}
    assert LINE_ON_DARK in everything
    assert BLUE.lower() not in everything


@pytest.mark.parametrize("colour", ["#000", "#444444", *LIGHTER, "#cc79a7"])
def test_each_colour_of_the_book_can_be_seen_on_the_dark_ground(colour):
    assert contrast(for_dark(re.match(COLOUR, colour)), "#121212") >= 4.5


def test_the_colours_of_the_book_tell_apart_in_the_dark():
    with plt.rc_context():
        use_book_style()
        cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    dark = [for_dark(re.match(COLOUR, colour)) for colour in cycle]
    levels = np.array([[int(c[place : place + 2], 16) for place in (1, 3, 5)] for c in dark])
    for one, other in combinations(levels, 2):
        assert np.linalg.norm(one - other) > 60


def test_greys_change_sides_in_order():
    turned = [for_dark(re.match(COLOUR, f"#{3 * f'{grey:02x}'}")) for grey in range(256)]
    assert [luminance(c) for c in turned] == sorted(map(luminance, turned), reverse=True)


def test_a_size_is_in_pixels_of_the_page(tmp_path):
    with plt.rc_context({"savefig.bbox": None}):
        fig = plt.figure(figsize=(3, 2))
        fig.savefig(tmp_path / "inches.svg")
        plt.close(fig)
    assert size_of(tmp_path / "inches.svg") == (288, 192)  # 96 to the inch
    (tmp_path / "plain.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 7"/>'
    )
    assert size_of(tmp_path / "plain.svg") == (9, 7)


def test_the_same_figure_gives_the_same_bytes():
    def drawn():
        with plt.rc_context():
            use_book_style()
            fig, ax = plt.subplots()
            ax.plot([0, 1], label="a")
            fig.savefig(file := io.BytesIO(), format="svg", metadata={"Date": None})
            plt.close(fig)
        return file.getvalue()

    assert drawn() == drawn()
