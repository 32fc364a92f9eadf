import linecache
import math
import types

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddpm_tutorial.coursework import (
    Watched,
    check,
    examine,
    gradient,
    hint,
    recorded,
    through_network,
    trial,
)
from ddpm_tutorial.coursework_values import Wrong, hints_to_mistakes, known_mistakes

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
    with pytest.raises(AssertionError, match=r"^the answer is 4 where 2 is right") as caught:
        check(4.0, 2.0, {"half": 1.0, "twice as much": 4.0})
    assert caught.value.hint == "twice as much"
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
        (1.0, r"shape \(\), expected \(2,\)$"),
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
    with pytest.raises(AssertionError, match="is 3 where inf is right"):
        check([3.0, 1.0], [math.inf, 1.0])


def test_digits_that_are_lost_are_shown():
    with pytest.raises(AssertionError, match=r"0\.000100016\d* where 0\.0001 is right"):
        check(1.00016e-4 + 1e-13, 1e-4, rtol=1e-9, atol=0)


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
    with pytest.raises(AssertionError, match="argument 1: was it detached"):
        gradient(lambda x, y: x.detach() * y, x, y, of=0)
    other = torch.ones(1, requires_grad=True)
    with pytest.raises(AssertionError, match="argument 2: is it used"):
        gradient(lambda x, y: x + other, x, y, of=1)


X, Y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])


def product(x, y):
    return x**2 * y


def tied_to_a_part(x, y):
    return x * x.detach() * y


def in_place(x, y):
    x *= x
    return x * y


def noisy(x, y):
    return x**2 * y + torch.randn(2)


kept = []


def remembers(x, y):
    kept.append(1)
    return x**2 * y * len(kept)


def test_what_is_right_in_every_way_passes():
    examine(product, (X, Y), [3.0, 16.0], gradients=[0, 1])
    examine(product, (X, Y), lambda x, y: x * x * y, gradients=[0, 1])
    examine(lambda x: (x, x**2), [X], (X, X**2))
    examine(lambda x: [x, x.sum()], [X], (X, 3.0))
    examine(lambda n: [n, n + 1], [3], torch.tensor([3, 4]))
    examine(in_place, (X, Y), [3.0, 16.0], may_change=[0])
    assert torch.equal(X, torch.tensor([1.0, 2.0]))


def without_grad(x, y):
    with torch.no_grad():
        return x**2 * y


def divides_by_nothing(x, y):
    return torch.where(x > 1, x**2 * y / (x - 1) * (x - 1), x**2 * y)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (tied_to_a_part, "only a part of the gradient reaches argument 1"),
        (without_grad, "no gradient reaches argument 1"),
        (lambda x, y: x**2 * torch.tensor([3.0, 4.0]), "no gradient reaches argument 2"),
        (divides_by_nothing, "the gradient is not a number with respect to argument 1"),
        (in_place, "changes what it is given: work on a copy of argument 1"),
        (noisy, "gives another answer the second time"),
        (remembers, "gives another answer the second time"),
        (lambda x, y: (x**2 * y).long(), "to be floats, and have the type torch.int64"),
        (lambda x, y: x**2 * y * torch.tensor(math.nan), "not finite"),
        (lambda x, y: (x**2 * y).sum(), r"shape \(\), expected \(2,\)"),
        (lambda x, y: None, "did you forget to return"),
        (lambda x, y: 2 * x**2 * y, "is 32 where 16 is right"),
    ],
)
def test_what_is_wrong_in_one_way_is_told_so(function, message):
    with pytest.raises(Wrong, match=message):
        examine(function, (X, Y), [3.0, 16.0], gradients=[0, 1])


def test_the_numbers_give_the_hint_to_what_is_found_before_them():
    with pytest.raises(Wrong, match="changes what it is given") as caught:
        examine(lambda x, y: 2 * in_place(x, y), (X, Y), [3.0, 16.0])
    assert caught.value.hint == "it is twice what is right"


def test_types_are_asked_for():
    examine(lambda x: x.long(), [X], X.long(), dtype=torch.int64)
    with pytest.raises(Wrong, match=r"type torch\.int64, and has torch\.int32"):
        examine(lambda x: x.int(), [X], X.long(), dtype=torch.int64)
    with pytest.raises(Wrong, match="has none: it is a float"):
        examine(lambda x: 3.0, [X], 3.0, dtype=torch.float32)
    for floats in ([3.0, 4.0], torch.tensor([3.0, 4.0]), [torch.tensor(3.0), torch.tensor(4.0)]):
        with pytest.raises(Wrong, match="are to be whole"):
            examine(lambda _, f=floats: f, [X], torch.tensor([3, 4]))
    with pytest.raises(Wrong, match="return two things"):
        examine(lambda x: 3.0, [X], (X, X))


def test_a_dictionary_is_judged_entry_by_entry():
    right = {"a": torch.tensor([1.0]), "n": torch.tensor(3)}
    examine(lambda d: dict(d), [right], right)
    for wrong, message in [
        ([1.0], "not a list"),
        ({"a": torch.tensor([1.0])}, "is missing: n"),
        ({**right, "b": 1}, "there is more"),
        ({**right, "n": torch.tensor(3.0)}, "the entry n: .* torch.int64, and has torch.float32"),
        ({**right, "a": torch.tensor([2.0])}, "is 2 where 1 is right"),
    ]:
        with pytest.raises(Wrong, match=message):
            examine(lambda d, w=wrong: w, [right], right)


