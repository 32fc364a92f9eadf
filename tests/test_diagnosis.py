"""A wrong answer is told how it is wrong, and nothing is claimed that is not so."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial.coursework import check
from ddpm_tutorial.diagnosis import (
    FACTORS,
    FUNCTIONS,
    SHIFTS,
    describe_difference,
)
from ddpm_tutorial.diagnosis_of_errors import describe_error


def numbers(*shape, low=0.1, high=0.9):
    """Right answers, all different, and none in a simple relation to another."""
    seeds = st.integers(0, 2**31)
    return seeds.map(
        lambda seed: (
            low
            + (high - low)
            * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        )
    )


@given(numbers(5), st.sampled_from([*FACTORS.items()]))
def test_a_factor_is_named(right, named):
    words, factor = named
    assert describe_difference(factor * right, right) == f"it is {words}"
    assert describe_difference((factor * right).float(), right) == f"it is {words}"


@given(numbers(5), st.sampled_from([*SHIFTS.items()]), st.sampled_from([1, -1]))
def test_a_shift_is_named(right, named, sign):
    words, shift = named
    side = "large" if sign > 0 else "small"
    assert describe_difference(right + sign * shift, right) == f"it is too {side} by {words}"


@given(numbers(5), st.sampled_from([*FUNCTIONS.items()]))
def test_a_function_is_named(right, named):
    words, function = named
    right = -right if words.endswith("without its sign") else right
    said = describe_difference(function(right), right)
    # Of numbers that are all below 0, those without a sign are the negative as well.
    assert said in (f"it is {words}", "it is the negative of what is right")


@given(numbers(6), st.floats(2.1, 900.0))
def test_any_other_factor_or_shift_is_given_as_a_number(right, number):
    said = describe_difference(number * right, right)
    assert said is not None
    assert said.startswith("it is")
    assert "times what is right" in said or "what is right" in said
    assert describe_difference(right - number, right) == f"it is too small by {number:.4g}"


@given(numbers(4, 6))
def test_an_order_is_named(right):
    assert describe_difference(right.flip(1), right) == "the order is reversed along dimension 1"
    late = torch.cat([right[1:], right[:1]])
    assert (
        describe_difference(late, right)
        == "each entry is the one that belongs after it along dimension 0"
    )
    mixed = right.flatten()[torch.arange(24) * 7 % 24].view(4, 6)
    assert describe_difference(mixed, right) == "the right numbers stand in another order"
    square = right[:, :4]
    assert describe_difference(square.T, square) == "it is transposed"
    assert describe_difference(right.T, right) == "it is transposed"


@given(numbers(7), st.integers(1, 5))
def test_the_place_is_named(right, place):
    off = right + torch.rand(7, generator=torch.Generator().manual_seed(0)) + 0.01
    here = torch.arange(7)
    first = torch.where(here == 0, off, right)
    assert describe_difference(first, right) == "the first entry is wrong, and all others are right"
    last = torch.where(here == 6, off, right)
    assert describe_difference(last, right) == "the last entry is wrong, and all others are right"
    only = torch.where(here == 0, right, off)
    assert describe_difference(only, right) == "only the first entry is right"
    one = torch.where(here == place, off, right)
    assert describe_difference(one, right) == (
        f"entry {place + 1} of 7 is wrong, and all others are right"
    )
    if 1 < place < 6:
        upto = torch.where(here < place, right, off)
        assert describe_difference(upto, right) == (
            f"it is right up to entry {place} of 7, and wrong from there on"
        )


@given(numbers(3, 5))
def test_what_differs_by_row_is_named(right):
    of_row = torch.tensor([[0.7], [1.3], [2.9]], dtype=torch.float64)
    assert describe_difference(of_row * right, right) == (
        "a factor is wrong that differs from one row (dimension 0) to the next"
    )
    assert describe_difference(of_row + right, right) == (
        "a term is wrong or missing that is one number for each row (dimension 0)"
    )
    in_one_row = torch.cat([right[:1] * 0.7, right[1:] ** 2])
    assert describe_difference(in_one_row, right) is None


@given(numbers(3, 5))
def test_a_reduction_is_named(right):
    cases = [
        (right.sum(), right, "it is the sum over all entries, where each is asked for"),
        (right.mean(), right, "it is the mean over all entries, where each is asked for"),
        (right.sum(1), right, "it is the sum over dimension 1, which should stay"),
        (right, right.mean(0), "the mean over dimension 0 is still to be taken"),
        (right, right.sum(), "the sum over all entries is still to be taken"),
    ]
    for wrong, wanted, words in cases:
        assert describe_difference(wrong, wanted) == words


def test_where_numbers_are_lost_it_is_said():
    right = torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = describe_difference(torch.tensor([1.0, 2.0, math.nan, math.nan]), right)
    assert (
        found
        == "it is NaN in 2 of 4 entries, first where 3 is right (entry 3), and right elsewhere"
    )


@given(numbers(6), numbers(6))
def test_of_unrelated_numbers_nothing_is_said(given_, right):
    if not torch.isclose(given_, right, rtol=1e-2).any():
        assert describe_difference(given_, right) is None


def test_one_number_is_not_enough_for_a_guess():
    two, three = torch.tensor(2.0), torch.tensor(3.0)
    assert describe_difference(torch.tensor(4.0), two) is None  # twice, or the square, or 2 more
    assert describe_difference(torch.tensor(6.0), three) == "it is twice what is right"
    assert describe_difference(torch.tensor(17.3), three) is None
    alike = describe_difference(torch.tensor([7.3, 7.3]), torch.ones(2))
    assert "times" not in alike  # of a number that all entries share, no factor is claimed
    pair = torch.tensor([1.0, 3.0])
    assert describe_difference(7.3 * pair, pair) == "it is 7.3 times what is right"
    assert describe_difference(torch.tensor([7.3, 22.0]), pair) is None
    assert describe_difference(2 * pair, pair) == "it is twice what is right"


@given(numbers(4))
def test_what_is_right_is_not_described(right):
    assert describe_difference(right, right.clone()) is None


def test_the_tests_of_an_assignment_say_it():
    with pytest.raises(AssertionError, match=r"\(entry 3 of 3, counted through\)$") as caught:
        check([2.0, 6.0, 14.0], [1.0, 3.0, 7.0])
    assert caught.value.hint == "it is twice what is right"
    with pytest.raises(AssertionError, match=r"expected \(3,\)$") as caught:
        check(11.0, [1.0, 3.0, 7.0])
    assert "it is the sum over all entries" in caught.value.hint
    with pytest.raises(AssertionError) as caught:  # a known mistake comes first
        check([2.0, 6.0, 14.0], [1.0, 3.0, 7.0], {"a name": [2.0, 6.0, 14.0]})
    assert caught.value.hint == "a name"


def test_one_number_everywhere_is_said_to_be_that():
    right = torch.tensor([-1000.05, -1000.14, -1001.0])
    assert "every entry is -27.6" in describe_difference(torch.full((3,), -27.6), right)
    assert describe_difference(right + 1e-5, right) is None


def test_a_name_or_a_method_that_is_almost_right_is_named():
    for source, meant in (("epsilon = 1; epsilom", "epsilon"), ("'a'.uper()", "upper")):
        with pytest.raises((NameError, AttributeError)) as caught:
            exec(source, {})
        assert describe_error(caught.value, "<string>").endswith(f"did you mean {meant}?")


def test_what_is_cut_to_a_range_is_told_from_what_is_wrong_there():
    right = torch.tensor([1.4, -0.3, 2.0, -1.7, 0.6])
    assert describe_difference(right.clamp(max=1), right) == (
        "it is what is right, but never more than 1"
    )
    assert "never less than 0" in describe_difference(right.relu(), right)
    assert describe_difference(right.clamp(-1, 1), right) == "it is what is right, cut to -1 to 1"
    assert "never more than 0.7" in describe_difference(right.clamp(max=0.7), right)
    odd = torch.tensor([1.4, -0.3, 0.9, -1.7, 0.6])  # one entry is wrong, at no plain number
    assert "never more" not in str(describe_difference(torch.where(odd == 1.4, 1.1, odd), odd))


def test_what_is_infinite_where_it_should_not_be_is_told():
    right = torch.tensor([math.inf, -69.1])
    said = describe_difference(torch.tensor([math.inf, -math.inf]), right)
    assert said.startswith("it is infinite in 2 of 2 entries, first where inf is right (entry 1)")


def test_a_factor_is_a_fraction_where_it_is_one_of_small_numbers():
    right = torch.tensor([0.56522, 0.392676])
    assert describe_difference(right * 4 / 3, right) == "it is 4/3 times what is right"
    assert describe_difference(right * 1.234, right) == "it is 1.234 times what is right"
