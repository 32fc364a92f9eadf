"""The built book in a browser: on a phone, a tablet and a wide screen, in both themes.

Not among the unit tests, since it needs the book and a browser: `make test-book` runs it.
"""

import http.server
import os
import re
import shutil
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Error, expect, sync_playwright

BOOK = Path(os.environ.get("BOOK_HTML", Path(__file__).parent.parent / "_build" / "html"))
PAGE = "assignments/index.html"  # without formulas, so soon there
SMALL_PHONE, PHONE, TABLET, WIDE, HEIGHT = 320, 390, 820, 1440, 844
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
FLAGS = ["--disable-gpu", "--disable-quic", "--disable-sync"]

# Typeset every formula, and open what is folded: solutions and hidden cells.
SETTLE = """async () => {
  await window.MathJax?.startup.promise;
  document.querySelectorAll(".toggle-hidden").forEach((e) => e.classList.remove("toggle-hidden"));
  document.querySelectorAll("details").forEach((e) => (e.open = true));
}"""

# Formulas of which a part can be seen neither at once nor by scrolling a box they stand in, or that
# had to shrink to less than two thirds.
LOST_FORMULAS = """() => {
  const lost = (drawing) => {
    const {left, right, width} = drawing.getBoundingClientRect();
    if (width < 0.66 * drawing.width.baseVal.value) return true;
    for (let box = drawing.parentElement; box; box = box.parentElement) {
      const overflow = getComputedStyle(box).overflowX;
      if (["auto", "scroll"].includes(overflow)) return false;
      const edges = box.getBoundingClientRect();
      if (overflow !== "visible" && (left < edges.left - 1 || right > edges.right + 1)) return true;
    }
    return left < -1 || right > innerWidth + 1;
  };
  return [...document.querySelectorAll("mjx-container > svg")]
    .filter((drawing) => drawing.checkVisibility() && lost(drawing))
    .map((drawing) => drawing.closest("p, li, td, div").textContent.trim().slice(0, 60));
}"""

# Texts of less contrast than level AA of WCAG 2 asks for. The browser itself mixes the colours, on
# a canvas of one pixel: every ground below the text, then the text. What still fades in or moves is
# taken to its end first.
PALE_TEXTS = """() => {
  for (const moving of document.getAnimations()) {
    if (Number.isFinite(moving.effect.getComputedTiming().endTime)) moving.finish();
  }
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const paint = (colour, opacity = 1) => {
    canvas.globalAlpha = opacity;
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((byte) => {
      const share = byte / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (colour, opacity, grounds) => {
    const ground = ["white", ...grounds].map((each) => paint(each)).at(-1);
    const [dark, light] = [ground, paint(colour, opacity)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const contrasts = {}, pale = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const words = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
    const shown = element.checkVisibility({opacityProperty: true, visibilityProperty: true});
    if (!words || !shown || element.closest("mjx-container, script, style")) continue;
    let opacity = 1;
    const grounds = [];
    for (let box = element; box; box = box.parentElement) {
      const style = getComputedStyle(box);
      opacity *= style.opacity;
      grounds.unshift(style.backgroundColor);
    }
    const {color, fontSize, fontWeight} = getComputedStyle(element);
    const key = `${color}, opacity ${opacity}, on ${[...new Set(grounds)].join(" ")}`;
    const found = (contrasts[key] ??= contrast(color, opacity, grounds));
    const large = parseFloat(fontSize) >= (fontWeight >= 700 ? 18.66 : 24);
    if (found < (large ? 3 : 4.5)) pale[key] ??= `${found.toFixed(2)}: ${words.slice(0, 40)}`;
  }
  return pale;
}"""


