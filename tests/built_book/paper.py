"""The pages as they are printed."""

from io import BytesIO

import pytest
from browsing import NAMES, SHEET
from pypdf import PdfReader

# What is cut off at the edge of the sheet, or still folded.
LOST = """() => {
  const right = document.querySelector("main").getBoundingClientRect().right + 1;
  const beyond = (part) => part.checkVisibility() && part.getBoundingClientRect().right > right;
  const cut = [...document.querySelectorAll(".katex-html .base, main table, main img")];
  const code = [...document.querySelectorAll("main pre")];
  const folded = [...document.querySelectorAll("main details:not([open])")];
  const named = (e) => (e.closest(".math, figure, div") ?? e).textContent.trim().slice(0, 60);
  return [
    ...cut.filter(beyond),
    ...code.filter((box) => box.scrollWidth > box.clientWidth + 1),
    ...folded,
  ].map(named);
}"""


@pytest.fixture(scope="module")
def sheet(new_context):
    page = new_context(SHEET, color_scheme="dark").new_page()
    page.emulate_media(media="print")
    return page


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_off_and_nothing_is_folded(sheet, server, name):
    sheet.goto(server.address + name)
    sheet.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert sheet.evaluate(LOST) == []


BEFORE = {"(B.2)": "is normal as well", "(B.3)": "times a number", "(B.5)": "tells us about"}


def test_an_equation_stays_on_the_sheet_of_the_words_before_it(new_context, server):
    page = new_context(SHEET).new_page()
    page.goto(server.address + "gaussian-identities.html")
    title = page.locator("article h1")
    for height in range(0, 1000, 100):  # so that sheets end at ever other places
        title.evaluate("(title, height) => (title.style.paddingTop = `${height}px`)", height)
        sheets = PdfReader(BytesIO(page.pdf(format="A4"))).pages
        texts = [" ".join(sheet.extract_text().split()) for sheet in sheets]
        for number, words in BEFORE.items():
            assert any(number in text and words in text for text in texts), (number, height)


def test_paper_is_light_and_the_screen_then_as_it_was(new_context, server):
    page = new_context(SHEET, color_scheme="dark").new_page()
    page.goto(server.address + "06-elbo.html")
    page.evaluate("""() => addEventListener("beforeprint", () => {
      window.printed = document.documentElement.dataset.theme;
    })""")
    folded = page.locator("main details:not([open])").count()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.pdf()
    assert page.evaluate("window.printed") == "light"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("main details:not([open])").count() == folded > 0
