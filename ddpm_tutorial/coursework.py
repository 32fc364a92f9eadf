"""What the assignments judge answers with: what a function is, how it differs, and a hint."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddpm_tutorial.coursework_networks import Watched, WatchedLayer, Watcher
from ddpm_tutorial.coursework_values import (
    Wrong,
    agree,
    copy_of,
    devices,
    has_floats,
    known_mistakes,
    mixed_sum,
    numbers,
    same,
)
from ddpm_tutorial.diagnosis import describe, describe_error, without_ones

__all__ = [
    "Known",
    "Watched",
    "WatchedLayer",
    "check",
    "examine",
    "gradient",
    "hint",
    "recorded",
    "through_network",
]

CHANGED = "the function changes what it is given: work on a copy of argument"
OWN_DRAWS = (
    "the same call gives another answer the second time: draw nothing of your own, and keep nothing"
)
NO_GRADIENT = "no gradient reaches argument"
PART_OF_GRADIENT = "only a part of the gradient reaches argument"
NO_NUMBER = "the gradient is not a number, by argument"
MISSING, MORE = "in your dictionary is missing:", "there is more in your dictionary than there was"
NAMED = "of your dictionary the entry"
WHOLE = "the numbers are to be whole, such as can index a table: make them int"
FLOATING = "the numbers are to be floats"
OF_TYPE = "the answer is to have the type"
MOVED = "the answer has moved to the device"
COUNT = {2: "two", 3: "three", 4: "four"}


def hint() -> None:
    """Print the hint to the answer that failed last in this notebook, if there is one."""
    said = getattr(getattr(sys, "last_value", None), "hint", None)
    print(f"Hint: {said}" if said else "There is no hint.")


@dataclass(frozen=True)
class Known:
    """The right answer, and by hint what known mistakes make of the same arguments."""

    right: Any
    mistakes: Mapping[str, Any]


def examine(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    expected: Any = None,
    *,
    gradients: Sequence[int] = (),
    dtype: torch.dtype | None = None,
    may_change: Sequence[int] = (),
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> None:
    """Raise Wrong unless `function`, called with `arguments`, is and gives what it should.

    Looked at, in this order: that the answer stays on the device of the arguments; its shape and
    type, and that it is finite where the right one is; what reaches a network that is `Watched`;
    that the same call gives the same again; that the arguments are afterwards what they were, those
    numbered in `may_change` aside; that the gradient by the arguments numbered in `gradients` (from
    0) comes through, whole, where a network counts as a constant; and the numbers, as `check` does.
    Where one of these fails, and the numbers are those of a known mistake, its name is the hint.
    `expected` is the answer, or a function that makes it of the arguments, or `Known`. Several
    results are a tuple, and may be a dictionary of tensors. Of a torch.Size in its place, only the
    shape is asked for. `dtype` is asked for exactly where it is given, and gradients are measured
    in it; else floats of any kind are taken for floats, whole numbers for whole ones, and gradients
    are measured in double precision.
    """
    mistakes = None
    if isinstance(expected, Known):
        expected, mistakes = expected.right, expected.mistakes
    numbers_count = not isinstance(expected, torch.Size)
    if not numbers_count:
        expected = torch.zeros(expected)
    if callable(expected):
        expected = expected(*copy_of(list(arguments)))
    watched = [each for each in arguments if isinstance(each, Watcher)]
    for each in watched:
        each.seen.clear()
        each.said.clear()
    with _in_words(function):
        answer, after, again = trial(function, *arguments)
    try:
        _compare_kinds(answer, expected, dtype)
        for each in watched:
            each.judge(trials=2)
        if not same(answer, again):
            raise Wrong(OWN_DRAWS)
        for number, (before, now) in enumerate(zip(arguments, after, strict=True)):
            if number not in may_change and not same(before, now):
                raise Wrong(f"{CHANGED} {number + 1}")
        for of in gradients:
            with _in_words(function):
                _compare_slopes(function, arguments, of, dtype or torch.float64)
    except Wrong as wrong:
        if wrong.hint is None and numbers_count:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                _compare_numbers(answer, expected, mistakes, rtol, atol, wrong)
        raise
    if numbers_count:
        _compare_numbers(answer, expected, mistakes, rtol, atol)


def check(
    answer: Any,
    expected: Any,
    mistakes: Mapping[str, Any] | None = None,
    *,
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> None:
    """Raise Wrong unless `answer` is `expected`; say where it differs.

    Both are tensors, numbers, or nested lists or tuples of numbers. Any floating type passes, and
    so do extra dimensions of size 1. Each entry may differ by `atol + rtol * |expected|`.
    `mistakes` maps a hint to the value that the mistake gives on the same input. To it are added
    those that `assets/mistakes.json` holds for this value of `expected`. Where none of them fits,
    `describe_difference` says in which simple way the answer is wrong, if there is one.
    """
    given, right = numbers(answer), numbers(expected)
    if agree(given, right, rtol, atol):
        return
    known = {**(mistakes or {}), **known_mistakes(right)}
    named = [hint for hint, value in known.items() if agree(given, numbers(value), rtol, atol)]
    where, how = describe(given, right)
    raise Wrong(where, named[0] if named else how)


def gradient(function: Callable[..., Any], *arguments: Any, of: int, mixed: bool = False) -> Tensor:
    """The gradient of the sum of `function(*arguments)` with respect to argument number `of`.

    That one has to be a tensor of a floating type; the others may be anything. With `mixed`, each
    entry of the sum has another weight, so that nothing in it cancels, and several results are
    added up. Raises Wrong where the result does not depend on that argument at all.
    """
    if hasattr(function, "gradient"):  # the grader's stand-in: computed where the function is
        found: Tensor = function.gradient(*arguments, of=of, mixed=mixed)
        return found
    inputs = list(arguments)
    inputs[of] = arguments[of].clone().requires_grad_()
    result = function(*inputs)
    result = mixed_sum(result) if mixed else result.sum()
    if not result.requires_grad:
        raise Wrong(f"{NO_GRADIENT} {of + 1}: was it detached?")
    through: Tensor | None
    (through,) = torch.autograd.grad(result, inputs[of], allow_unused=True)
    if through is None:
        raise Wrong(f"{NO_GRADIENT} {of + 1}: is it used?")
    return through


def trial(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Call it twice, with copies: the answer, the arguments after it, and the second answer.

    Raises Wrong where the answer lies on another device than the arguments.
    """
    if hasattr(function, "trial"):  # the grader's stand-in: tried where the function is
        return list(function.trial(*arguments))
    given = copy_of(list(arguments))
    answer = copy_of(function(*given))
    home = devices(arguments) or {"cpu"}
    if moved := sorted(devices(answer) - home):
        raise Wrong(f"{MOVED} {moved[0]}: leave it where the arguments are, on {min(home)}")
    return [answer, given, function(*copy_of(list(arguments)))]


