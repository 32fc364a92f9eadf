import base64
import errno
import io
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from ddpm_tutorial import TutorialError
from ddpm_tutorial.plotting import (
    digit_sheet,
    draw_digits,
    draw_loss,
    save_sheet,
    step_slider,
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
