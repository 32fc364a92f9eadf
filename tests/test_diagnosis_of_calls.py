"""For which other arguments a wrong function would be right."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial.coursework import ELSEWHERE, Known, answers, examine
from ddpm_tutorial.coursework_values import Wrong
from ddpm_tutorial.diagnosis_of_calls import ENTRIES, MIXED, ROWS, describe_function

X = torch.tensor([0.3, 0.9, 0.5, 0.7], dtype=torch.float64)
Y = torch.tensor([0.8, 0.2, 0.4, 0.6], dtype=torch.float64)
STEP = torch.tensor([2, 1, 3])


def right(x, y):
    """Something in which the two arguments have different parts."""
    return x.sin() + 3 * y * x


def said_of(function, arguments, result):
    several = result if isinstance(result, tuple) else (result,)
    return describe_function(arguments, several, partial(answers, function))


@given(st.sampled_from([*ENTRIES.items(), *ROWS.items()]), st.sampled_from([0, 1]))
def test_an_argument_that_is_taken_for_something_else_is_named(named, at):
    words, way = named
    meant = [X, Y]
    meant[at] = way(meant[at])  # what the function would have to be given
    said = said_of(right, (X, Y), right(*meant))
    assert said == f"it would be right if argument {at + 1} were replaced by {words}"


def test_arguments_that_changed_places_and_a_step_that_is_off_by_one_are_named():
    said = said_of(right, (X, Y), right(Y, X))
    assert said == "it would be right if arguments 1 and 2 changed places"
    table = torch.linspace(1, 0, 6, dtype=torch.float64) ** 2
    look = lambda table, t: table[t - 1]  # noqa: E731
    said = said_of(look, (table, STEP), table[STEP])
    assert said == "it would be right if argument 2 were replaced by itself plus 1"
    said = said_of(lambda table, t: table[t - 1], (table, 3), table[3])
    assert said is None  # one number, which other changes give as well
    both = said_of(lambda v, w: (v.exp(), w.exp()), (X, Y), (X, Y))
    assert both == "it would be right if arguments 1 and 2 were each replaced by its logarithm"


def test_examples_that_are_right_alone_are_said_to_be_mixed():
    rows = torch.tensor([[-1000.0, -1001.0], [-1.0, -2.0]])
    all_at_once = lambda x: (x - x.max()).exp().sum(1).log() + x.max()  # noqa: E731
    assert said_of(all_at_once, [rows], rows.logsumexp(1)) == MIXED
    assert said_of(lambda x: x.logsumexp(1) + x[:, 0], [rows], rows.logsumexp(1)) is None


def test_nothing_is_claimed_of_a_function_that_is_wrong_in_another_way():
    assert said_of(lambda x, y: x.sin() + 3 * y * x + y**2, (X, Y), right(X, Y)) is None
    assert said_of(lambda x, y: None, (X, Y), right(X, Y)) is None
    assert said_of(lambda x, y: "text", (X, Y), right(X, Y)) is None
    assert said_of(lambda x, y: 1 / 0, (X, Y), right(X, Y)) is None


def test_examine_asks_for_more_only_where_nothing_simpler_is_known(capsys):
    calls = []

    def function(x, y):
        calls.append(1)
        print("heard")
        return right(x.exp(), y)

    with pytest.raises(Wrong, match="the answer is") as caught:
        examine(function, (X, Y), right(X, Y))
    assert caught.value.hint == "it would be right if argument 1 were replaced by its logarithm"
    assert capsys.readouterr().out.count("heard") == 2  # the two calls of a trial
    calls.clear()
    with pytest.raises(Wrong) as caught:
        examine(lambda x, y: calls.append(1) or 2 * right(x, y), (X, Y), right(X, Y))
    assert caught.value.hint == "it is twice what is right"
    assert len(calls) == 2


def test_a_slow_function_is_not_asked_for_long(monkeypatch):
    monkeypatch.setattr("ddpm_tutorial.coursework_calls.ENOUGH", 0.0)
    assert answers(lambda x: x, [[X], [X]]) == [None, None]


def test_which_of_several_results_is_wrong_is_said():
    with pytest.raises(Wrong, match=r"^result 2 of 2: the answer is") as caught:
        examine(lambda x: (x, 2 * x), [X], (X, X))
    assert caught.value.hint == "it is twice what is right"
    with pytest.raises(Wrong, match=r"^result 1 of 2: the answer has shape"):
        examine(lambda x: (x[:2], x), [X], (X, X))


def test_a_row_of_numbers_has_no_further_dimension_but_a_picture_may():
    with pytest.raises(Wrong, match=r"shape \(4, 1\), expected \(4,\)") as caught:
        examine(lambda x: x[:, None], [X], X)
    assert caught.value.hint == "a dimension of size 1 is too many"
    examine(lambda x: x[:, None, None, None], [X], X)
    examine(lambda x: x.sum()[None], [X], math.fsum(X.tolist()))


def test_for_which_arguments_an_answer_is_wrong_is_said_where_nothing_better_is_known():
    first_only = lambda x: x if len(x) > 1 else x + x.sin()  # noqa: E731
    examine(first_only, [X], X)
    with pytest.raises(Wrong) as caught:
        examine(first_only, [X[:1]], Known(X[:1], case="for a single picture"))
    assert caught.value.hint == f"{ELSEWHERE}for a single picture"
    with pytest.raises(Wrong) as caught:
        examine(lambda x: 2 * x, [X], Known(X, case="for a single picture"))
    assert caught.value.hint == "it is twice what is right"
    with pytest.raises(Wrong) as caught:
        examine(lambda x: 3 + x, [X], Known(X, {"a name": X + 3}, "for a single picture"))
    assert caught.value.hint == "a name"
