"""The map of the chapters on the first page."""

import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "book" / "_ext"))

from chapter_map import WORDS_A_MINUTE, arrow, chapters_of, minutes_of

ROOT = Path(__file__).parent.parent


@pytest.fixture
def notebook(tmp_path):
    """Writes a notebook with these texts and returns where it is."""

    def notebook(*texts):
        cells = [nbformat.v4.new_markdown_cell(text) for text in texts]
        cells.append(nbformat.v4.new_code_cell("word = 1\n" * 9999))
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
        return tmp_path / "one.ipynb"

    return notebook


def test_minutes_count_the_words_that_are_read(notebook):
    assert minutes_of(notebook("word " * 20 * WORDS_A_MINUTE)) == 20
    assert minutes_of(notebook(*2 * ["word " * 10 * WORDS_A_MINUTE])) == 20
    assert minutes_of(notebook("a few words")) == 5


def test_a_formula_counts_as_a_word_and_a_solution_as_none(notebook):
    words = "word " * 10 * WORDS_A_MINUTE
    assert minutes_of(notebook(words + "$$\na + b " + "+ c " * 9999 + "\n$$")) == 10
    solution = "```{solution} exercise\n" + "word " * 9999 + "\n```\n"
    assert minutes_of(notebook(words + "\n\n" + solution)) == 10


def test_chapters_are_numbered_through_their_parts():
    chapters = chapters_of(ROOT / "book" / "_toc.yml")
    assert chapters["01-denoise"] == (1, 1)
    assert chapters["04-forward-process"] == (2, 4)
    assert [number for _, number in chapters.values()] == list(range(1, len(chapters) + 1))
    assert "overview" not in chapters


def test_an_arrow_leaves_one_box_and_ends_at_the_other():
    boxes = [{"at": [0, 0]}, {"at": [0, 1]}, {"at": [1, 1]}, {"at": [1, 0]}]
    assert arrow(boxes[0], boxes[1]) == '<path d="M81 60L81 83"/>'
    assert arrow(boxes[0], boxes[2]) == '<path d="M121 60L209 83"/>'
    assert arrow(boxes[0], boxes[3]) == '<path d="M160 31H167"/>'
    assert arrow(boxes[3], boxes[0]) == '<path d="M170 31H163"/>'
