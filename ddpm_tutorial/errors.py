"""Errors whose message alone tells a user what is wrong and what to do."""

import operator
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import SupportsIndex, TypeVar

from torch import Tensor

__all__ = [
    "TutorialError",
    "check_choice",
    "check_finite",
    "check_seed",
    "check_whole",
    "choose",
    "needs_extra",
]

Thing = TypeVar("Thing")


class TutorialError(Exception):
    """Something outside the code is wrong: a file, a folder, a setting. Shown without a trace."""


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ValueError, naming the choices, unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f'{name} = "{value}": choose one of {", ".join(choices)}')


def choose(name: str, value: str | Thing, registry: Mapping[str, Thing]) -> Thing:
    """The object that a word stands for in a registry; an object stays what it is.

    Raises ValueError, naming the words, for one that is not there, for None and for a class.
    """
    if isinstance(value, type) or value is None:
        shown = "None" if value is None else f"the class {value.__name__}"
        raise ValueError(f"{name} is {shown}: give an object, or one of {', '.join(registry)}")
    if not isinstance(value, str):
        return value
    check_choice(name, value, registry)
    return registry[value]


def check_finite(name: str, values: Tensor) -> None:
    """Raise ValueError, saying how many, where entries of `values` (any shape) are nan or infinite.

    Waits for the device. A tensor on the meta device has no values, and passes.
    """
    if values.is_meta:
        return
    bad = values.numel() - int(values.isfinite().sum())
    if bad:
        raise ValueError(
            f"{name}: {bad:,} of {values.numel():,} values are not finite (nan or inf), so nothing "
            f"can be made of them; look for where they first appear"
        )


def check_whole(name: str, value: SupportsIndex) -> int:
    """The value as an int, of whatever kind of integer it is. Raises ValueError for another."""
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} = {value!r}: it must be a whole number") from None


def check_seed(seed: int) -> None:
    """Raise ValueError unless torch can start a generator from `seed`: an integer, 0..2^64 - 1."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed = {seed}: choose 0..2^64 - 1")


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around imports of what an extra of the package brings: "book", "bench", "teaching", "dev".

    Raises TutorialError, with the line that installs the extra, where one of them is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise TutorialError(
            f"{error.name} is not installed, and this needs it. In the folder of the clone: "
            f'python -m pip install --editable ".[{extra}]"'
        ) from error
