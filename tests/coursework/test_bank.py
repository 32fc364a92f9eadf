"""Variants for a class: drawn from a name, each with a solution that is not the public one."""

import json

import nbformat
import pytest
from conftest import COURSE, ROOT
from test_assignments import load

NAMES = sorted(path.stem for path in COURSE.glob("bank/*.py"))


@pytest.fixture(scope="module")
def paste():
    return load("paste_solutions")


@pytest.fixture(scope="module")
def draft(paste):
    import draft

    return draft


def rendered(draft, name, variant):
    draft_of = draft.drafted(
        COURSE / "source" / name / f"{name}.ipynb", COURSE / "bank" / f"{name}.py", variant
    )[0]
    return json.dumps(draft_of.notebook)


def test_the_first_eight_have_a_bank_and_each_bank_an_assignment():
    assert len(NAMES) >= 8
    assert set(NAMES) <= {path.stem for path in COURSE.glob("source/*/*.ipynb")}


@pytest.mark.parametrize("name", NAMES)
def test_the_own_solution_keeps_all_points_and_the_public_one_loses_half(paste, name):
    found = paste.outcome(name, "2027a", short=True)
    assert found.own == {}
    print(f"{name}: the public solution loses {found.lost:g} of {found.points:g}")
    assert found.lost >= found.points / 2


def test_the_guide_has_a_row_for_each_bank(paste):
    guide = (COURSE / "INSTRUCTORS.md").read_text(encoding="utf-8")
    rows = guide.partition(paste.BEGIN)[2].partition(paste.END)[0].splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == NAMES
    for name, row in zip(NAMES, rows, strict=True):
        tried, keep, lost = (cell.strip(" |") for cell in row.split(" | ")[1:])
        assert (int(tried), keep) == (len(paste.covering(name)), "all points"), (
            "run: python tools/paste_solutions.py --write"
        )
        assert float(lost.split()[0]) >= float(lost.split()[-1]) / 2


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_the_same_files_and_others_give_others(paste, draft, name):
    variants = [rendered(draft, name, variant) for variant in ("2027a", "2027a", "a", "b", "c")]
    assert variants[0] == variants[1]
    assert len(set(variants)) > 2
    assert "2027a" not in variants[0]  # with the name, a student could make the solutions


@pytest.mark.parametrize("name", NAMES)
def test_every_choice_of_a_bank_fits_its_notebook(paste, draft, name):
    for variant in paste.covering(name):  # ends the program where one does not
        nbformat.validate(nbformat.reads(rendered(draft, name, variant), as_version=4))


def test_a_choice_that_is_added_moves_no_other(draft):
    before, after = draft.Draw("2027a", "01-gaussians"), draft.Draw("2027a", "01-gaussians")
    after("new", 1, 2, 3)
    assert [before(what, *range(99)) for what in "abc"] == [
        after(what, *range(99)) for what in "abc"
    ]


def test_a_bank_that_has_gone_stale_is_told(draft):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("two, two")])
    with pytest.raises(draft.Stale, match="0 cells of markdown hold 'three'"):
        draft.Draft(notebook).text(("three", "four"))
    with pytest.raises(draft.Stale, match="stands 2 times 'two', not 1"):
        draft.Draft(notebook).text(("two", "four"))


def test_a_name_that_is_a_path_is_refused():
    import subprocess
    import sys

    command = [sys.executable, str(ROOT / "tools/make_assignments.py"), "--variant", "../x"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "is no name of a variant" in done.stderr


@pytest.mark.parametrize("name", NAMES[:5])
def test_the_mistakes_to_find_in_1_to_5_stay_as_they_are_in_public(paste, draft, name):
    public = nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)
    wanted = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in public.cells}
    for variant in paste.covering(name):
        found, _ = draft.drafted(paste.source_of(name), paste.bank_of(name), variant)
        for cell in ("given-broken", "repair-answer", "repair"):
            assert found.cell(cell).source == wanted[cell].source, (variant, cell)
