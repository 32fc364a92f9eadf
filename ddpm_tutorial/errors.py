"""Errors whose message alone tells a user what is wrong and what to do."""

from collections.abc import Collection


class TutorialError(Exception):
    """Something outside the code is wrong: a file, a folder, a setting. Shown without a trace."""


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ValueError, naming the choices, unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f'{name} = "{value}": choose one of {", ".join(choices)}')
