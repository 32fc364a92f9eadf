"""A sample of the spoilt solutions; tools/mutate_solutions.py grades them all."""

import ast
import sys

import matplotlib
import pytest
from conftest import ROOT
from test_assignments import load

matplotlib.use("agg")
sys.path.insert(0, str(ROOT / "tools"))  # where the tool finds the one that it builds on


@pytest.fixture(scope="module")
def mutate():
    return load("mutate_solutions")


@pytest.mark.parametrize("name", ["01-gaussians", "02-bound", "03-forward"])
def test_a_sample_of_mutants_loses_its_points(mutate, name):
    mutants = mutate.mutants(name)
    for number in range(0, len(mutants), 31):
        if not mutate.set_aside(name, mutants[number]):
            assert not mutate.survives(name, number), mutants[number]


def test_a_mutant_is_another_program_in_one_place(mutate):
    tree = ast.parse("def f(x, y):\n    return -x.sqrt() + 2 * y")
    found = [edit.words for edit in mutate.edits(tree)]
    for words in ("x -> y", "Add -> Sub", "2 -> 3", "x.sqrt() -> x", "-x.sqrt() without its sign"):
        assert any(words in each for each in found), words
    sources = {mutant.source for mutant in mutate.mutants("01-gaussians")}
    assert len(sources) == len(mutate.mutants("01-gaussians"))


def test_what_is_set_aside_exists_and_has_a_reason(mutate):
    for where, reasons in mutate.ASIDE.items():
        name, part = where.split()
        known = {mutant.name for mutant in mutate.mutants(name) if mutant.part == part}
        assert set(reasons) <= known
        assert all(len(reason) > 10 for reason in reasons.values())


def test_new_rows_take_the_place_of_those_of_their_assignment_alone():
    head = ["| assignment | part |", "|---|---|"]
    old = "\n".join([*head, "| 01-a | x |", "| 03-c | z |"]) + "\n"
    new = "\n".join([*head, "| 02-b | y |", "| 01-a | w |"])
    found = load("grade_variants").merged(old, new).splitlines()
    assert found == [*head, "| 01-a | w |", "| 02-b | y |", "| 03-c | z |"]
