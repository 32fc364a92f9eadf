"""The notebooks as they are committed: executed once from the top, described, and portable."""

from pathlib import Path

import nbformat
import pytest

BOOK = Path(__file__).parent.parent / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))


def code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_executed_once_from_top_to_bottom(path):
    for number, cell in enumerate(code_cells(path), start=1):
        # A cell whose output is a progress bar is stored without it, and so without its number.
        bar = "remove-output" in cell.metadata.get("tags", [])
        assert cell.execution_count == (None if bar else number)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_has_a_description(path):
    for cell in code_cells(path):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert len(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")) > 30


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_an_error_or_a_warning(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_and_leave_the_path_alone(path):
    imports, *cells = code_cells(path)
    assert "import" in imports.source
    for cell in cells:
        assert len(cell.source.splitlines()) <= 17
    assert not any("sys.path" in cell.source for cell in [imports, *cells])


def test_the_table_of_contents_names_every_notebook():
    contents = (BOOK / "_toc.yml").read_text(encoding="utf-8")
    assert all(f"file: {path.stem}\n" in contents for path in NOTEBOOKS)
