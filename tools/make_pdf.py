"""Print the built book as one PDF, with a cover, contents, running heads and an index: `make pdf`.

Chromium prints twice: the first print tells on which sheet each heading stands, and the second has
these numbers in its contents and its index. What moves becomes a row of pictures. What a page keeps
folded because it is machinery is left out: the imports of a chapter, the tests of an assignment,
the code of the checks. Solutions and long algebra are there, open. The part "Reference" is not: it
is made to be searched and to follow links in.
"""

import logging
import os
import re
import shutil
from datetime import date
from html import unescape
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urldefrag, urljoin

from ddpm_tutorial import __version__, needs_extra

with needs_extra("book"):
    import yaml
with needs_extra("dev"):
    from playwright.sync_api import Browser, Error, Playwright, sync_playwright
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import Destination, Fit

HERE = Path(__file__)
ROOT = HERE.parent.parent
BUILT = ROOT / "_build" / "html"
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
TEXT_WIDTH = round((210 - 2 * 17) / 25.4 * 96)  # A4 less the margins, in pixels of a browser
PREFACE, INDEX = "intro", "genindex"
ON_SCREEN = "Reference"  # the part that is not printed
Parts = list[tuple[str, list[str]]]  # of each part its caption and the names of its pages
TEXT = re.compile(r'<article class="bd-article">(.*)</article>', re.DOTALL)
TITLE = re.compile(r'<h([12])>(.*?)<a class="headerlink" href="#([^"]*)"', re.DOTALL)
SPOKEN = re.compile(r'<span class="katex-mathml">.*?</math></span>', re.DOTALL)


class Entry(NamedTuple):
    """A line of the contents: its depth (part 0, chapter 1, section 2), title and anchor."""

    depth: int
    title: str
    anchor: str

    def plain(self) -> str:
        """The title without its markup."""
        return unescape(re.sub(r"<[^>]+>|\u200b", "", SPOKEN.sub("", self.title)))


