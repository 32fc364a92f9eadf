"""Every page of the built book: on a phone, a tablet and a wide screen, in both themes."""

import re
from urllib.parse import unquote, urldefrag

import pytest
from browsing import BOOK, NAMES, PHONE, TABLET, WIDE
from playwright.sync_api import expect

KILO = 1000
# What a page may weigh as it is sent, compressed, the first time that somebody comes.
MOST_TEXT, MOST = 500 * KILO, 2000 * KILO
SLOW_4G = {"offline": False, "latency": 150, "downloadThroughput": 200 * KILO} | {
    "uploadThroughput": 90 * KILO
}


def by_page(visits, find):
    """What was found, for the pages where anything was."""
    found = {name: find(visit) for name, visit in visits.items()}
    return {name: what for name, what in found.items() if what}


def weight(visit, *kinds):
    """The bytes sent of what has one of the endings."""
    return sum(
        int(headers.get("content-length", 0))
        for url, headers in visit.sent.items()
        if url.partition("?")[0].endswith(kinds)
    )


def test_no_page_has_an_error_in_its_console(visits):
    assert by_page(visits, lambda visit: visit.errors) == {}


def test_no_request_fails(visits, server):
    assert server.failed == []


def test_nothing_is_fetched_from_elsewhere(visits, server):
    here = (server.address, "data:", "blob:")
    asked = {url for visit in visits.values() for url in visit.asked}
    assert {url for url in asked if not url.startswith(here)} == set()


def test_every_page_has_an_icon(visits):
    assert by_page(visits, lambda visit: visit.icons != 1) == {}


def test_every_page_says_what_it_is_about(visits):
    lacks = by_page(visits, lambda visit: not all(len(said) > 15 for said in visit.about))
    assert set(lacks) <= {"genindex.html", "search.html"}  # lists without a text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(visits, theme):
    assert by_page(visits, lambda visit: visit.themes[theme]) == {}


def test_axe_finds_nothing_against_the_rules(visits):
    assert by_page(visits, lambda visit: visit.axe) == {}


def test_no_id_stands_twice_on_a_page(visits):
    assert by_page(visits, lambda visit: visit.ids_twice) == {}


def test_every_picture_loads_and_is_described_in_sight(visits):
    assert by_page(visits, lambda visit: visit.broken_images) == {}


def test_every_link_inside_the_book_leads_somewhere(visits, server):
    assert by_page(visits, lambda visit: visit.broken_links) == {}
    inside = {link for visit in visits.values() for link in visit.links}
    paths = {
        unquote(urldefrag(link)[0]).removeprefix(server.address).partition("?")[0]
        for link in inside
        if link.startswith(server.address)
    }
    assert [path for path in paths if path and not (BOOK / path).is_file()] == []


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_everything_can_be_read_whole_or_shows_that_it_scrolls(visits, width):
    assert by_page(visits, lambda visit: visit.cut[width]) == {}


@pytest.mark.parametrize("width", [PHONE, TABLET, WIDE])
def test_nothing_but_code_has_to_be_scrolled_and_that_on_no_wide_screen(visits, width):
    assert by_page(visits, lambda visit: visit.scrolls[width]) == {}


@pytest.mark.parametrize("width", [PHONE, TABLET, WIDE])
def test_no_line_ends_in_a_short_formula_or_name(visits, width):
    assert by_page(visits, lambda visit: visit.torn[width]) == {}


def test_no_table_or_formula_shows_as_raw_text(visits):
    raw = re.compile(r"\|\s*:?[-–—]+:?\s*\||\$\$|\\(frac|mathbf|mathcal|sqrt|ln|alpha)\b|\\\(")
    assert by_page(visits, lambda visit: [p for p in visit.paragraphs if raw.search(p)]) == {}


def test_a_page_is_light_enough_for_a_phone(visits):
    texts = by_page(visits, lambda visit: weight(visit, ".html", ".css", ".js"))
    whole = by_page(visits, lambda visit: weight(visit, ""))
    assert {name: size for name, size in texts.items() if size > MOST_TEXT} == {}
    assert {name: size for name, size in whole.items() if size > MOST} == {}


FACES = {".bd-article p": 400, ".bd-article h3": 600, ".bd-article em": 400, "strong": 600}


@pytest.mark.parametrize("place", FACES)
def test_the_text_is_set_in_the_books_own_typeface(open_page, place):
    page = open_page("05-reverse-process.html", PHONE)
    page.evaluate("document.fonts.ready")
    session = page.context.new_cdp_session(page)
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    session.send("CSS.enable")
    node = session.send("DOM.querySelector", {"nodeId": root, "selector": place})["nodeId"]
    fonts = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    most = max(fonts, key=lambda font: font["glyphCount"])
    assert (most["familyName"], most["isCustomFont"]) == ("Book Text", True)
    assert str(FACES[place]) in most["postScriptName"]
    assert ("Italic" in most["postScriptName"]) == place.endswith("em")


