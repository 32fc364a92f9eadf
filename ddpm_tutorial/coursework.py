"""What the assignments judge answers with: what a function is, how it differs, and a hint."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ddpm_tutorial.coursework_calls import (
    answers,
    explain,
    gradient,
    recorded,
    through_network,
    trial,
)
from ddpm_tutorial.coursework_networks import Watched, WatchedLayer, Watcher
from ddpm_tutorial.coursework_values import (
    Wrong,
    agree,
    copy_of,
    has_floats,
    known_mistakes,
    known_slips,
    mixed_sum,
    numbers,
    same,
)
from ddpm_tutorial.diagnosis import describe, without_ones
from ddpm_tutorial.diagnosis_of_calls import describe_function

__all__ = [
    "Known",
    "Watched",
    "WatchedLayer",
    "answers",
    "check",
    "examine",
    "explain",
    "gradient",
    "hint",
    "recorded",
    "through_network",
    "trial",
]

CHANGED = "the function changes what it is given: work on a copy of argument"
OWN_DRAWS = (
    "the same call gives another answer the second time: draw nothing of your own, and keep nothing"
)
PART_OF_GRADIENT = "only a part of the gradient reaches argument"
NO_NUMBER = "the gradient is not a number with respect to argument"
MISSING, MORE = "in your dictionary is missing:", "there is more in your dictionary than there was"
NAMED = "of your dictionary the entry"
WHOLE = "the numbers are to be whole, such as can index a table: make them int"
FLOATING = "the numbers are to be floats"
OF_TYPE = "the answer is to have the type"
ELSEWHERE = "it is right in the example, and is not "
COUNT = {2: "two", 3: "three", 4: "four"}


def hint() -> None:
    """Print the hint to the answer that failed last in this notebook, if there is one."""
    said = getattr(getattr(sys, "last_value", None), "hint", None)
    print(f"Hint: {said}" if said else "There is no hint.")


@dataclass(frozen=True)
class Known:
    """The right answer, by hint what known mistakes make of it, and which arguments these are.

    `case` says that in words, such as "for a single picture", where they are other than those of
    the example. Where no better hint is found, it is the hint.
    """

    right: Any
    mistakes: Mapping[str, Any] = field(default_factory=dict)
    case: str = ""


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
    Where one of these fails, and the numbers are those of a known mistake, its name is the hint;
    else how they differ; else for which other arguments they would be right.
    `expected` is the answer, or a function that makes it of the arguments, or `Known`. Several
    results are a tuple, and may be a dictionary of tensors. Of a torch.Size in its place, only the
    shape is asked for. `dtype` is asked for exactly where it is given, and gradients are measured
    in it; else floats of any kind are taken for floats, whole numbers for whole ones, and gradients
    are measured in double precision.
    """
    known = expected if isinstance(expected, Known) else Known(expected)
    try:
        _judge(function, arguments, known, gradients, dtype, may_change, (rtol, atol))
    except Wrong as wrong:
        if known.case:
            wrong.elsewhere = f"{ELSEWHERE}{known.case}"
            wrong.hint = wrong.hint or wrong.elsewhere
        raise


def _judge(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    known: Known,
    gradients: Sequence[int],
    dtype: torch.dtype | None,
    may_change: Sequence[int],
    within: tuple[float, float],
) -> None:
    """As `examine`; `within` are the two tolerances."""
    expected = known.right
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
                _compare_numbers(answer, expected, known.mistakes, within, wrong)
        raise
    if numbers_count:
        try:
            _compare_numbers(answer, expected, known.mistakes, within)
        except Wrong as wrong:
            if wrong.hint is None and not isinstance(expected, dict):
                right = expected if isinstance(expected, tuple) else (expected,)
                ask = partial(answers, function)
                wrong.hint = describe_function(arguments, [numbers(each) for each in right], ask)
            raise


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
    `describe_difference` says in which simple way the answer is wrong, if there is one; else
    `assets/slips.json` may know it as what a single slip in the model answer gives.
    """
    given, right = numbers(answer), numbers(expected)
    if agree(given, right, rtol, atol):
        return
    known = {**(mistakes or {}), **known_mistakes(right)}
    named = [hint for hint, value in known.items() if agree(given, numbers(value), rtol, atol)]
    where, how = describe(given, right)
    if not named and how is None:
        slips = known_slips(right)
        named = [hint for hint, value in slips if agree(given, numbers(value), rtol, atol)]
    raise Wrong(where, named[0] if named else how)


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
        for n, (given, right) in enumerate(zip(answer, expected, strict=True), start=1):
            with _of_result(n, len(expected)):
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
    if right.ndim == 1 and given.ndim == 2:  # (B, 1, 1, 1) fits pictures, and may be meant so
        said = f"the answer has shape {tuple(given.shape)}, expected {tuple(right.shape)}"
        raise Wrong(said, "a dimension of size 1 is too many")
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
    mistakes: Mapping[str, Any],
    within: tuple[float, float],
    wrong: Wrong | None = None,
) -> None:
    """As `check`, for several results too. With `wrong`, only its hint is filled in."""
    several = isinstance(expected, tuple)
    if isinstance(expected, dict):
        answer = torch.cat([numbers(answer[name]).flatten() for name in expected])
        expected = torch.cat([numbers(each).flatten() for each in expected.values()])
    pairs = list(zip(answer, expected, strict=True)) if several else [(answer, expected)]
    for n, (given, right) in enumerate(pairs, start=1):
        try:
            with _of_result(n, len(pairs)):
                check(given, right, mistakes, rtol=within[0], atol=within[1])
        except Wrong as found:
            if wrong is None:
                raise
            wrong.hint = wrong.hint or found.hint


@contextlib.contextmanager
def _of_result(number: int, total: int) -> Iterator[None]:
    """What is said of one of several results begins with which one it is."""
    try:
        yield
    except Wrong as wrong:
        if total == 1:
            raise
        raise Wrong(f"result {number} of {total}: {wrong}", wrong.hint) from None


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
