"""What a page shows on demand: the lines of a derivation, and what a symbol means."""

import pytest
from browsing import HEIGHT, NAMES, PHONE, WIDE
from playwright.sync_api import expect

PAGE = "06-elbo.html"
# A line within what is folded gets a name, as an equation or a figure there would have.
NAME_A_LINE = """() => {
  const lines = document.querySelectorAll("details.algebra")[1].querySelectorAll("p");
  lines[lines.length - 1].id = "line";
}"""


@pytest.fixture
def chapter(open_page):
    return open_page(PAGE, PHONE, has_touch=True)


def test_the_lines_of_a_derivation_open_by_mouse_and_key(chapter):
    lines = chapter.locator("details.algebra").first
    for press in (lambda title: title.click(), lambda title: title.press("Enter")):
        press(lines.locator("summary"))
        expect(lines.locator("p").first).to_be_visible()
        press(lines.locator("summary"))
        expect(lines.locator("p").first).to_be_hidden()


def test_who_moves_by_keys_sees_which_lines_would_open(chapter):
    title = chapter.locator("details.algebra summary").first
    chapter.keyboard.press("Tab")
    title.focus()
    assert title.evaluate("(e) => getComputedStyle(e).outlineStyle") == "solid"


def test_a_link_to_a_folded_line_opens_it_each_time(chapter):
    chapter.evaluate(NAME_A_LINE)
    line = chapter.locator("#line")
    chapter.evaluate(
        "document.querySelector('article p').innerHTML += ' <a href=\"#line\">there</a>'"
    )
    for _ in range(2):
        expect(line).to_be_hidden()
        chapter.get_by_role("link", name="there", exact=True).click()
        expect(line).to_be_in_viewport()
        chapter.locator("details.algebra").nth(1).evaluate("(lines) => (lines.open = false)")


def test_a_link_from_another_page_opens_the_box_it_leads_to(open_page):
    page = open_page("equations.html#code-eq-elbo", PHONE)
    code = page.locator("#code-eq-elbo pre, #code-eq-elbo + .admonition pre").first
    expect(code).to_be_visible()
    expect(page.locator("#code-eq-elbo")).to_be_in_viewport()


MEANING = "variance of the step back when the data is known"


@pytest.fixture
def symbol(chapter):
    """A symbol in the text, with the box that says what it means."""
    row = chapter.locator(".symbols [data-symbol]", has_text=MEANING).get_attribute("data-symbol")
    place = chapter.locator(f'article p .math[data-symbol="{row}"] .katex-html').first
    place.scroll_into_view_if_needed()
    return place, chapter.get_by_role("tooltip")


def test_a_symbol_shows_what_it_means_to_a_pointer_and_a_finger(chapter, symbol):
    place, meaning = symbol
    for reach, leave in (
        (place.hover, lambda: chapter.mouse.move(1, 1)),
        (place.hover, lambda: chapter.keyboard.press("Escape")),
        (place.tap, lambda: chapter.touchscreen.tap(2, HEIGHT / 2)),
    ):
        expect(meaning).to_have_count(0)
        before = chapter.evaluate("document.documentElement.scrollHeight")
        reach()
        expect(meaning).to_contain_text(MEANING)
        assert chapter.evaluate("document.documentElement.scrollHeight") == before
        box = meaning.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE
        leave()
        expect(meaning).to_have_count(0)


def test_a_page_lists_its_symbols_for_those_who_move_by_keys(chapter):
    assert chapter.locator(".math[data-symbol][tabindex]").count() == 0
    symbols = chapter.locator("details.symbols")
    symbols.locator("summary").press("Enter")
    expect(symbols.locator("dd", has_text=MEANING)).to_be_visible()
    symbols.get_by_role("link", name="All symbols").click()
    chapter.wait_for_url("**/notation.html")


def test_a_letter_means_what_its_own_chapter_says(open_page):
    """Bold x is a picture in chapters 2 and 3 only, and bold z is fresh noise in chapter 10."""
    marked = "(all) => all.map((e) => e.querySelector('annotation').textContent)"
    for name, letters in (("02-vae", True), ("10-sampling", False), ("12-scores-and-mcmc", False)):
        page = open_page(f"{name}.html", WIDE)
        found = set(page.locator(".math[data-symbol]").evaluate_all(marked))
        assert bool(found & {r"\mathbf{x}", r"\mathbf{z}"}) == letters


LETTERS = {"02-vae": "u", "13-evaluation": "u", "14-guidance-and-learned-variance": r"\nu"}


@pytest.mark.parametrize("name", LETTERS)
def test_a_letter_with_another_meaning_shows_none(open_page, name):
    page = open_page(f"{name}.html", WIDE)
    marked = "(all) => all.map((e) => e.querySelector('annotation').textContent)"
    shown = page.locator(".math").evaluate_all(marked)
    assert LETTERS[name] in shown
    assert LETTERS[name] not in page.locator(".math[data-symbol]").evaluate_all(marked)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("assignments/student")])
def test_the_links_among_the_symbols_of_an_assignment_lead_to_their_pages(open_page, name, server):
    page = open_page(name, WIDE)
    for link in page.locator("details.symbols a").all():
        path = link.evaluate("(a) => a.href").removeprefix(server.address).partition("#")[0]
        assert path in NAMES
