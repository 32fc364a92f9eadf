"""Menu, contents, search and links, by mouse, touch and key."""

import re

import pytest
from browsing import HEIGHT, NAMES, PHONE, TABLET, WIDE
from playwright.sync_api import expect

PAGE = "assignments/index.html"


def test_the_address_of_the_book_leads_to_its_first_page(open_page, server):
    page = open_page("", WIDE)
    page.wait_for_url("**/intro.html")
    assert server.failed == []


MENU, CONTENTS = "primary", "secondary"


def button_and_dialog(page, which):
    button = page.locator(f"button.{which}-toggle:visible")
    return button, page.locator(f"#pst-{which}-sidebar-modal")


@pytest.mark.parametrize("width", [PHONE, 768, TABLET, 991])
@pytest.mark.parametrize("which", [MENU, CONTENTS])
def test_menu_and_contents_open_and_close(open_page, which, width):
    page = open_page(PAGE, width, has_touch=True)
    button, dialog = button_and_dialog(page, which)
    outside = (width - 10 if which == MENU else 10, HEIGHT / 2)
    for press in (button.click, button.tap, lambda: button.press("Enter")):
        expect(dialog).to_be_hidden()
        press()
        expect(dialog.get_by_role("link").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    for close in (page.mouse.click, page.touchscreen.tap):
        button.click()
        expect(dialog).to_be_visible()
        close(*outside)
        expect(dialog).to_be_hidden()


@pytest.mark.parametrize("width", [PHONE, TABLET])
def test_a_link_in_the_menu_leads_to_its_page(open_page, width):
    page = open_page(PAGE, width)
    button, dialog = button_and_dialog(page, MENU)
    button.click()
    dialog.get_by_role("link", name="Bibliography").click()
    page.wait_for_url("**/bibliography.html")


@pytest.mark.parametrize("width", [PHONE, TABLET, 1199])
def test_a_link_in_the_contents_leads_to_its_section(open_page, width):
    page = open_page(PAGE, width)
    button, dialog = button_and_dialog(page, CONTENTS)
    button.click()
    dialog.get_by_role("link", name="How they are graded").click()
    page.wait_for_url("**#how-they-are-graded")
    expect(dialog).to_be_hidden()
    expect(page.locator("#how-they-are-graded h2")).to_be_in_viewport()


def test_on_a_wide_screen_the_menu_button_hides_and_shows_the_menu(open_page):
    page = open_page(PAGE, WIDE)
    button, _ = button_and_dialog(page, MENU)
    menu = page.locator("#pst-primary-sidebar")
    expect(menu).to_be_visible()
    button.click()
    expect(menu).to_be_hidden()
    button.click()
    expect(menu).to_be_visible()


def test_every_button_shows_that_it_has_the_focus(open_page):
    page = open_page(PAGE, PHONE)
    page.keyboard.press("Tab")
    buttons = page.locator(".bd-header-article button:visible")
    assert buttons.count() >= 5
    for button in buttons.all():
        button.focus()
        assert button.get_attribute("aria-label"), button.inner_html()
        style = "(e) => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]"
        assert button.evaluate(style) == ["solid", "3px"], button.get_attribute("aria-label")


@pytest.mark.parametrize("name", ["04-forward-process.html", "10-sampling.html"])
def test_a_slider_moves_by_key(open_page, name):
    page = open_page(name, PHONE)
    slider = page.locator("input[type=range]").first
    said = slider.locator("xpath=following-sibling::*[1]")
    before = said.inner_text()
    slider.press("ArrowRight")
    expect(said).not_to_have_text(before)


@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_the_first_page_leads_to_every_chapter_with_one_click(open_page, server, width):
    page = open_page("intro.html", width)
    boxes = page.locator(".chapter-map a")
    chapters = [name for name in NAMES if re.match(r"\d\d-", name)]
    assert sorted(boxes.evaluate_all("(all) => all.map((a) => a.href.baseVal)")) == chapters
    boxes.last.click()
    page.wait_for_url("**/*-*.html")
    assert page.url.removeprefix(server.address) in chapters


@pytest.mark.parametrize(
    ("door", "place"), [("Read", "01-denoise"), ("Run", "run-it"), ("Teach", "teaching")]
)
def test_a_door_leads_there_by_mouse_and_key(open_page, door, place):
    for press in (lambda card: card.click(), lambda card: card.locator("a").press("Enter")):
        page = open_page("intro.html", PHONE)
        press(page.locator(".doors .sd-card", has_text=door))
        page.wait_for_url(lambda url: place in url)


def test_the_link_to_a_checks_code_leads_to_its_box(open_page):
    page = open_page("equations.html#check-eq-elbo", PHONE)
    row = page.locator("table.checks tr", has=page.locator("#check-eq-elbo"))
    expect(row).to_be_in_viewport()
    row.get_by_role("link", name="Code").click()
    expect(page.locator("#code-eq-elbo")).to_be_in_viewport()


@pytest.fixture
def number(open_page):
    """A number of an equation of another chapter, in the text, and the box that shows it."""
    page = open_page("06-elbo.html", PHONE, has_touch=True)
    link = page.locator('article p a[href="04-forward-process.html#equation-eq-marginal"]').first
    link.scroll_into_view_if_needed()
    return page, link, page.get_by_role("tooltip")


def test_a_number_shows_its_equation_to_a_pointer_and_a_key(number):
    page, link, shown = number
    for reach, leave in (
        (link.hover, lambda: page.mouse.move(1, 1)),
        (link.focus, link.blur),
        (link.hover, lambda: page.keyboard.press("Escape")),
    ):
        expect(shown).to_have_count(0)
        reach()
        expect(shown.locator(".katex-html")).to_contain_text("x")
        assert link.get_attribute("aria-describedby") == "preview"
        box = shown.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE
        leave()
        expect(shown).to_have_count(0)


def test_the_first_tap_on_a_number_shows_its_equation_and_the_second_leads_there(number):
    page, link, shown = number
    link.tap()
    expect(shown).to_be_visible()
    assert page.url.endswith("06-elbo.html")
    page.touchscreen.tap(2, HEIGHT / 2)
    expect(shown).to_have_count(0)
    link.tap()
    link.tap()
    page.wait_for_url("**/04-forward-process.html#equation-eq-marginal")


@pytest.mark.parametrize("name", ["06-elbo.html", "12-scores-and-mcmc.html"])
def test_a_page_stays_where_it_is_while_it_loads(new_context, server, name):
    page = new_context(TABLET).new_page()
    page.add_init_script("""new PerformanceObserver((seen) => {
      for (const {value} of seen.getEntries()) window.shift = (window.shift ?? 0) + value;
    }).observe({type: "layout-shift", buffered: true})""")
    page.goto(server.address + name)
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(500)
    assert page.evaluate("window.shift ?? 0") < 0.1  # what passes for good


def test_all_of_a_solutions_title_opens_it(open_page):
    page = open_page("06-elbo.html", PHONE)
    solution = page.locator(".solution").first
    solution.scroll_into_view_if_needed()
    place = solution.get_by_role("link").first.bounding_box()
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + 8)
    expect(solution.locator("section").first).to_be_visible()
