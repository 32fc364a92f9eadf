"""Print the built book as one PDF, with a cover, contents, running heads and an index: `make pdf`.

Chromium prints twice: the first print tells on which sheet each heading stands, and the second has
these numbers in its contents and its index. What moves becomes a row of pictures. What a page keeps
folded because it is machinery is left out: the imports of a chapter, the tests of an assignment,
the code of the checks. Solutions and long algebra are there, open.
"""

import os
import re
import shutil
import tomllib
from datetime import date
from html import unescape
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urldefrag, urljoin

import yaml
from playwright.sync_api import Error, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import Destination, Fit

ROOT = Path(__file__).parent.parent
BUILT = ROOT / "_build" / "html"
FOLDER = ROOT / "_build" / "pdf"
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
PREFACE, INDEX = "intro", "genindex"
TEXT = re.compile(r'<article class="bd-article">(.*)</article>', re.DOTALL)
TITLE = re.compile(r'<h([12])>(.*?)<a class="headerlink" href="#([^"]*)"', re.DOTALL)
SPOKEN = re.compile(r'<span class="katex-mathml">.*?</math></span>', re.DOTALL)

COVER = """
<section id="cover"><img src="../html/_images/samples.png" alt="">
<h1>{title}</h1><p>{author}</p><p>Version {version} · {day}</p></section>
<section id="imprint"><h2>{title}</h2><p>{author}. Version {version}, {day}. {copyright}.</p>
<p>This is the book for paper. On its pages the chapters are notebooks that can be run and changed,
and some pictures move; here these stand as rows of pictures. The cells that only import what a
chapter needs, the tests of the assignments and the code of the checks are left out.</p></section>
"""

# What is folded or only for the screen goes, and each slider shows all that it can show at once.
PREPARE = """() => {
  const left_out = `script, .headerlink, .katex-mathml, details.hide, .genindex-jumpbox,
    [id="equations/"] .dropdown`;
  document.querySelectorAll(left_out).forEach((part) => part.remove());
  for (const slider of document.querySelectorAll(".step-slider")) {
    const row = document.createElement("div");
    row.className = "stills";
    const [picture, input, label] = slider.children;
    for (let step = Number(input.min); step <= Number(input.max); step++) {
      input.value = step;
      input.dispatchEvent(new Event("input"));
      const still = document.createElement("div");
      still.append(picture.cloneNode(), label.textContent);
      row.append(still);
    }
    slider.replaceWith(row);
  }
}"""
NUMBER = """(sheets) => document.querySelectorAll("#contents a, .genindextable a").forEach(
  (link) => (link.dataset.sheet = sheets[link.hash.slice(1)]))"""


class Entry(NamedTuple):
    """A line of the contents: its depth (part 0, chapter 1, section 2), title and anchor."""

    depth: int
    title: str
    anchor: str

    def plain(self) -> str:
        """The title without its markup."""
        return unescape(re.sub(r"<[^>]+>", "", SPOKEN.sub("", self.title)))


def parts() -> list[tuple[str, list[str]]]:
    """The caption of each part and the names of its pages, in the order of the book."""
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

    text = re.sub(r'\b(id|for)="([^"]*)"', rf'\1="{name}/\2"', text)
    text = re.sub(r'\bhref="([^"]*)"', link, text)
    return re.sub(
        r'\bsrc="(?!data:)([^"]*)"', lambda found: f'src="../html/{urljoin(page, found[1])}"', text
    )