def through_network(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(network, *arguments)` gives, and its derivative by the network's weight.

    The network is 0.5 x_t + t / 10, and 0.5 is its weight. What a network answers has to stay tied
    to its weights, or it will not be trained. Raises Wrong where it is not.
    """
    if hasattr(function, "through_network"):  # the grader's stand-in
        return list(function.through_network(*arguments))
    weight = torch.tensor(0.5, requires_grad=True)

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return weight * x_t + t.reshape(-1, *[1] * (x_t.ndim - 1)) / 10

    result = function(network, *arguments)
    if not (isinstance(result, Tensor) and result.requires_grad):
        raise Wrong(f"{NO_GRADIENT} 1, the network: is its answer detached, or the loss a number?")
    (through,) = torch.autograd.grad(result.sum(), weight, allow_unused=True)
    if through is None:
        raise Wrong(f"{NO_GRADIENT} 1, the network: was its answer detached?")
    return [result.detach(), through]


def recorded(function: Callable[..., Any], name: str, *arguments: Any) -> list[list[Any]]:
    """Call a function, and list what it called the function `name` of the same notebook with.

    One list for each call, with the tensors among its arguments; None stands for what is none.
    """
    if hasattr(function, "recorded"):  # the grader's stand-in
        found: list[list[Any]] = function.recorded(name, *arguments)
        return found
    seen: list[list[Any]] = []
    beside = getattr(function, "__globals__", {name: None})
    real = beside[name]

    def record(*given: Any, **named: Any) -> Any:
        all_given = (*given, *named.values())
        seen.append([copy_of(each) if isinstance(each, Tensor) else None for each in all_given])
        return real(*given, **named)

    beside[name] = record
    try:
        function(*arguments)
    finally:
        beside[name] = real
    return seen


def explain(error: BaseException, filename: str) -> str:
    """`describe_error`, which the grader has from here in a student's process."""
    return describe_error(error, filename)


@contextlib.contextmanager
def _in_words(function: Any) -> Iterator[None]:
    """An error of the student's becomes a sentence with the line; in the grader it is one."""
    try:
        yield
    except Wrong:
        raise
    except Exception as error:
        if not hasattr(function, "__code__"):
            raise
        said = explain(error, function.__code__.co_filename)
        raise Wrong(f"{type(error).__name__}: {said}") from None


def _compare_kinds(answer: Any, expected: Any, dtype: torch.dtype | None) -> None:
    """Raise Wrong where the shape or the type of an answer is not right."""
    if isinstance(expected, tuple):
        several = isinstance(answer, (tuple, list)) or (torch.is_tensor(answer) and answer.ndim > 0)
        if not several or len(answer) != len(expected):
            numbers(answer)
            raise Wrong(f"return {COUNT[len(expected)]} things, in a tuple")
        for given, right in zip(answer, expected, strict=True):
            _compare_kinds(given, right, dtype)
        return
    if isinstance(expected, dict):
        if not isinstance(answer, dict):
            raise Wrong(f"return a dictionary, not a {type(answer).__name__}")
        if missing := sorted(set(expected) - set(answer)):
            raise Wrong(f"{MISSING} {', '.join(missing)}")
        if len(answer) > len(expected):
            raise Wrong(MORE)
        for name, right in expected.items():
            whole = not right.is_floating_point()
            try:
                _compare_kinds(answer[name], right, right.dtype if whole else None)
            except Wrong as wrong:
                raise Wrong(f"{NAMED} {name}: {wrong}", wrong.hint) from None
        return
    given, right = numbers(answer), numbers(expected)
    if without_ones(given) != without_ones(right) or not bool(
        (given.isfinite() | ~right.isfinite().reshape(given.shape)).all()
    ):
        check(answer, expected)
    kind = answer.dtype if isinstance(answer, Tensor) else None
    if dtype is not None and kind != dtype:
        raise Wrong(
            f"{OF_TYPE} {dtype}, and has {kind or f'none: it is a {type(answer).__name__}'}"
        )
    whole = isinstance(expected, Tensor) and not expected.is_floating_point()
    if whole and dtype is None and has_floats(answer):
        raise Wrong(WHOLE)
    if kind is not None and dtype is None and not whole and not kind.is_floating_point:
        raise Wrong(f"{FLOATING}, and have the type {kind}")


def _compare_numbers(
    answer: Any,
    expected: Any,
    mistakes: Mapping[str, Any] | None,
    rtol: float,
    atol: float,
    wrong: Wrong | None = None,
) -> None:
    """As `check`, for several results too. With `wrong`, only its hint is filled in."""
    several = isinstance(expected, tuple)
    if isinstance(expected, dict):
        answer = torch.cat([numbers(answer[name]).flatten() for name in expected])
        expected = torch.cat([numbers(each).flatten() for each in expected.values()])
    pairs = zip(answer, expected, strict=True) if several else [(answer, expected)]
    for given, right in pairs:
        try:
            check(given, right, mistakes, rtol=rtol, atol=atol)
        except Wrong as found:
            if wrong is None:
                raise
            wrong.hint = wrong.hint or found.hint


def _compare_slopes(
    function: Callable[..., Any], arguments: Sequence[Any], of: int, dtype: torch.dtype
) -> None:
    """Raise Wrong unless autograd's gradient is what small steps of that argument measure."""
    precise = dtype == torch.float64
    exact: list[Any] = [
        each.frozen(dtype) if isinstance(each, Watcher) else _in_double(each) if precise else each
        for each in copy_of(list(arguments))
    ]
    by_autograd = gradient(function, *exact, of=of, mixed=True)
    if not bool(by_autograd.isfinite().all()):
        raise Wrong(f"{NO_NUMBER} {of + 1}: is there a division by 0 whose result is thrown away?")
    direction = torch.arange(1.0, exact[of].numel() + 1).sin().to(dtype).reshape(exact[of].shape)
    through = float((by_autograd * direction).sum())
    # In single precision one step may be too long for a curve, and another too short for rounding.
    for step, tolerance in [(1e-3, 1e-2)] if precise else [(1e-2, 3e-2), (2e-3, 3e-2)]:
        ends = []
        for way in (step, -step):
            moved = copy_of(exact)
            moved[of] = exact[of] + way * direction
            ends.append(float(mixed_sum(function(*moved)).detach()))
        measured = (ends[0] - ends[1]) / (2 * step)
        if abs(through - measured) <= tolerance * (abs(measured) + 1e-2):
            return
    raise Wrong(f"{PART_OF_GRADIENT} {of + 1}: was something detached, or made a plain number?")


def _in_double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
