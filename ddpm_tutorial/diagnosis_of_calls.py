"""How a function is wrong: for which other arguments it would have given the right answer."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from ddpm_tutorial.diagnosis import same_numbers

#: What an argument may be taken for that it is not, entry by entry.
ENTRIES: dict[str, Callable[[Tensor], Tensor]] = {
    "its logarithm": torch.log,
    "its exponential": torch.exp,
    "its square": torch.square,
    "its root": torch.sqrt,
    "its reciprocal": torch.reciprocal,
    "its negative": torch.neg,
    "twice itself": lambda given: 2 * given,
    "half of itself": lambda given: given / 2,
    "1 minus itself": lambda given: 1 - given,
}
#: The same for one whose entries have an order.
ROWS: dict[str, Callable[[Tensor], Tensor]] = {
    "itself in reverse order": lambda given: given.flip(0),
    "itself moved on by one entry": lambda given: given.roll(1, 0),
    "itself moved back by one entry": lambda given: given.roll(-1, 0),
    "the quotients of its neighbours": lambda given: torch.cat([given[:1], given[1:] / given[:-1]]),
    "its running product": lambda given: given.cumprod(0),
    "the differences of its neighbours": lambda given: torch.cat([given[:1], given.diff(dim=0)]),
    "its running sum": lambda given: given.cumsum(0),
}
#: The same for whole numbers.
WHOLE: dict[str, Callable[[Any], Any]] = {
    "itself plus 1": lambda given: given + 1,
    "itself minus 1": lambda given: given - 1,
}
#: What is said where each example is right, and all together are not.
MIXED = (
    "each example is right if it comes alone: is a sum, a mean or a maximum taken over all of "
    "them, or what holds for the first used for all?"
)


def describe_function(
    arguments: Sequence[Any],
    right: Sequence[Tensor],
    ask: Callable[[list[list[Any]]], list[Any]],
) -> str | None:
    """In words, for which other arguments the answer would be right; None where that finds none.

    `right` holds each result that is asked for. `ask` gives what the function makes of each of
    several lists of arguments, and None where it fails. A change is named where it makes every
    entry right; if all right entries are one number, it must be the only change that does.
    """
    right = [each.double() for each in right]
    wanted = torch.cat([each.flatten() for each in right])
    alone, changes = list(_alone(arguments, right)), list(_changes(arguments))
    found = ask([*(one for one, _ in alone), *(changed for _, changed in changes)])
    of_examples, of_changes = found[: len(alone)], found[len(alone) :]
    if alone and all(_fits(a, of_one) for a, (_, of_one) in zip(of_examples, alone, strict=True)):
        return MIXED
    pairs = zip(of_changes, changes, strict=True)
    fitting = [words for answer, (words, _) in pairs if _fits(answer, wanted)]
    certain = len(wanted.unique()) > 1
    return (
        f"it would be right if {fitting[0]}" if fitting and (certain or len(fitting) == 1) else None
    )


def _changes(arguments: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Other lists of arguments, each with what was done, the simplest first."""
    floats = [k for k, each in enumerate(arguments) if _is_float(each)]
    for k, given in enumerate(arguments):
        whole = isinstance(given, Tensor) and given.dtype == torch.int64
        for words, way in WHOLE.items() if whole or type(given) is int else ():
            yield f"argument {k + 1} were replaced by {words}", _with(arguments, {k: way(given)})
    for k in floats:
        given = arguments[k]
        ways = ENTRIES | (ROWS if given.ndim > 0 and len(given) > 1 else {})
        for words, way in ways.items():
            yield f"argument {k + 1} were replaced by {words}", _with(arguments, {k: way(given)})
    for i, j in combinations(floats, 2):
        if arguments[i].shape == arguments[j].shape:
            swapped = _with(arguments, {i: arguments[j], j: arguments[i]})
            yield f"arguments {i + 1} and {j + 1} changed places", swapped
    for i, j in combinations(floats, 2):
        for words, way in ENTRIES.items():
            both = _with(arguments, {i: way(arguments[i]), j: way(arguments[j])})
            yield f"arguments {i + 1} and {j + 1} were each replaced by {words}", both


def _alone(arguments: Sequence[Any], right: Sequence[Tensor]) -> Iterator[tuple[list[Any], Tensor]]:
    """For each of several examples, the arguments of that one, and what is right for it."""
    size = len(right[0]) if right[0].ndim > 0 else 1
    of_examples = [
        k
        for k, each in enumerate(arguments)
        if isinstance(each, Tensor) and each.ndim > 0 and len(each) == size
    ]
    if size > 1 and of_examples and all(each.ndim > 0 and len(each) == size for each in right):
        for n in range(size):
            one = _with(arguments, {k: arguments[k][n : n + 1] for k in of_examples})
            yield one, torch.cat([each[n : n + 1].flatten() for each in right])


def _fits(answer: Any, wanted: Tensor) -> bool:
    """Whether all entries of all results are those that are wanted."""
    parts = answer if isinstance(answer, (tuple, list)) else (answer,)
    try:
        found = torch.cat([torch.as_tensor(each).detach().double().flatten() for each in parts])
    except (TypeError, ValueError, RuntimeError):  # no numbers
        return False
    return same_numbers(found, wanted)


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _with(arguments: Sequence[Any], new: dict[int, Any]) -> list[Any]:
    return [new.get(k, each) for k, each in enumerate(arguments)]
