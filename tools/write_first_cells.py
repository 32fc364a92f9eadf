"""Write the first cell of each notebook, which installs the package where that is missing.

    python tools/write_first_cells.py

The address comes from `repository` in _config.yml. The cell is written into the chapters, and into
book/assignments/header.ipynb, from which nbgrader and tools/make_assignments.py take it. Pages do
not show it. What a chapter's cells put out stays; their numbers are made to follow each other.
"""

import runpy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
HEADER = ROOT / "book/assignments/header.ipynb"
ID = "install"  # of the cell
UNKNOWN = "REPOSITORY"
ASK = f"# Put the address of the book's repository in the place of {UNKNOWN}.\n"
SOURCE = """\
# Where the package is missing, as in Colab and Kaggle, this installs it.
{ask}from importlib.util import find_spec

if not find_spec("ddpm_tutorial"):
    %pip install --quiet "ddpm-tutorial @ git+{address}\""""


def first_cell(address: str) -> NotebookNode:
    """The cell for a repository; for an empty address, one that asks for it."""
    source = SOURCE.format(ask="" if address else ASK, address=address or UNKNOWN)
    metadata = {"tags": ["remove-cell"]}
    return nbformat.v4.new_code_cell(source, id=ID, metadata=metadata)


def with_first_cell(notebook: NotebookNode, cell: NotebookNode) -> NotebookNode:
    """The notebook with this cell at its top, and not with another such."""
    whole = nbformat.from_dict(notebook)
    whole.cells = [cell, *(each for each in notebook.cells if each.id != ID)]
    return whole


def number(notebook: NotebookNode) -> None:
    """Number the code cells of an executed notebook from its top, as if it had just been run."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for place, cell in enumerate(code, start=1):
        # What puts out a progress bar is stored without it, and so without its number.
        if "remove-output" not in cell.metadata.get("tags", []):
            cell.execution_count = place
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = place


def main() -> None:
    repository = runpy.run_path(str(ROOT / "book" / "_ext" / "repository.py"))
    address = repository["setting"]()
    for path in CHAPTERS:
        chapter = with_first_cell(nbformat.read(path, as_version=4), first_cell(address))
        number(chapter)
        nbformat.write(chapter, path)
    header = nbformat.v4.new_notebook(cells=[first_cell(address)])
    nbformat.write(header, HEADER)
    print(f"{len(CHAPTERS)} chapters, and the assignments' header: {address or UNKNOWN}")


if __name__ == "__main__":
    main()
