"""What single slips in the model answers give is known, and told in words."""

import ast
import json
import sys

import pytest
import torch
from conftest import ROOT
from test_assignments import load

from ddpm_tutorial.coursework import check
from ddpm_tutorial.coursework_values import SLIPS, Wrong

sys.path.insert(0, str(ROOT / "tools"))  # where the tool finds those that it builds on
BOOK = json.loads(SLIPS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def slips():
    return load("write_slips")


def test_the_file_is_what_right_answers_give_with_slips(slips):
    for found, kept in zip(
        slips.slips_in("01-gaussians", "kl"), BOOK["01-gaussians kl"], strict=True
    ):
        assert found["right"] == kept["right"]
        for (words, value), (said, known) in zip(found["slips"], kept["slips"], strict=True):
            assert words == said
            assert torch.allclose(torch.tensor(value), torch.tensor(known), rtol=1e-3, atol=1e-5)


def test_every_part_has_some(slips):
    for name in slips.assignments():
        for cell in slips.cells_of(name):
            if cell.kind == "test" and cell.part not in slips.LONG:
                assert f"{name} {cell.part}" in BOOK


def test_a_slip_is_told_where_nothing_simpler_is_known():
    (first, *_) = BOOK["01-gaussians kl"]
    words, value = first["slips"][0]
    with pytest.raises(Wrong) as caught:
        check(torch.tensor(value), first["right"])
    assert caught.value.hint == f"{words}, and the rest is right"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x - y", "a minus stands where a plus belongs"),
        ("x", "a term `y` is missing"),
        ("y + y", "`y` stands where `x` belongs"),
        ("x.sqrt() + y", "a root is too many"),
    ],
)
def test_a_change_is_put_into_words(slips, source, words):
    of_sum = dict(map(reversed, slips.slips_of("def f(x, y):\n    return x + y")))
    assert of_sum[ast.unparse(ast.parse(f"def f(x, y):\n    return {source}"))] == words


def test_calls_are_told_by_what_they_do(slips):
    found = {words for words, _ in slips.slips_of("def f(x):\n    return -x.exp().sum(dim=1)")}
    for words in (
        "an exponential is missing",
        "a mean stands where a sum belongs",
        "a minus sign is missing",
        "`dim=1` is missing in a call",
    ):
        assert words in found
