"""A browser, the book on a free port, and one visit to every page."""

import http.server
import os
import re
import shutil
import threading
from functools import partial
from types import SimpleNamespace

import pytest
from browsing import (
    BOOK,
    HEIGHT,
    LISTEN,
    NAMES,
    PHONE,
    SMALL_PHONE,
    TABLET,
    WIDE,
    Handler,
    script,
)
from playwright.sync_api import Error, expect, sync_playwright

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
FLAGS = ["--disable-gpu", "--disable-quic", "--disable-sync"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# A busy machine takes its time; what is wrong stays wrong.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)
# What a formula looks like is hidden from those who hear it, and slow to go through.
WITHOUT_LOOKS = "document.querySelectorAll('.katex-html').forEach((formula) => formula.remove())"


@pytest.fixture(scope="session")
def server():
    """The book on a free port; `failed` are the requests that it could not answer."""
    assert (BOOK / "intro.html").is_file(), f"there is no book in {BOOK}: run make book"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=BOOK)) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{web.server_port}/"
        yield SimpleNamespace(address=address, failed=Handler.failed)
        web.shutdown()


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def new_context(browser):
    """Makes what a new visitor's browser is, with no waiting for things that move."""
    contexts = []

    def new_context(width, **options):
        size = {"width": width, "height": HEIGHT}
        contexts.append(browser.new_context(viewport=size, reduced_motion="reduce", **options))
        contexts[-1].set_default_timeout(90_000)
        return contexts[-1]

    yield new_context
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(new_context, server):
    """Opens a page in a window of a given width."""

    def open_page(name, width, **options):
        page = new_context(width, **options).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(server.address + name)
        return page

    return open_page


@pytest.fixture
def visit(browser):
    """Opens the first view of a page at an address, in a browser that moves unless told not to."""
    contexts = []

    def visit(address, width=WIDE, name="digit", **options):
        size = {"width": width, "height": HEIGHT}
        contexts.append(browser.new_context(viewport=size, **options))
        page = contexts[-1].new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.add_init_script(LISTEN)
        page.goto(address)
        place = page.locator(f".live[data-view={name}]").first
        place.scroll_into_view_if_needed()
        expect(place).to_have_class(re.compile("ready"))
        return SimpleNamespace(
            page=page,
            place=place,
            asked=asked,
            reading=place.locator(".reading"),
            start=place.locator("button.start"),
            play=place.locator(".transport button"),
            step=place.locator(".transport input"),
        )

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def visits(new_context, server):
    """What was found on each page, by its name."""
    context, found = new_context(PHONE), {}
    context.add_init_script("localStorage.clear()")  # each page as if it were the first
    page = context.new_page()
    page.on("console", lambda said: said.type == "error" and visit.errors.append(said.text))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("request", lambda request: visit.asked.append(request.url))
    page.on("response", lambda answer: visit.answers.update({answer.url: answer.headers}))
    for name in NAMES:
        found[name] = visit = SimpleNamespace(
            errors=[],
            asked=[],
            answers={},
            broken_images=[],
            cut={},
            scrolls={},
            torn={},
            themes={},
            axe=[],
        )
        page.set_viewport_size({"width": PHONE, "height": HEIGHT})
        page.goto(server.address + name)
        visit.__dict__.update(page.evaluate(script("page")))
        visit.broken_images += page.evaluate(script("broken"))
        visit.sent = dict(visit.answers)  # and nothing for the other theme
        for width in (PHONE, SMALL_PHONE, TABLET, WIDE):
            page.set_viewport_size({"width": width, "height": HEIGHT})
            for kind in ("cut", "scrolls", "torn"):
                getattr(visit, kind)[width] = page.evaluate(script(kind))
        for theme in ("light", "dark"):
            show(page, theme)
            visit.themes[theme] = page.evaluate(script("pale"))
            visit.broken_images += page.evaluate(script("broken"))
        page.evaluate(script("axe/axe.min"))
        page.evaluate(WITHOUT_LOOKS)
        for width, theme in ((WIDE, "light"), (PHONE, "dark")):
            page.set_viewport_size({"width": width, "height": HEIGHT})
            show(page, theme)
            visit.axe += page.evaluate(script("violations"), RULES)
    return found


def show(page, theme):
    page.evaluate("(theme) => (document.documentElement.dataset.theme = theme)", theme)