def join(book: list[tuple[str, list[str]]]) -> tuple[list[Entry], str]:
    """The lines of the contents, and the book as one page, its parts as `parts` gives them."""
    names = {name for _, pages in book for name in pages} | {PREFACE, INDEX}
    entries, texts, heads, number = [], [], [], count()
    for caption, pages in [("", [PREFACE]), *book, ("", [INDEX])]:
        if caption:
            entries.append(Entry(0, caption, f"part-{next(number)}"))
            texts.append(f'<section id="{entries[-1].anchor}" class="part"><h1>{caption}</h1></section>')
        for name in pages:
            text, head = article(name, names), f"head-{next(number)}"
            found = [Entry(int(level), *rest) for level, *rest in TITLE.findall(text)]
            entries += found or [Entry(1, "Index", f"{name}/index")]
            title = next(one.plain() for one in reversed(entries) if one.depth == 1)
            heads.append(f'@page {head} {{ @top-right {{ content: "{title}"; }} }}')
            texts.append(f'<article class="bd-article" style="page: {head}" id="{name}/">{text}</article>')
    lines = [f'<a class="depth-{e.depth}" href="#{e.anchor}">{e.title}</a>' for e in entries]
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    today = date.today()
    cover = COVER.format(**config, **project, day=f"{today.day} {today:%B %Y}")
    front = (BUILT / f"{PREFACE}.html").read_text(encoding="utf-8")
    styles = "".join(re.findall(r'<link [^>]*rel="stylesheet"[^>]*>', front))
    return entries, f"""<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{config["title"]}</title>
{styles.replace('href="', 'href="../html/')}
<link rel="stylesheet" href="{Path(__file__).with_suffix(".css").as_uri()}">
<style>{"".join(heads)}</style></head><body>{cover}
<nav id="contents"><h1>Contents</h1>{"".join(lines)}</nav>
<main class="bd-main"><div class="bd-content">{"".join(texts)}</div></main></body></html>"""


def places(pdf: Path) -> dict[str, tuple[int, Destination]]:
    """For each anchor that a link leads to, the sheet that it stands on, from 1, and where there."""
    reader = PdfReader(pdf)
    return {
        name.removeprefix("/"): (reader.get_destination_page_number(place) + 1, place)
        for name, place in reader.named_destinations.items()
    }


def print_twice(page_of_all: Path, pdf: Path) -> None:
    """Print a page to a file, its contents and index with the numbers of the sheets."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path)
        except Error as error:
            raise SystemExit(f"printing needs Chromium or Chrome: {error}") from error
        page = browser.new_page()
        page.set_default_timeout(0)  # a busy machine takes minutes
        page.goto(page_of_all.as_uri())
        page.evaluate(PREPARE)
        sheets: dict[str, int] = {}
        for _ in range(2):
            page.evaluate(NUMBER, sheets)
            page.pdf(path=pdf, prefer_css_page_size=True)
            before, sheets = sheets, {name: sheet for name, (sheet, _) in places(pdf).items()}
        browser.close()
    if before != sheets:
        raise SystemExit("the numbers in the contents moved what they count")


def add_outline(pdf: Path, entries: list[Entry]) -> None:
    """Give the file the contents as bookmarks, and its title and author."""
    found, writer, above = places(pdf), PdfWriter(clone_from=pdf), {}
    if lost := [one.plain() for one in entries if one.anchor not in found]:
        raise SystemExit(f"not in the PDF: {lost}")
    for entry in entries:
        sheet, place = found[entry.anchor]
        above[entry.depth] = writer.add_outline_item(
            entry.plain(),
            sheet - 1,
            parent=above.get(entry.depth - 1),
            fit=Fit.xyz(0, place.top),
        )
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    writer.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    writer.page_mode = "/UseOutlines"
    writer.write(pdf)


def main() -> None:
    if not (BUILT / f"{PREFACE}.html").is_file():
        raise SystemExit(f"there is no book in {BUILT}: run make book")
    FOLDER.mkdir(exist_ok=True)
    entries, html = join(parts())
    (FOLDER / "book.html").write_text(html, encoding="utf-8")
    print_twice(FOLDER / "book.html", FOLDER / "book.pdf")
    add_outline(FOLDER / "book.pdf", entries)
    print(f"The book for paper: {FOLDER / 'book.pdf'}")


if __name__ == "__main__":
    main()
