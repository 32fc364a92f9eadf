"""A few pages of the book as a PDF: the whole takes some minutes, and no browser of its own."""

import re
import sys

import pytest
from browsing import BOOK, NAMES
from paper import LOST
from pypdf import PdfReader

sys.path.insert(0, str(BOOK.parent.parent / "tools"))

import make_pdf

PART, PAGES = "Part I · A few pages", ["10-sampling", "notation"]
NOT_PRINTED = {"search.html", "changelog.html"}


@pytest.fixture(scope="module")
def pdf(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("pdf") / "book.pdf"
    make_pdf.make(browser, [(PART, PAGES)], path)
    return path


@pytest.fixture(scope="module")
def texts(pdf):
    """The text of every sheet, in one line."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(pdf).pages]


def bookmarks(reader, outline):
    """The titles, each with its depth and the number of its sheet."""
    for one in outline:
        if isinstance(one, list):
            yield from ((depth + 1, *rest) for depth, *rest in bookmarks(reader, one))
        else:
            yield 0, one.title, reader.get_destination_page_number(one) + 1


@pytest.fixture(scope="module")
def outline(pdf):
    reader = PdfReader(pdf)
    return list(bookmarks(reader, reader.outline))


def test_every_page_of_the_site_but_the_reference_is_in_the_whole_book():
    printed = {name for _, names in make_pdf.parts() for name in names} | {"intro", "genindex"}
    on_screen = {name for name in NAMES if name.startswith("reference/")} | NOT_PRINTED
    assert {f"{name}.html" for name in printed} == set(NAMES) - on_screen


def test_the_cover_has_title_author_and_version(pdf, texts):
    for said in (make_pdf.CONFIG["title"], make_pdf.CONFIG["author"], "Version "):
        assert said in texts[0]
    assert len(PdfReader(pdf).pages[0].images) == 1


def test_sheets_are_a4_and_as_many_as_the_text_needs(pdf):
    sheets = PdfReader(pdf).pages
    assert {tuple(round(float(x) / 72 * 25.4) for x in one.mediabox[2:]) for one in sheets} == {
        (210, 297)
    }
    assert 20 < len(sheets) < 40


def test_bookmarks_lead_from_part_to_chapter_to_section(outline):
    depths = {title: depth for depth, title, _ in outline}
    assert depths[PART] == 0
    assert depths["10. Sampling"] == 1
    assert depths["10.2. Watching digits form"] == 2
    assert depths["Index"] == 1


def test_bookmarks_lead_to_their_titles_and_the_contents_give_the_same_sheets(texts, outline):
    contents = texts[2]
    for _, title, sheet in outline:
        assert title in texts[sheet - 1]
        assert f"{title} {sheet}" in contents


def test_the_index_gives_the_sheet_of_a_term(texts, outline):
    sheets = {title: sheet for _, title, sheet in outline}
    assert f"ancestral, {sheets['10.1. One step back']}" in " ".join(texts)


def test_a_sheet_has_its_number_and_its_chapter(texts, outline):
    sheet = next(sheet for _, title, sheet in outline if title == "10.2. Watching digits form")
    assert texts[sheet - 1].startswith(f"{make_pdf.CONFIG['title']} 10. Sampling {sheet} ")


def test_links_lead_to_places_in_the_pdf_or_to_the_web(pdf):
    reader, inside, outside = PdfReader(pdf), set(), set()
    for page in reader.pages:
        for link in (one.get_object() for one in page.get("/Annots", [])):
            if "/A" in link:
                outside.add(link["/A"]["/URI"])
            else:
                inside.add(link["/Dest"])
    assert inside <= set(reader.named_destinations)
    assert len(inside) > 20
    assert [url for url in outside if not re.match(r"https?://", url)] == []


def test_a_slider_is_a_row_of_pictures(texts):
    whole = " ".join(texts)
    for step in ("t = 980, ln SNR = -7", "t = 340, ln SNR = 1", "t = 10, ln SNR = 7"):
        assert step in whole


def test_what_is_too_wide_is_refused(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(make_pdf, "TEXT_WIDTH", 100)
    with pytest.raises(SystemExit, match=r"too wide .*10-sampling/"):
        make_pdf.make(browser, [(PART, PAGES)], tmp_path / "book.pdf")


def test_nothing_is_cut_off_or_folded(browser, pdf):
    page = browser.new_page(viewport={"width": make_pdf.TEXT_WIDTH, "height": 800})
    page.emulate_media(media="print")
    page.goto(pdf.with_suffix(".html").as_uri())
    assert page.evaluate(LOST) == []
    page.close()


def test_long_algebra_is_open_and_the_symbols_of_a_page_are_left_to_the_notation(browser, tmp_path):
    html = tmp_path / "book.html"
    html.write_text(make_pdf.join([(PART, ["07-kl-terms"])])[1], encoding="utf-8")
    page = browser.new_page()
    page.goto(html.as_uri())
    assert page.locator("details.algebra[open]").count() >= 4
    assert page.locator("details:not([open]), details.symbols").count() == 0
    page.close()