def test_an_answer_stays_on_the_device_of_the_arguments():
    for moves in (
        lambda x: (2 * x).to("meta"),
        lambda x: [2 * x[0], (2 * x[1]).to("meta")],
        lambda x: torch.zeros(2, device="meta"),
    ):
        with pytest.raises(Wrong, match=r"moved to the device meta: leave it .*, on cpu"):
            examine(moves, [X], 2 * X)
    there = torch.zeros(2, device="meta")
    trial(lambda x: 2 * x, there)  # all of it is there
    with pytest.raises(Wrong, match="moved to the device cpu"):
        trial(lambda x: torch.zeros(2), there)
    with pytest.raises(Wrong, match="moved to the device meta"):
        examine(lambda d: {"a": there}, [{"a": X}], {"a": X})
    with pytest.raises(Wrong, match="holds no numbers"):
        check(there, X)


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (torch.tensor([1.0, 2.0]), "t of the type torch.float32"),
        (torch.tensor([1, 2], dtype=torch.int32), "t of the type torch.int32"),
        (2, "with a int for t"),
        (torch.tensor(2), r"t of shape \(\)"),
        (torch.tensor([0, 2]), "at t = 0: it knows t = 1 to T, here 4"),
        (torch.tensor([1, 5]), "at t = 5"),
    ],
)
def test_what_reaches_a_network_is_looked_at(t, message):
    network = Watched(lambda x, t: x * t, T=4, calls=1)
    examine(lambda net, x: net(x, torch.tensor([1, 4])), (network, X), [1.0, 8.0], gradients=[])
    with pytest.raises(Wrong, match=message):
        examine(lambda net, x: net(x, t), (network, X), [1.0, 8.0])


def test_a_network_is_asked_as_often_as_is_needed_and_is_a_constant_for_gradients():
    network = Watched(lambda x, t: x * t, T=4, calls=1)
    t = torch.tensor([1, 4])
    examine(lambda net, x: net(x, t) * x, (network, X), [1.0, 16.0], gradients=[1])
    with pytest.raises(Wrong, match="asked 2 times, and 1 is right"):
        examine(lambda net, x: (net(x, t) + net(x, t)) / 2, (network, X), [1.0, 8.0])


def test_the_gradient_gets_through_a_network_to_its_weights():
    t = torch.tensor([10, 20])
    loss, slope = through_network(lambda net, x, t: net(x, t).sum(), X, t)
    check([loss, slope], [0.5 * 3 + 3, 3.0])
    for spoiled in (
        lambda net, x, t: net(x, t).detach().sum() + 0 * x.requires_grad_().sum(),
        lambda net, x, t: net(x, t).sum().item(),
        lambda net, x, t: net(x, t).sum().detach(),
    ):
        with pytest.raises(Wrong, match="no gradient reaches argument 1, the network"):
            through_network(spoiled, X.clone(), t)


def inner(x, n):
    return x * n


def outer(x):
    return inner(x, 2) + inner(x, n=3)


def test_calls_of_another_function_are_recorded_and_it_is_put_back():
    before = inner
    found = recorded(outer, "inner", X)
    assert [[each is None for each in call] for call in found] == [[False, True], [False, True]]
    assert torch.equal(found[0][0], X)
    assert inner is before


def test_a_trial_calls_twice_and_gives_copies():
    answer, after, again = trial(in_place, X, Y)
    assert torch.equal(answer, again)
    assert torch.equal(after[0], X**2)


def answer_of(source):
    """A function as a cell of a notebook defines it."""
    name = f"<cell of {source[:20]}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = types.ModuleType("__main__").__dict__
    exec(compile(source, name, "exec"), namespace)
    return namespace["f"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("epsilon = x\n    return epsilom", "line 3 .* `return epsilom`: name .*mean epsilon"),
        ("return x + x.new_zeros(3)", "line 2 .* do not fit each other: print the shape"),
        ("return x[5]", "out of bounds.*indexed by 0 to T"),
        ("if x > 1: return x", "a tensor of several entries stands where one number"),
        ("raise NotImplementedError()", "NotImplementedError: this part has not been answered"),
        ("return f(x)", "the function calls itself without end"),
        ("x.requires_grad_()\n    return x.numpy()", "stay with torch"),
    ],
)
def test_an_exception_is_a_sentence_with_the_line(body, message):
    with pytest.raises(Wrong, match=message) as caught:
        examine(answer_of(f"def f(x):\n    {body}"), [X], X)
    assert caught.value.__suppress_context__
    assert len(caught.value._render_traceback_()) == 1


def test_a_notebook_shows_the_sentence_and_the_hint_when_asked(monkeypatch, capsys):
    with pytest.raises(Wrong) as caught:
        check(2 * X, X)
    shown = caught.value._render_traceback_()
    assert shown[0].startswith("Not yet: the answer is 4 where 2 is right")
    assert "hint()" in shown[1]
    assert "twice" not in " ".join(shown)
    monkeypatch.setattr("sys.last_value", caught.value, raising=False)
    hint()
    monkeypatch.setattr("sys.last_value", ValueError(), raising=False)
    hint()
    assert capsys.readouterr().out.splitlines() == [
        "Hint: it is twice what is right",
        "There is no hint.",
    ]


def test_the_known_mistakes_are_read_and_none_is_the_right_answer():
    known = known_mistakes(torch.tensor([-1.13234, -0.609214, -2.13468]).double())
    assert any("constant is missing" in words for words in known)
    assert set(known) <= hints_to_mistakes()
    with pytest.raises(Wrong) as caught:
        check([-0.213406, 0.309725, -1.21574], [-1.13234, -0.609214, -2.13468])
    assert "constant is missing" in caught.value.hint
