import base64
import errno
import io
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

from ddpm_tutorial import TutorialError
from ddpm_tutorial.plotting import (
    digit_sheet,
    draw_digits,
    draw_loss,
    picture_table,
    save_sheet,
    step_slider,
    use_book_style,
)


def constant_images(*levels):
    return torch.stack([torch.full((1, 2, 3), level / 127.5 - 1) for level in levels])


def test_sheet_by_hand():
    sheet = digit_sheet(constant_images(10, 20, 255), columns=2, gap=1)
    expected = np.zeros((5, 7), dtype=np.uint8)
    expected[:2, :3], expected[:2, 4:], expected[3:, :3] = 10, 20, 255
    assert np.array_equal(sheet, expected)
    nudged = constant_images(10, 20, 255) - 0.4 / 127.5
    assert np.array_equal(digit_sheet(nudged, columns=2, gap=1), expected)


def test_sheet_is_as_square_as_it_gets():
    assert digit_sheet(torch.zeros(100, 1, 28, 28)).shape == (298, 298)


def test_other_shapes_are_refused():
    for wrong in (torch.zeros(28, 28), torch.zeros(0, 1, 28, 28), torch.zeros(2, 3, 4, 4)):
        with pytest.raises(ValueError, match=r"expected \(N, 1, H, W\)"):
            digit_sheet(wrong)


def test_saved_sheet_can_be_read(tmp_path):
    save_sheet(tmp_path / "sheet.png", constant_images(0, 128), zoom=2)
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert picture.shape == (4, 16)
    assert (picture[:, -6:] == 128).all()


def test_a_sheet_that_cannot_be_saved_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "sheet.png"
    save_sheet(path, constant_images(0, 128))
    before = path.read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TutorialError, match=r"sheet\.png.*No space left"):
        save_sheet(path, constant_images(255))
    assert path.read_bytes() == before


def test_drawings_are_labelled():
    digits, loss = Figure().subplots(1, 2)
    draw_digits(digits, constant_images(1, 2), title="two")
    assert digits.get_title() == "two"
    draw_loss(loss, [1.0, 0.5, 0.25, 0.25], window=2)
    assert loss.get_xlabel() == "training step"
    assert loss.get_ylabel() == "loss"
    assert [text.get_text() for text in loss.get_legend().texts] == ["one batch", "mean of 2"]
    np.testing.assert_allclose(loss.lines[1].get_ydata(), [0.75, 0.375, 0.25])
    np.testing.assert_allclose(loss.lines[1].get_xdata(), [2, 3, 4])


@pytest.fixture
def drawn():
    """Draws a table as the book does, and closes it afterwards."""
    with plt.rc_context():
        use_book_style()
        yield picture_table
        plt.close("all")


def labels_of(axes):
    """The labels that stand beside images, each with the row and the column of its image."""
    return {
        text.get_text(): place
        for place, ax in np.ndenumerate(axes)
        for text in ax.texts
        if isinstance(text, Annotation)
    }


def test_a_table_shows_each_image_in_its_row_and_column(drawn):
    images = constant_images(*range(0, 60, 10))
    axes = drawn({"above": images[:3], "below": list(images[3:].numpy())}, ["a", "b", "c"])
    assert axes.shape == (2, 3)
    shown = [[ax.images[0].get_array()[0, 0] for ax in line] for line in axes]
    assert shown == [[0, 10, 20], [30, 40, 50]]
    assert [[ax.get_title() for ax in line] for line in axes] == [["a", "b", "c"], [""] * 3]
    assert labels_of(axes) == {"above": (0, 0), "below": (1, 0)}


def test_a_table_can_be_read_on_a_phone(drawn):
    images = torch.zeros(7, 1, 28, 28)
    names = ("$x_t$", "sigmoid", "sample 4")
    axes = drawn(dict.fromkeys(names, images), [f"t={t}" for t in range(300, 1000, 100)])
    figure = axes[0, 0].figure
    figure.canvas.draw()
    texts = [text for ax in axes.flat for text in [ax.title, *ax.texts] if text.get_text()]
    assert len(texts) == 10
    assert min(text.get_size() for text in texts) * 390 / 72 > 11 * figure.get_figwidth()
    boxes = [text.get_window_extent() for text in texts]
    boxes += [ax.get_window_extent() for ax in axes.flat]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert max(box.x1 for box in boxes) - min(box.x0 for box in boxes) > 0.96 * figure.bbox.width


def test_a_table_whose_rows_or_heads_do_not_fit_is_refused():
    images = torch.zeros(3, 1, 4, 4)
    with pytest.raises(ValueError, match=r"'a': 3, 'b': 2.* under 3 heads"):
        picture_table({"a": images, "b": images[:2]}, ["1", "2", "3"])
    with pytest.raises(ValueError, match="under 2 heads"):
        picture_table({"a": images}, ["1", "2"])
    for empty in ({}, {"a": []}):
        with pytest.raises(ValueError, match="under 0 heads"):
            picture_table(empty)


def tags_of(page):
    """Every element's name and attributes, unescaped."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(page)
    return found


def test_a_slider_holds_its_pictures_captions_and_description():
    images = torch.linspace(-1, 1, 3 * 6 * 4).view(3, 1, 6, 4)
    page = step_slider(images, ["t = 1", 'a "<b>"', "last"], 'what & "why"')
    (_, picture), (_, slider), (_, label) = tags_of(page)[1:]
    assert picture["role"] == "img"
    assert picture["aria-label"] == 'what & "why"'
    strip = re.search(r"base64,([^)]*)\)", picture["style"])
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(strip[1]))))
    assert (pixels == digit_sheet(images, columns=3, gap=0)).all()
    assert pixels.shape == (6, 12)
    assert "aspect-ratio:4/6" in picture["style"]
    assert picture["style"].endswith(" 0 0/300% 100%")  # three pictures side by side
    assert (slider["min"], slider["max"], label["for"]) == ("0", "2", slider["id"])
    # JSON in the handler: the captions by number, in order, with their quotes escaped.
    assert r'["t = 1", "a \"<b>\"", "last"][this.value]' in slider["oninput"]
    assert "100*this.value/2" in slider["oninput"]
    assert ">t = 1</label>" in page


def test_a_slider_refuses_captions_that_do_not_fit():
    images = torch.zeros(2, 1, 4, 4)
    with pytest.raises(ValueError, match="1 captions for 2 images"):
        step_slider(images, ["one"], "")
    with pytest.raises(ValueError, match="1 captions for 1 images"):
        step_slider(images[:1], ["one"], "")
