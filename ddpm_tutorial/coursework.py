"""What the assignments check answers with: the right value passes, and a known mistake is named."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ddpm_tutorial.diagnosis import describe_difference


def check(
    answer: Any,
    expected: Any,
    mistakes: Mapping[str, Any] | None = None,
    *,
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> None:
    """Raise AssertionError unless `answer` is `expected`; say how it differs.

    Both are tensors, numbers, or nested lists or tuples of numbers. Any floating type passes, and
    so do extra dimensions of size 1. Each entry may differ by `atol + rtol * |expected|`.
    `mistakes` maps a hint to the value that the mistake gives on the same input. Where none of
    them fits, `describe_difference` says in which simple way the answer is wrong, if there is one.
    """
    given, right = _numbers(answer), _numbers(expected)
    if _agree(given, right, rtol, atol):
        return
    for hint, value in (mistakes or {}).items():
        if _agree(given, _numbers(value), rtol, atol):
            raise AssertionError(hint)
    alike = _without_ones(given) == _without_ones(right)
    how = describe_difference(given.reshape(right.shape) if alike else given, right)
    how = "" if how is None else f": {how}"
    if not alike:
        one_of_several = right.ndim > 0 and _without_ones(given) == _without_ones(right[0])
        raise AssertionError(
            f"the answer has shape {tuple(given.shape)}, expected {tuple(right.shape)}"
            + (how or (": several results go in a tuple" if one_of_several else ""))
        )
    if not bool(given.isfinite().all()):
        raise AssertionError(f"the answer is not finite everywhere, {_short(given)}{how}")
    worst = int((given.flatten() - right.flatten()).abs().argmax())
    found, wanted = (float(value.flatten()[worst]) for value in (given, right))
    raise AssertionError(
        f"the answer is {found:.6g} where {wanted:.6g} is right "
        f"(entry {worst + 1} of {right.numel()}, counted through){how}"
    )


def gradient(function: Callable[..., Tensor], *arguments: Any, of: int) -> Tensor:
    """The gradient of the sum of `function(*arguments)` with respect to argument number `of`.

    That one has to be a tensor of a floating type; the others may be anything. Raises
    AssertionError where the result does not depend on that argument at all.
    """
    if hasattr(function, "gradient"):  # the grader's stand-in: computed where the function is
        found: Tensor = function.gradient(*arguments, of=of)
        return found
    inputs = list(arguments)
    inputs[of] = arguments[of].clone().requires_grad_()
    result: Tensor = function(*inputs).sum()
    if not result.requires_grad:
        raise AssertionError(f"no gradient reaches argument {of}: was it detached?")
    through: Tensor | None
    (through,) = torch.autograd.grad(result, inputs[of], allow_unused=True)
    if through is None:
        raise AssertionError(f"no gradient reaches argument {of}: is it used?")
    return through


def _numbers(value: Any) -> Tensor:
    if value is None:
        raise AssertionError("the answer is None: did you forget to return it?")
    try:
        if isinstance(value, (list, tuple)):
            return torch.stack(torch.broadcast_tensors(*map(_numbers, value)))
        found = torch.as_tensor(value).detach()
        if found.is_complex():
            raise TypeError
        return found.to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise AssertionError(
            f"the answer is a {type(value).__name__}: return a tensor, a number, or a list of these"
        ) from None


def _without_ones(value: Tensor) -> list[int]:
    return [size for size in value.shape if size != 1]


def _agree(given: Tensor, right: Tensor, rtol: float, atol: float) -> bool:
    if _without_ones(given) != _without_ones(right):
        return False
    return torch.allclose(given.reshape(right.shape), right, rtol=rtol, atol=atol)


def _short(value: Tensor) -> str:
    entries = ", ".join(f"{float(entry):.4g}" for entry in value.flatten()[:4])
    return f"[{entries}{', ...' if value.numel() > 4 else ''}]"
