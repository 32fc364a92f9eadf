"""Errors whose message alone tells a user what is wrong and what to do."""

from collections.abc import Collection, Mapping
from typing import TypeVar

__all__ = ["TutorialError", "check_choice", "choose"]

Thing = TypeVar("Thing")


class TutorialError(Exception):
    """Something outside the code is wrong: a file, a folder, a setting. Shown without a trace."""


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ValueError, naming the choices, unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f'{name} = "{value}": choose one of {", ".join(choices)}')


def choose(name: str, value: str | Thing, registry: Mapping[str, Thing]) -> Thing:
    """The object that a word stands for in a registry; an object stays what it is.

    Raises ValueError, naming the words, for one that is not there.
    """
    if not isinstance(value, str):
        return value
    check_choice(name, value, registry)
    return registry[value]
