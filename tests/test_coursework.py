import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial.coursework import check, gradient

numbers = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6)


@given(numbers)
def test_what_is_right_passes_in_any_form(values):
    right = torch.tensor(values, dtype=torch.float64)
    check(values, values)
    check(right.float(), right)
    check(right[None, :, None], right)
    check(tuple(right), values)
    check(right.requires_grad_(), values)


@given(numbers, st.integers(0, 5), st.floats(2e-4, 1.0), st.sampled_from([-1, 1]))
def test_one_wrong_entry_is_enough(values, at, share, sign):
    wrong = list(values)
    at %= len(wrong)
    wrong[at] += sign * (share * abs(wrong[at]) + 2e-6)
    with pytest.raises(AssertionError):
        check(wrong, values)


def test_a_known_mistake_is_named_and_what_is_right_is_none():
    check(2.0, 2.0, {"no": 2.0})
    with pytest.raises(AssertionError, match="twice as much"):
        check(4.0, 2.0, {"half": 1.0, "twice as much": 4.0})
    with pytest.raises(AssertionError, match=r"is 5 where 2 is right \(entry 1 of 1"):
        check(5.0, 2.0, {"half": 1.0})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "did you forget to return"),
        ("three", "is a str"),
        ({"a": 1}, "is a dict"),
        (torch.tensor([1.0 + 0j, 2.0]), "is a Tensor"),
        ([None], "is None"),
        (torch.zeros(3), r"shape \(3,\), expected \(2,\)"),
        (torch.zeros(2, 2), r"shape \(2, 2\), expected \(2,\)$"),
        (1.0, r"shape \(\), expected \(2,\): several results go in a tuple"),
        ([math.nan, 1.0], "not finite everywhere"),
        ([math.inf, 1.0], "not finite everywhere"),
        ([1.0, 2.5], r"2.5 where 2 is right \(entry 2 of 2"),
    ],
)
def test_everything_else_is_said_plainly(answer, message):
    with pytest.raises(AssertionError, match=message):
        check(answer, [1.0, 2.0])


def test_infinity_can_be_the_right_answer():
    check([math.inf, 1.0], [math.inf, 1.0])


def test_errors_do_not_cancel():
    with pytest.raises(AssertionError):
        check([2.0, 0.0], [1.0, 1.0])


def test_a_gradient_is_that_of_autograd():
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    check(gradient(lambda x, y: x**2 * y, x, y, of=0), 2 * x * y)
    check(gradient(lambda x, y: x**2 * y, x, y, of=1), x**2)
    check(gradient(lambda f, x: f(x), torch.square, x, of=1), 2 * x)
    assert not x.requires_grad


def test_where_no_gradient_gets_through_it_is_said():
    x, y = torch.tensor([1.0]), torch.tensor([2.0])
    with pytest.raises(AssertionError, match="was it detached"):
        gradient(lambda x, y: x.detach() * y, x, y, of=0)
    other = torch.ones(1, requires_grad=True)
    with pytest.raises(AssertionError, match="is it used"):
        gradient(lambda x, y: x + other, x, y, of=1)
