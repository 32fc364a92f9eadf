"""Similarity: copies are found, renamed ones too, and what was handed out does not count."""

import itertools
import re
import sys

import nbformat
import pytest
from conftest import COURSE
from grading.cells import cell_of
from variants import variants_of

NAME = "02-bound"
COPIES = [("ann", "bob"), ("cleo", "dan")]  # dan's has other names
NAMES = {"log_joint": "lj", "each": "term", "terms": "out", "variance": "v", "alpha_bar": "table"}
HANDED_OUT = nbformat.read(COURSE / "student" / f"{NAME}.ipynb", as_version=4)


def answers(style):
    """The right answers in one style: 0, 1 and 2 are known for every part."""
    found = variants_of(__import__(f"variants_{NAME.replace('-', '_')}"))
    parts = dict.fromkeys(each.part for each in found)
    right = {part: [v.source for v in found if v.part == part and not v.hint] for part in parts}
    return {part: sources[style] for part, sources in right.items()}


def handed_in(style, renamed=False):
    """A notebook with answers in the place of the stubs, and a comment of the student's own."""
    notebook = nbformat.from_dict(HANDED_OUT)
    notebook = nbformat.reads(nbformat.writes(notebook), as_version=4)
    given = answers(style)
    for cell in notebook.cells:
        kind, part, *_ = cell_of(cell.metadata, cell.source)
        if kind == "answer" and part in given:
            cell.source = f"# {part}, as I see it\n{given[part]}"
            for old, new in NAMES.items() if renamed else ():
                cell.source = re.sub(rf"\b{old}\b", new, cell.source)
    return nbformat.writes(notebook).encode()


@pytest.fixture(scope="module")
def students():
    class_of = {"ann": (0,), "bob": (0,), "cleo": (1,), "dan": (1, True), "eve": (2,)}
    return {name: handed_in(*how) for name, how in class_of.items()}


@pytest.fixture(scope="module")
def found(students):
    from grading.similar import own_code, pairs

    solution = (COURSE / "solutions" / f"{NAME}.ipynb").read_bytes()
    texts = {name: own_code(each, HANDED_OUT) for name, each in students.items()}
    return pairs(texts, {"solution": own_code(solution, HANDED_OUT, answers_only=True)})


def test_copies_are_the_most_alike_and_a_renamed_one_is_among_them(found):
    of_two = [pair for pair in found if pair.other != "solution"]
    assert len(of_two) == len([*itertools.combinations(range(5), 2)])
    print([f"{pair.one} {pair.other} {pair.share:.2f}" for pair in found])
    assert sorted((pair.one, pair.other) for pair in of_two[:2]) == COPIES
    assert of_two[1].share > 0.9 > 0.7 > of_two[2].share


def test_what_was_handed_out_does_not_count(students):
    from grading.similar import own_code, pairs

    untouched = (COURSE / "student" / f"{NAME}.ipynb").read_bytes()
    assert own_code(untouched, HANDED_OUT).strip() == ""
    assert "Jensen" not in own_code(students["ann"], HANDED_OUT)
    texts = {name: own_code(untouched, HANDED_OUT) for name in "ab"}
    assert [pair.share for pair in pairs(texts, {})] == [0.0]


def test_the_page_says_what_it_cannot_do_and_runs_nothing_of_a_students(
    course, students, monkeypatch, capsys
):
    import similarity

    monkeypatch.chdir(course)
    (course / "release" / NAME).mkdir(parents=True)
    nbformat.write(HANDED_OUT, course / "release" / NAME / f"{NAME}.ipynb")
    for name, written in students.items():
        folder = course / "checked" / name / NAME
        folder.mkdir(parents=True)
        evil = written.replace(b"as I see it", b"<script>alert(1)</script>")
        (folder / f"{NAME}.ipynb").write_bytes(evil)
    monkeypatch.setattr(sys, "argv", ["similarity.py", NAME])
    similarity.main()
    said = capsys.readouterr().out
    assert "ann, bob" in said.splitlines()[0] + said.splitlines()[1]
    page = (course / "similarity" / f"{NAME}.html").read_text(encoding="utf-8")
    assert "A high figure is a reason to look, and no proof." in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page  # it opens without a network, and without a login