def parts() -> Parts:
    """The printed parts of the book in their order."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    return [
        (
            part["caption"],
            [
                page["file"]
                for chapter in part["chapters"]
                for page in (chapter, *chapter.get("sections", []))
            ],
        )
        for part in toc["parts"]
        if part["caption"] != ON_SCREEN
    ]


def article(name: str, names: set[str]) -> str:
    """The text of a page, with ids and links that hold where the pages `names` are one."""
    page = f"{name}.html"
    text = TEXT.search((BUILT / page).read_text(encoding="utf-8"))[1]

    def link(found: re.Match[str]) -> str:
        path, fragment = urldefrag(urljoin(page, found[1]))
        to = path.removesuffix(".html")
        if to in names:
            return f'href="#{to}/{fragment}"'
        return found[0] if ":" in path else ""  # no file of the site is in the PDF

    # The style sheet knows the heads of arrows by their ids.
    text = re.sub(r'(?<!<marker )\b(id|for)="([^"]*)"', rf'\1="{name}/\2"', text)
    text = re.sub(r'\bhref="([^"]*)"', link, text).replace('loading="lazy"', "")
    return re.sub(
        r'\bsrc="(?!data:)([^"]*)"',
        lambda found: f'src="{BUILT.as_uri()}/{urljoin(page, found[1])}"',
        text,
    )


def join(book: Parts) -> tuple[list[Entry], str]:
    """The lines of the contents, and the book as one page."""
    names = {name for _, pages in book for name in pages} | {PREFACE, INDEX}
    entries, texts, heads, number = [], [], [], count()
    for caption, pages in [("", [PREFACE]), *book, ("", [INDEX])]:
        if caption:
            entries.append(Entry(0, caption, f"part-{next(number)}"))
            texts.append(f'<h1 class="part" id="{entries[-1].anchor}">{caption}</h1>')
        for name in pages:
            text, sheet = article(name, names), f"sheet-{next(number)}"
            found = [Entry(int(level), *rest) for level, *rest in TITLE.findall(text)]
            entries += found or [Entry(1, "Index", f"{name}/index")]
            chapter = next(one.plain() for one in reversed(entries) if one.depth == 1)
            heads.append(f'@page {sheet} {{ @top-right {{ content: "{chapter}"; }} }}')
            texts.append(
                f'<article class="bd-article" id="{name}/" style="page: {sheet}">{text}</article>'
            )
    lines = [f'<a class="depth-{e.depth}" href="#{e.anchor}">{e.title}</a>' for e in entries]
    front = (BUILT / f"{PREFACE}.html").read_text(encoding="utf-8")
    facts = CONFIG | {
        "built": BUILT.as_uri(),
        "version": __version__,
        "day": f"{date.today():%-d %B %Y}",
        "styles": "".join(re.findall(r'<link [^>]*rel="stylesheet"[^>]*>', front)).replace(
            'href="', f'href="{BUILT.as_uri()}/'
        ),
        "here": HERE.with_suffix("").as_uri(),
        "heads": "".join(heads),
        "contents": "".join(lines),
        "texts": "".join(texts),
    }
    return entries, HERE.with_suffix(".html").read_text(encoding="utf-8").format(**facts)


def places(pdf: Path) -> dict[str, tuple[int, Destination]]:
    """For each anchor that a link leads to, the sheet that it stands on, from 1, and where."""
    reader = PdfReader(pdf)
    return {
        name.removeprefix("/"): (reader.get_destination_page_number(place) + 1, place)
        for name, place in reader.named_destinations.items()
    }


def print_twice(browser: Browser, html: Path, pdf: Path) -> None:
    """Print a page to a file, its contents and index with the numbers of the sheets."""
    page = browser.new_page(viewport={"width": TEXT_WIDTH, "height": 1000})
    page.set_default_timeout(0)  # a busy machine takes minutes
    page.emulate_media(media="print")
    sheets: dict[str, int] = {}
    for _ in range(2):
        page.goto(html.as_uri())  # anew: Chromium breaks a page that was printed before elsewhere
        if cut := page.evaluate("cut()"):
            raise SystemExit(f"too wide for the sheet, in or near: {cut}")
        page.evaluate("number", sheets)
        page.pdf(path=pdf, prefer_css_page_size=True, print_background=True)
        printed = sheets
        sheets = {name: sheet for name, (sheet, _) in places(pdf).items()}
    lost = page.evaluate("number", sheets)
    page.close()
    if lost:
        raise SystemExit(f"in the contents or the index, but not in the PDF: {lost}")
    if sheets != printed:
        raise SystemExit("the numbers in the contents moved the text that they count")


def add_outline(pdf: Path, entries: list[Entry]) -> None:
    """Give the file the contents as bookmarks, and its title and author."""
    found, writer, above = places(pdf), PdfWriter(clone_from=pdf), {}
    for entry in entries:
        sheet, place = found[entry.anchor]
        above[entry.depth] = writer.add_outline_item(
            title=entry.plain(),
            page_number=sheet - 1,
            parent=above.get(entry.depth - 1),
            fit=Fit.xyz(0, place.top),
        )
    writer.add_metadata({"/Title": CONFIG["title"], "/Author": CONFIG["author"]})
    writer.page_mode = "/UseOutlines"
    writer.write(pdf)


def open_browser(playwright: Playwright) -> Browser:
    """Chromium or Chrome: the one that CHROMIUM names, or the system's, or Playwright's."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        return playwright.chromium.launch(executable_path=path)
    except Error as error:
        raise SystemExit(f"printing needs Chromium or Chrome. What went wrong: {error}") from error


def make(browser: Browser, book: Parts, pdf: Path) -> None:
    """Print these parts, with cover, preface and index."""
    entries, html = join(book)
    page = pdf.with_suffix(".html")
    page.write_text(html, encoding="utf-8")
    print_twice(browser, page, pdf)
    add_outline(pdf, entries)


def main() -> None:
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of its own copy
    if not (BUILT / f"{PREFACE}.html").is_file():
        raise SystemExit(f"there is no book in {BUILT}: run make book")
    pdf = ROOT / "_build" / "pdf" / "book.pdf"
    pdf.parent.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        make(open_browser(playwright), parts(), pdf)
    print(f"The book for paper: {pdf}")


if __name__ == "__main__":
    main()
