"""The values that answers of the assignments are made of: read, compared, and known mistakes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_tutorial.diagnosis import without_ones

#: The known mistakes, and the value that each gives where the right one is asked for.
MISTAKES = Path(__file__).parent / "assets/mistakes.json"
#: The same for what comes out where one thing in the model answer is changed.
SLIPS = Path(__file__).parent / "assets/slips.json"


class Wrong(AssertionError):
    """An answer is wrong: the message says that and where it differs, `hint` what it may be.

    `elsewhere` says for which arguments it is wrong, where these are not those of the example.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.elsewhere: str | None = None

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: nothing of the lines in here."""
        asks = [] if self.hint is None else ["(There is a hint: hint() shows it.)"]
        return [*f"Not yet: {self}".splitlines(), *asks]


def numbers(value: Any) -> Tensor:
    """As one tensor, float64, on the CPU. Raises Wrong where there are no numbers in it."""
    if value is None:
        raise Wrong("the answer is None: did you forget to return it?")
    if isinstance(value, Tensor) and value.is_meta:
        raise Wrong("the answer lies on the device meta, which holds no numbers")
    try:
        if isinstance(value, (list, tuple)):
            return torch.stack(torch.broadcast_tensors(*map(numbers, value)))
        precise = torch.float64 if isinstance(value, float) else None
        found = torch.as_tensor(value, dtype=precise).detach()
        if found.is_complex():
            raise TypeError
        return found.to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(
            f"the answer is a {type(value).__name__}: return a tensor, a number, or a list of these"
        ) from None


def agree(given: Tensor, right: Tensor, rtol: float, atol: float) -> bool:
    """Whether two tensors are the same but for dimensions of size 1, to a tolerance."""
    if without_ones(given) != without_ones(right):
        return False
    return torch.allclose(given.reshape(right.shape), right, rtol=rtol, atol=atol, equal_nan=True)


@cache
def _book(path: Path) -> list[tuple[Tensor, dict[str, Any]]]:
    """For each right answer of a file, all that is known of what is wrong there."""
    parts = json.loads(path.read_text(encoding="utf-8"))
    return [(numbers(case["right"]), case) for cases in parts.values() for case in cases]


def hints_to_mistakes() -> set[str]:
    """All hints that `assets/mistakes.json` holds."""
    return {hint for _, case in _book(MISTAKES) for hint in case["mistakes"]}


def known_mistakes(right: Tensor) -> dict[str, Any]:
    """The mistakes that are known for a right answer, with what each gives in its place."""
    found: dict[str, Any] = {}
    for value, case in _book(MISTAKES):
        if agree(value, right, 1e-3, 1e-4):
            found |= case["mistakes"]
    return found


def known_slips(right: Tensor) -> list[tuple[str, Any]]:
    """What else is known: others' mistakes, and single slips in a right answer.

    Many may go by the same words.
    """
    found: list[tuple[str, Any]] = []
    for value, case in _book(SLIPS):
        if agree(value, right, 1e-3, 1e-4):
            found += [(words, given) for words, given in case["mistakes"]]
            found += [(f"{words}, and the rest is right", given) for words, given in case["slips"]]
    return found


def copy_of(value: Any) -> Any:
    """With tensors of its own, in lists, tuples and dictionaries too."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, (list, tuple)):
        return type(value)(map(copy_of, value))
    if isinstance(value, dict):
        return {name: copy_of(each) for name, each in value.items()}
    return value


def devices(value: Any) -> set[str]:
    """The devices on which the tensors lie that are in it, such as `cpu` and `cuda:0`."""
    if isinstance(value, Tensor):
        return {str(value.device)}
    entries = value.values() if isinstance(value, dict) else value
    inside = entries if isinstance(value, (dict, list, tuple)) else ()
    return set().union(*map(devices, inside))


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same to the last bit; what is neither number nor tensor passes."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and bool(((one == other) | ((one != one) & (other != other))).all())
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    plain = (bool, int, float, str, Tensor, dict, list, tuple)
    return not (isinstance(one, plain) and isinstance(other, plain)) or bool(one == other)


def has_floats(value: Any) -> bool:
    """Whether a tensor of floats or a float is in it."""
    if isinstance(value, (list, tuple)):
        return any(map(has_floats, value))
    return value.is_floating_point() if isinstance(value, Tensor) else isinstance(value, float)


def mixed_sum(result: Any) -> Tensor:
    """All entries of all results, added up with weights that differ."""
    parts = [mixed_sum(each) for each in result] if isinstance(result, (list, tuple)) else []
    entries = torch.stack(parts) if parts else torch.as_tensor(result).flatten().double()
    return (entries * (1.5 + torch.arange(1.0, len(entries) + 1).cos())).sum()
