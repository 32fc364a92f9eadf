"""Write every figure of the chapters as SVG and PDF, with its number and caption: `make figures`.

    python tools/export_figures.py [--to FOLDER] [CHAPTER ...]

The figures are those that the notebooks hold, and the drawings between them, in the order in which
the book numbers them. FOLDER, or else _build/figures, gets a folder for each chapter. Figure 4.2 is
there as `fig-04-02-forward-chain.svg` and `.pdf`, and `captions.md` has the captions. The PDF comes
from Chromium or Chrome, as that of the book does.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from make_pdf import ROOT, open_browser

from ddpm_tutorial import needs_extra

with needs_extra("book"):
    import nbformat
    import yaml
with needs_extra("dev"):
    from playwright.sync_api import Browser, sync_playwright

BOOK = ROOT / "book"
DRAWING = re.compile(r"^(`{3,})\{figure\} (\S+)\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"^:([\w-]+):(.*)\n?", re.MULTILINE)
SIZE = re.compile(r'<svg\b[^>]*?\bviewBox="\s*\S+\s+\S+\s+([\d.]+)\s+([\d.]+)\s*"', re.DOTALL)
PAGE = (
    "<style>@page {{ size: {0}pt {1}pt; margin: 0 }} body {{ margin: 0 }} svg {{ display: block; \
width: {0}pt; height: {1}pt }}</style>{2}"
)


class Figure(NamedTuple):
    """A figure: its number in the book, the name by which the book refers to it, and the rest."""

    chapter: int
    number: int
    name: str
    caption: str
    svg: str

    @property
    def file(self) -> str:
        """The name of its files, without the ending."""
        return f"fig-{self.chapter:02}-{self.number:02}-{self.name.removeprefix('fig-')}"


def chapters() -> dict[str, int]:
    """The files of the numbered chapters, each with its number."""
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    files = [
        one["file"] for part in toc["parts"] if part.get("numbered") for one in part["chapters"]
    ]
    return {file: number for number, file in enumerate(files, 1)}


def figures_of(notebook: Path, chapter: int) -> Iterator[Figure]:
    """The figures of a chapter in their order. Raises ValueError for one that holds no SVG."""
    number = 0
    for cell in nbformat.read(notebook, as_version=4).cells:
        about = cell.metadata.get("mystnb", {}).get("figure")
        found = []
        if cell.cell_type == "markdown":
            for _, path, inside in DRAWING.findall(cell.source):
                options = {name: value.strip() for name, value in OPTION.findall(inside)}
                svg = (notebook.parent / path).read_text(encoding="utf-8")
                found.append((options["name"], OPTION.sub("", inside), svg))
        elif about:
            data = [output.get("data", {}) for output in cell.outputs]
            drawn = [each["image/svg+xml"] for each in data if "image/svg+xml" in each]
            if not drawn:
                raise ValueError(
                    f"{notebook.name}: {about['name']} holds no SVG: run make notebooks"
                )
            found = [(about["name"], about["caption"], drawn[-1])]
        for name, caption, svg in found:
            number += 1
            yield Figure(chapter, number, name, " ".join(caption.split()), svg)


def export(browser: Browser, figures: list[Figure], folder: Path) -> None:
    """Write the figures into a folder, with a list of their captions."""
    folder.mkdir(parents=True, exist_ok=True)
    page = browser.new_page()
    for one in figures:
        (folder / f"{one.file}.svg").write_text(one.svg, encoding="utf-8")
        size = SIZE.search(one.svg)
        if size is None:
            raise ValueError(f"{one.name} does not say how large it is: it needs a viewBox")
        drawing = one.svg[one.svg.index("<svg") :]
        page.set_content(PAGE.format(size[1], size[2], drawing))
        page.pdf(path=folder / f"{one.file}.pdf", prefer_css_page_size=True, print_background=True)
    page.close()
    lines = [f"**Figure {f.chapter}.{f.number}** (`{f.file}`). {f.caption}\n" for f in figures]
    (folder / "captions.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", nargs="*", help="11-fast-sampling, say; all if none is named")
    parser.add_argument("--to", type=Path, default=ROOT / "_build" / "figures", metavar="FOLDER")
    arguments = parser.parse_args()
    known, count = chapters(), 0
    if wrong := set(arguments.chapter) - set(known):
        raise SystemExit(f"no chapter is called {', '.join(sorted(wrong))}; there are {[*known]}")
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        for file in arguments.chapter or known:
            found = list(figures_of(BOOK / f"{file}.ipynb", known[file]))
            export(browser, found, arguments.to / file)
            count += len(found)
    print(f"{count} figures, each as SVG and PDF, in {arguments.to}")


if __name__ == "__main__":
    main()