@pytest.fixture(scope="module")
def server():
    """The book on a free port; `failed` are the requests that it could not answer."""
    assert (BOOK / "intro.html").is_file(), f"there is no book in {BOOK}: run make book"
    failed = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def send_error(self, code, *_):
            failed.append(f"{code}: {self.path}, wanted by {self.headers.get('Referer')}")
            super().send_error(code)

        def copyfile(self, *files):
            try:
                super().copyfile(*files)
            except ConnectionError:  # the browser has left the page
                self.close_connection = True

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=BOOK)) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield SimpleNamespace(address=f"http://127.0.0.1:{web.server_port}/", failed=failed)
        web.shutdown()


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            pytest.fail(
                "These checks need Chromium or Chrome. Install one, with apt-get install chromium "
                "or .venv/bin/playwright install chromium, or put the path of yours into the "
                f"variable CHROMIUM. What went wrong: {error}"
            )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visits(browser, server):
    """One visit to each page: its name, and what was found there."""
    names = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html"))
    context = browser.new_context(reduced_motion="reduce")
    context.add_init_script("localStorage.clear()")  # each page as if it were the first
    page, found = context.new_page(), {}
    page.set_default_timeout(90_000)
    page.on("console", lambda said: said.type == "error" and visit.errors.append(said.text))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("request", lambda request: visit.requests.append(request.url))
    for name in names:
        if name == "index.html" or name.startswith("_static/"):
            continue
        found[name] = visit = SimpleNamespace(errors=[], requests=[])
        page.set_viewport_size({"width": PHONE, "height": HEIGHT})
        page.goto(server.address + name)
        page.evaluate(SETTLE)
        visit.lost_formulas = page.evaluate(LOST_FORMULAS)
        visit.excess = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        visit.paragraphs = page.locator("article p").all_inner_texts()
        visit.icons = page.evaluate("[...document.querySelectorAll('link[rel=icon]')].length")
        page.set_viewport_size({"width": SMALL_PHONE, "height": HEIGHT})
        visit.lost_formulas += page.evaluate(LOST_FORMULAS)
        page.set_viewport_size({"width": WIDE, "height": HEIGHT})
        for theme in ("light", "dark"):
            page.evaluate("(theme) => (document.documentElement.dataset.theme = theme)", theme)
            setattr(visit, theme, page.evaluate(PALE_TEXTS))
    context.close()
    return found


@pytest.fixture
def open_page(browser, server):
    """Opens a page in a window of a given width."""
    contexts = []

    def open_page(name, width, **options):
        size = {"width": width, "height": HEIGHT}
        contexts.append(browser.new_context(viewport=size, reduced_motion="reduce", **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.goto(server.address + name)
        return page

    yield open_page
    for context in contexts:
        context.close()


def by_page(visits, finding):
    """What was found, for the pages where anything was."""
    found = {name: getattr(visit, finding) for name, visit in visits.items()}
    return {name: what for name, what in found.items() if what}


def test_no_page_has_an_error_in_its_console(visits):
    assert by_page(visits, "errors") == {}


def test_no_request_fails(visits, server):
    assert server.failed == []


def test_nothing_is_fetched_from_elsewhere(visits, server):
    here = (server.address, "data:", "blob:")
    asked = {url for visit in visits.values() for url in visit.requests}
    assert {url for url in asked if not url.startswith(here)} == set()


def test_every_page_has_an_icon(visits):
    assert [name for name, visit in visits.items() if visit.icons != 1] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(visits, theme):
    assert by_page(visits, theme) == {}


def test_every_formula_can_be_read_whole_on_a_phone(visits):
    assert by_page(visits, "lost_formulas") == {}


def test_no_page_is_wider_than_a_phone(visits):
    assert by_page(visits, "excess") == {}


def test_no_table_shows_as_raw_text(visits):
    paragraphs = [(name, text) for name, visit in visits.items() for text in visit.paragraphs]
    assert [both for both in paragraphs if re.search(r"\|\s*:?[-–—]+:?\s*\|", both[1])] == []


def test_a_table_that_a_cell_puts_out_is_a_table_with_its_formulas(open_page):
    page = open_page("12-scores-and-mcmc.html", WIDE)
    table = page.locator("div.cell_output table").last
    expect(table.locator("tbody tr")).to_have_count(5)
    expect(table.locator("th mjx-container")).to_have_count(1)


@pytest.mark.parametrize("name", ["09-training.html", "10-sampling.html"])
def test_the_lines_of_an_algorithm_fit_on_a_phone_at_full_size(open_page, name):
    page = open_page(name, PHONE)
    page.evaluate(SETTLE)
    formulas = page.locator("div.algorithm li mjx-container > svg")
    excess = formulas.evaluate_all("""(drawings) => drawings.map((drawing) => {
      const line = drawing.closest("li").getBoundingClientRect();
      return drawing.getBoundingClientRect().left + drawing.width.baseVal.value - line.right;
    })""")
    assert len(excess) >= 5
    assert max(excess) <= 0


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
    page.keyboard.press("Escape")
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