def test_the_typeface_is_light():
    fonts = (BOOK / "_static" / "typeface").glob("*.woff2")
    assert 0 < sum(font.stat().st_size for font in fonts) <= 150 * KILO


def test_what_is_printed_can_be_read_on_a_phone(open_page):
    printed = open_page("13-evaluation.html", PHONE).locator(".output.stream pre")
    sizes = printed.evaluate_all(
        "(all) => all.map((e) => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert len(sizes) > 10
    assert min(sizes) > 8.9


def test_a_sentence_that_is_printed_breaks_and_a_table_does_not(open_page):
    page = open_page("13-evaluation.html", PHONE)
    sentence = page.locator(".output .sentence", has_text="nearer than 99 in 100").first
    size = sentence.evaluate("(line) => parseFloat(getComputedStyle(line).fontSize)")
    assert sentence.bounding_box()["height"] > 2 * size
    table = page.locator(".output.stream pre", has_text="training images")
    expect(table.locator(".sentence", has_text="training images")).to_have_count(0)


def test_an_equation_of_an_appendix_has_its_letter(open_page):
    page = open_page("gaussian-identities.html", WIDE)
    expect(page.locator("#equation-eq-id-density .eqno")).to_contain_text("(B.1)")
    expect(page.locator("h1 .section-number").last).to_have_text("B. ")
    named = open_page("05-reverse-process.html", WIDE).locator(
        "a[href$='#equation-eq-id-condition']"
    )
    expect(named.first).to_have_text("(B.5)")


@pytest.mark.parametrize(
    ("name", "caption"),
    [("intro", "Six digits that nobody"), ("overview", "What follows from what")],
)
def test_a_page_that_is_no_chapter_has_no_numbers(open_page, name, caption):
    page = open_page(f"{name}.html", WIDE)
    expect(page.locator("article figcaption").first).to_contain_text(caption)
    numbers = page.locator("article").locator("figcaption .caption-number, .section-number")
    expect(numbers).to_have_count(0)


@pytest.mark.parametrize("name", [name for name in NAMES if re.match(r"0[67]-", name)])
def test_formulas_show_within_two_seconds_on_a_slow_connection(new_context, server, name):
    # The best of three: what else the machine does can only add to the time.
    assert min(first_paint(new_context(PHONE), server.address + name) for _ in range(3)) < 2000


def first_paint(context, address):
    """Milliseconds until a page with formulas shows, over a slow connection."""
    page = context.new_page()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW_4G)
    page.goto(address, wait_until="commit")
    page.wait_for_selector(".katex-html .base >> nth=5", timeout=30_000)
    page.evaluate("document.fonts.ready")
    return page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")


def test_a_table_with_formulas_in_its_head_is_a_table(open_page):
    page = open_page("12-scores-and-mcmc.html", WIDE)
    table = page.locator("article table").last
    expect(table.locator("tbody tr")).to_have_count(5)
    expect(table.locator("th .katex")).to_have_count(1)


@pytest.mark.parametrize("name", [name for name in NAMES if re.match(r"\d\d-", name)])
def test_a_chapter_opens_with_its_imports_folded(visits, name):
    page = (BOOK / name).read_text(encoding="utf-8")
    first = page.index('<div class="cell')
    assert page.index("What this chapter imports") == page.index("What this chapter imports", first)
    assert page.index("What this chapter imports") < page.index("<pre>", first)


def test_the_bibliography_names_an_entry_as_the_text_does(open_page, visits):
    page = open_page("bibliography.html", WIDE)
    labels = dict(
        page.locator("div.citation").evaluate_all(
            "(all) => all.map((one) => [one.id, one.querySelector('.label').textContent])"
        )
    )
    cited = 0
    for name in NAMES:
        text = (BOOK / name).read_text(encoding="utf-8")
        for target, words in re.findall(r'href="bibliography\.html#(id\d+)"[^>]*>(.*?)</a>', text):
            said = re.sub(r"<[^>]+>", "", words)
            if re.search(r", \d{4}", said):
                assert labels[target] == f"[{said}]", name
                cited += 1
    assert cited > 30


@pytest.mark.parametrize(
    ("name", "title"),
    [("overview", "1: Training"), ("09-training", "1: Training"), ("10-sampling", "2: Sampling")],
)
def test_an_algorithm_has_the_number_that_the_paper_gives_it(open_page, name, title):
    page = open_page(f"{name}.html", PHONE)
    shown = page.locator("div.algorithm .admonition-title").first
    expect(shown).to_have_text(f"Algorithm {title} [Ho et al., 2020]")
