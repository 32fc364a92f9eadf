"""The figures for slides: numbers as in the book, one page of the right size each."""

import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

import export_figures

BOOK = Path(__file__).parent.parent / "book"
SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 {0}"></svg>'
DRAWING = """Text before.

```{figure} drawing.svg
:name: fig-toy-drawn
:alt: A box, and an arrow.

A drawing in
two lines.
```

```{figure-of-speech} no.svg
```
"""


def drawn(name, height, kind="image/svg+xml"):
    about = {"mystnb": {"figure": {"name": name, "caption": f"Of {name}."}}}
    output = nbformat.v4.new_output("display_data", {kind: SVG.format(height)})
    return nbformat.v4.new_code_cell("draw()", metadata=about, outputs=[output])


@pytest.fixture
def chapter(tmp_path):
    def chapter(*cells):
        (tmp_path / "drawing.svg").write_text(SVG.format(40))
        path = tmp_path / "toy.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
        return list(export_figures.figures_of(path, 7))

    return chapter


def test_figures_are_numbered_in_the_order_of_the_page(chapter):
    text = nbformat.v4.new_markdown_cell(DRAWING)
    found = chapter(drawn("fig-toy-one", 100), nbformat.v4.new_code_cell("1"), text,
                    drawn("fig-toy-two", 200))  # fmt: skip
    assert [(one.file, one.caption) for one in found] == [
        ("fig-07-01-toy-one", "Of fig-toy-one."),
        ("fig-07-02-toy-drawn", "A drawing in two lines."),
        ("fig-07-03-toy-two", "Of fig-toy-two."),
    ]
    assert found[1].svg == SVG.format(40)


def test_a_figure_of_pixels_is_refused_by_its_name(chapter):
    with pytest.raises(ValueError, match="fig-toy-png holds no SVG: run make notebooks"):
        chapter(drawn("fig-toy-png", 9, kind="image/png"))


@pytest.mark.parametrize("name", export_figures.chapters())
def test_every_chapter_gives_all_its_figures(name):
    number = export_figures.chapters()[name]
    path = BOOK / f"{name}.ipynb"
    found = list(export_figures.figures_of(path, number))
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert len(found) >= 4
    cells = nbformat.read(path, as_version=4).cells
    named = [cell.metadata.get("mystnb", {}).get("figure") for cell in cells]
    drawings = sum(cell.source.count("```{figure}") for cell in cells)
    assert len(found) == sum(map(bool, named)) + drawings
    assert all(export_figures.SIZE.search(one.svg) and one.caption for one in found)


class Page:
    """Stands for a browser's page: keeps what it is asked to print."""

    def __init__(self):
        self.contents = []

    def set_content(self, content):
        self.contents.append(content)

    def pdf(self, path, **_):
        path.write_bytes(b"%PDF")

    def close(self):
        self.contents.append("closed")


def test_each_is_written_twice_with_a_page_of_its_size(chapter, tmp_path):
    figures = chapter(drawn("fig-toy-one", 100), drawn("fig-toy-two", 200))
    page = Page()
    browser = type("Browser", (), {"new_page": lambda self: page})()
    export_figures.export(browser, figures, tmp_path / "to")
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [
        "captions.md",
        *(f"fig-07-0{k}.{end}".replace(".", f"-toy-{name}.", 1)
          for k, name in ((1, "one"), (2, "two")) for end in ("pdf", "svg")),
    ]  # fmt: skip
    assert "size: 300pt 100pt" in page.contents[0]
    assert "size: 300pt 200pt" in page.contents[1]
    assert "<?xml" not in page.contents[0]
    captions = (tmp_path / "to" / "captions.md").read_text(encoding="utf-8")
    assert "**Figure 7.2** (`fig-07-02-toy-two`). Of fig-toy-two." in captions
