"""The student that draws in the page at once, and its teacher beside it."""

import re

import pytest
import torch
from browsing import BOOK, CLOSE, LIVE, MEGA, PHONE, compressed
from playwright.sync_api import expect

from ddpm_tutorial import load_pretrained, sample

PAGE = "18-few-steps.html"
DONE = re.compile("nobody wrote")
BESIDE = {1: "little more than the mean", 20: "looked 20 times"}
PICTURES = "[...document.querySelectorAll('.live .ten canvas')].map((one) => one.toDataURL())"


@pytest.fixture
def few(visit, server):
    return visit(server.address + PAGE, name="student")


def beside(view, looks):
    """Chooses the teacher, and waits for it."""
    view.place.get_by_label(f"the teacher, {looks} look", exact=looks == 1).check(force=True)
    expect(view.reading).to_contain_text(BESIDE[looks])


def weights(view):
    return [re.search(r"weights/(.*)\.js", url)[1] for url in view.asked if "weights" in url]


def ends(view, first=0):
    """What was drawn, from a reply on: x_T of each digit, and the digits, both (n, 28, 28)."""
    few = "({t, x_t}) => ({t, x_t: [...x_t]})"
    heard = view.page.evaluate(f"heard.slice({first}).filter(({{t}}) => t % 1000 === 0).map({few})")
    starts = [one["x_t"] for one in heard if one["t"] == 1000]
    digits = [one["x_t"] for one in heard if one["t"] == 0]
    return (torch.tensor(pictures).view(-1, 28, 28) for pictures in (starts, digits))


def test_the_student_comes_when_it_is_asked_and_the_teacher_when_it_is_asked(few):
    few.place.get_by_label("the teacher, 1 look", exact=True).check(force=True)
    few.page.wait_for_timeout(500)
    assert weights(few) == []
    few.place.get_by_label("nobody").check(force=True)
    few.play.click()
    expect(few.reading).to_have_text(DONE)
    few.page.wait_for_timeout(500)
    assert weights(few) == ["mnist-one-step"]
    beside(few, 1)
    assert weights(few) == ["mnist-one-step", "mnist-labels"]


@pytest.mark.parametrize("where", ["http", "file"])
def test_the_student_draws_what_it_draws_in_python(visit, server, where):
    address = server.address if where == "http" else f"{BOOK.as_uri()}/"
    view = visit(address + PAGE, name="student")
    view.play.click()
    expect(view.reading).to_have_text(DONE)
    x_T, drawn = ends(view)
    assert (x_T == x_T[:1]).all()  # ten digits of one noise
    student = load_pretrained("mnist-one-step").denoiser(torch.arange(10))
    wanted = sample(student, 10, "ddim", 1, x_T=x_T[:, None])[:, 0]
    assert float((drawn - wanted).abs().max()) <= CLOSE
    assert [url for url in view.asked if not url.startswith((address, "blob:", "data:"))] == []


@pytest.mark.parametrize("looks", [1, 20])
def test_the_teacher_draws_from_the_same_noise(few, looks):
    few.play.click()
    expect(few.reading).to_have_text(DONE)
    count = few.page.evaluate("heard.length")
    beside(few, looks)
    x_T, drawn = ends(few, count)
    assert (x_T == next(ends(few))[:1]).all()
    teacher = load_pretrained("mnist-labels").denoiser(torch.arange(10))
    wanted = sample(teacher, 10, "ddim", looks, x_T=x_T[:, None])[:, 0]
    assert float((drawn - wanted).abs().max()) <= CLOSE
    assert {one["label"] for one in few.page.evaluate("told")} == {*range(10)}


