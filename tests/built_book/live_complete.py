"""The reader draws the upper half of a digit by pointer or by key, and the model the rest."""

import re

import pytest
import torch
from playwright.sync_api import expect

PAGE = "17-inverse-problems.html"
DONE = re.compile("Six answers")


@pytest.fixture
def complete(visit, server):
    return visit(server.address + PAGE, name="complete")


def stroke(view, points, lift=True):
    """Draws with the mouse through points of the picture, in pixels of a digit."""
    canvas = view.place.locator(".pair > .picture canvas")
    box, mouse = canvas.bounding_box(), view.page.mouse
    pixel = box["width"] / 28
    (x, y), *others = [(box["x"] + x * pixel, box["y"] + y * pixel) for x, y in points]
    mouse.move(x, y)
    mouse.down()
    for x, y in others:
        mouse.move(x, y, steps=4)
    if lift:
        mouse.up()


def test_the_model_continues_what_a_pointer_draws(complete):
    page = complete.page
    stroke(complete, [(10, 4), (14, 20)], lift=False)
    assert page.evaluate("told") == []  # not before the pen is lifted
    page.mouse.up()
    expect(complete.reading).to_have_text(DONE, timeout=180_000)
    expect(complete.place.get_by_label("your own", exact=True)).to_be_checked()
    known = torch.tensor(page.evaluate("[...told[0].known]")).view(28, 28)
    assert float(known[:14].max()) == 1
    assert (known[:14] == 1).any(1).sum() > 8  # a stroke, and not a dot
    assert known[14:].isnan().all()
    ends = page.evaluate("heard.filter(({t}) => t === 0).map(({x_t}) => [...x_t])")
    answers = torch.tensor(ends).view(6, 28, 28)
    assert (answers[:, :14] - known[:14]).abs().max() < 1e-6
    lower = answers[:, 14:].flatten(1)
    assert torch.cdist(lower, lower).fill_diagonal_(9).min() > 1
    assert lower.max(1).values.min() > 0  # in each of them the stroke goes on


def test_who_goes_on_drawing_while_answers_come_is_answered_anew(complete):
    page, errors = complete.page, []
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    cells = "[...document.querySelectorAll('.answers canvas')].map((one) => one.toDataURL())"

    stroke(complete, [(6, 4), (6, 12)])
    stroke(complete, [(10, 4), (10, 12)])  # while the model is on its way
    page.wait_for_function("heard.length > 3")
    assert page.evaluate("[6, 10].every((x) => told.at(-1).known[8 * 28 + x] > 0)")
    empty = page.evaluate(cells)[-1]
    stroke(complete, [(14, 4), (14, 12)], lift=False)  # while answers come
    expect(complete.play).to_have_text("Play")
    told, heard = page.evaluate("[told.length, heard.length]")
    page.wait_for_timeout(1000)
    assert page.evaluate("told.length") == told  # nothing is asked while the pen is down
    assert page.evaluate("heard.length") <= heard + 1  # but what was on its way
    assert set(page.evaluate(cells)) == {empty}  # and its answers are gone
    page.mouse.up()
    page.wait_for_function("(count) => told.length > count", arg=told)
    stroke(complete, [(18, 4), (18, 12)])
    stroke(complete, [(22, 4), (22, 12)])  # before the first reply

    expect(complete.reading).to_have_text(DONE, timeout=180_000)
    asked = page.evaluate("told.map(({known, ...rest}) => ({known: [...known], ...rest}))")
    last = asked[-6:]
    assert [one["seed"] - asked[0]["seed"] for one in last] == [0, 1, 2, 3, 4, 5]
    assert len(asked) <= told + 2 + 6  # a stroke asks once
    known = torch.tensor([one["known"] for one in last]).view(6, 28, 28)
    assert torch.equal(known[:1].expand(6, -1, -1).nan_to_num(9), known.nan_to_num(9))
    for x in (6, 10, 14, 18, 22):  # each stroke counts
        assert (known[0, 5:12, x] > 0).all()
    page.wait_for_timeout(500)
    assert page.evaluate("told.length") == len(asked)  # and nothing more is asked
    ends = page.evaluate("heard.filter(({t}) => t === 0).slice(-6).map(({x_t}) => [...x_t])")
    answers = torch.tensor(ends).view(6, 28, 28)
    assert (answers[:, :14] - known[:, :14]).abs().max() < 1e-6
    assert errors == []


def test_a_part_is_chosen_and_completed_by_key(complete):
    page, place = complete.page, complete.place
    place.get_by_label("arc", exact=True).press("ArrowRight")
    expect(place.get_by_label("bar", exact=True)).to_be_checked()
    assert page.evaluate("told") == []
    complete.play.press("Enter")
    page.wait_for_function("told.length === 2")
    place.get_by_label("once", exact=True).press("ArrowRight")
    page.wait_for_function("told.at(-1).times === 5 && told.at(-1).steps === 20")
    expect(complete.play).to_have_text("Pause")
    place.get_by_label("angle", exact=True).press("ArrowRight")
    expect(complete.reading).to_contain_text("Draw something")
    expect(complete.play).to_have_text("Play")
    place.get_by_role("button", name="Start again").press("Enter")
    expect(place.get_by_label("arc", exact=True)).to_be_checked()
    assert page.evaluate("new Set(told.map(({seed}) => seed)).size") > 1
