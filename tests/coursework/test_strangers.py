"""Answers of authors who knew neither tests nor hints: those of all sets but the newest."""

import sys
from itertools import takewhile

import matplotlib
import pytest
from conftest import ROOT
from test_assignments import load

matplotlib.use("agg")
sys.path.insert(0, str(ROOT / "tools"))  # where the tool finds those that it builds on
LONG = {"train", "sampler", "unet"}  # these take a quarter of a minute, and what follows as much


@pytest.fixture(scope="module")
def strangers():
    return load("grade_holdout")


OLD = sorted(ROOT.glob("tests/coursework/holdout/1/*.json"))


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_right_answer_keeps_its_points_and_a_wrong_one_loses_them(strangers, path):
    which = int(path.parent.name)
    parts = [cell.part for cell in strangers.cells_of(path.stem) if cell.kind == "test"]
    short = list(takewhile(lambda part: part not in LONG, parts))
    for number, answer in enumerate(strangers.answers_to(path.stem, which)):
        if answer.part not in short:
            continue
        lost = strangers.graded(path.stem, number, which, alone=True)
        assert bool(lost) == (answer.kind == "wrong"), (answer, lost)


def test_what_counts_as_told():
    told = load("grade_holdout").told
    assert told(
        "Wrong: the answer is 2 where 1 is right (entry 1 of 1, counted through) Hint: half"
    )
    assert not told("Wrong: the answer is 2 where 1 is right (entry 1 of 1, counted through)")
    assert not told(
        "Wrong: result 2 of 2: the answer is 2 where 1 is right (entry 1 of 3, counted)"
    )
    assert not told("RuntimeError: stack expects each tensor to be equal size")
    assert told("AssertionError: at s = 0 the variance is 0, not nearly 0: set no floor under it")


def test_the_readme_has_the_figures_of_the_guide(strangers):
    table = load("grade_variants").between(strangers.BEGIN, strangers.END)
    right, wrong, told = (cell.strip() for cell in table.splitlines()[-1].split("|")[2:5])
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"{right} right ones kept all their points and {wrong} wrong ones lost theirs" in readme
    assert f"{told.partition(' ')[0]} of these {told.split()[-1]} were told more" in readme