def test_each_press_draws_other_digits_and_the_teachers_grey_stays(few):
    sheets = []
    for seed in (1, 2):
        few.play.press("Enter")
        if seed == 1:
            beside(few, 1)
        expect(few.reading).to_contain_text(f"no. {seed},")
        expect(few.reading).to_contain_text(BESIDE[1])
        sheets.append([*ends(few)][1][-20:].view(2, 10, 28, 28))
    assert {one["seed"] for one in few.page.evaluate("told")} == {1, 2}
    student, teacher = (sheets[1] - sheets[0]).square().mean((1, 2, 3)).sqrt()
    assert float(student) > 3 * float(teacher) > 0


def test_who_presses_fast_gets_the_last_noise(few):
    few.play.click()
    expect(few.reading).to_have_text(DONE)
    few.play.evaluate("(button) => { for (let k = 0; k < 5; k++) button.click() }")
    for _ in range(4):
        few.play.click()
    few.page.wait_for_timeout(300)
    seed = few.page.evaluate("told.at(-1).seed")
    expect(few.reading).to_contain_text(f"no. {seed},")
    assert few.place.get_by_label("The noise of all ten").input_value() == str(seed)
    count = few.page.evaluate("told.length")
    before = few.page.evaluate(PICTURES)
    few.page.wait_for_timeout(500)
    assert few.page.evaluate("told.length") == count
    assert few.page.evaluate(PICTURES) == before


def test_each_control_by_key(few):
    few.play.press("Space")
    expect(few.reading).to_contain_text("no. 1,")
    expect(few.play).to_be_focused()
    noise = few.place.get_by_label("The noise of all ten")
    noise.press("ArrowRight")
    expect(few.reading).to_contain_text("no. 2,")
    assert noise.get_attribute("aria-valuetext") == "no. 2"
    few.place.get_by_label("nobody").press("ArrowRight")
    expect(few.reading).to_contain_text(BESIDE[1])
    few.page.keyboard.press("ArrowRight")
    expect(few.reading).to_contain_text(BESIDE[20])
    said = few.place.locator(".ten:last-of-type canvas").nth(3).get_attribute("aria-label")
    assert said == "A 3, by the teacher at 20 looks"
    expect(few.reading).to_have_attribute("aria-busy", "false")
    few.place.get_by_role("button", name="Start again").press("Enter")
    expect(few.reading).to_contain_text("when you draw")
    expect(few.place.locator(".ten:visible")).to_have_count(1)
    assert few.place.locator("canvas").first.get_attribute("aria-label") == "Noise"


def test_who_wants_no_motion_sees_noise_and_then_digits(visit, server):
    view = visit(server.address + PAGE, PHONE, name="student", reduced_motion="reduce")
    view.play.click()
    expect(view.reading).to_have_text(DONE)
    view.page.evaluate(
        """() => {
          window.looks = new Set();
          const cell = document.querySelectorAll(".live .ten")[1].querySelector("canvas");
          const look = () => { looks.add(cell.toDataURL()); requestAnimationFrame(look); };
          look();
        }"""
    )
    beside(view, 20)
    view.page.wait_for_timeout(100)
    assert view.page.evaluate("looks.size") <= 3  # empty, noise, a digit


def test_it_says_so_where_a_model_cannot_come(few):
    few.page.route("**/weights/mnist-labels.js", lambda route: route.abort())
    few.play.click()
    expect(few.reading).to_have_text(DONE)
    few.place.get_by_label("the teacher, 1 look", exact=True).check(force=True)
    expect(few.reading).to_contain_text("cannot draw here")
    few.page.unroute("**/weights/mnist-labels.js")
    few.play.click()
    expect(few.reading).to_contain_text(BESIDE[1])


def test_it_answers_at_once_and_is_light(few):
    few.play.click()
    expect(few.reading).to_have_text(DONE)
    spent = few.page.evaluate("heard.map(({milliseconds}) => milliseconds)")
    assert len(spent) == 20
    assert sum(spent) < 4000  # on a busy machine; a small part of it where nothing else runs
    assert len(compressed(LIVE / "weights" / "mnist-one-step.js")) <= 4 * MEGA
    assert len(compressed(LIVE / "student.js")) <= 20_000
