"""The pages as they are printed."""

import pytest
from browsing import NAMES, SHEET

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
