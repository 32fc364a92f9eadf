"""How an answer is wrong, in words: where it differs from the right one, and by what."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import torch
from torch import Tensor

RTOL = 1e-4  #: answers may have been computed in float32
FEW = 2  #: so many entries must agree on a number before it is reported

#: By what an answer may be too large or too small.
FACTORS = {
    "twice what is right": 2.0,
    "half of what is right": 0.5,
    "four times what is right": 4.0,
    "a quarter of what is right": 0.25,
    "the negative of what is right": -1.0,
    "minus twice what is right": -2.0,
    "minus half of what is right": -0.5,
    "the root of 2 times what is right": math.sqrt(2),
    "what is right over the root of 2": math.sqrt(0.5),
    "ln 2 times what is right: nats and bits differ by that": math.log(2),
    "what is right over ln 2: nats and bits differ by that": 1 / math.log(2),
    "pi times what is right": math.pi,
    "2 pi times what is right": 2 * math.pi,
    "the root of 2 pi times what is right": math.sqrt(2 * math.pi),
}
#: What an answer may have too much or lack.
SHIFTS = {
    "1": 1.0,
    "1/2": 0.5,
    "2": 2.0,
    "ln 2": math.log(2),
    "ln(2 pi)": math.log(2 * math.pi),
    "ln(2 pi) / 2": math.log(2 * math.pi) / 2,
}
#: What an answer may be of the right one.
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "the square of what is right": torch.square,
    "the square root of what is right": torch.sqrt,
    "one over what is right": torch.reciprocal,
    "one over the root of what is right": torch.rsqrt,
    "the natural logarithm of what is right": torch.log,
    "minus the natural logarithm of what is right": lambda right: -torch.log(right),
    "the exponential of what is right": torch.exp,
    "1 minus what is right": lambda right: 1 - right,
    "the root of 1 minus what is right": lambda right: torch.sqrt(1 - right),
    "the root of 1 minus the square of what is right": lambda right: torch.sqrt(1 - right**2),
    "what is right without its sign": torch.abs,
}


def describe(given: Tensor, right: Tensor) -> tuple[str, str | None]:
    """That and where an answer is wrong, and what it may be; None where nothing simple fits."""
    alike = without_ones(given) == without_ones(right)
    how = describe_difference(given.reshape(right.shape) if alike else given, right)
    return describe_place(given, right, alike), how or describe_kind(given, right)


def describe_place(given: Tensor, right: Tensor, alike: bool) -> str:
    """That an answer is wrong, and where: its shape, what is not finite, or its worst entry.

    `alike` is whether the shapes are the same but for dimensions of size 1.
    """
    if not alike:
        return f"the answer has shape {tuple(given.shape)}, expected {tuple(right.shape)}"
    flat, wanted = given.flatten(), right.flatten()
    if not bool(flat[wanted.isfinite()].isfinite().all()):
        entries = ", ".join(f"{float(entry):.4g}" for entry in flat[:4])
        more = ", ..." if flat.numel() > 4 else ""
        return f"the answer is not finite everywhere, [{entries}{more}]"
    off = torch.where(flat == wanted, 0, flat - wanted).abs().nan_to_num(math.inf)
    worst = int(off.argmax())
    found, expected = float(flat[worst]), float(wanted[worst])
    digits = 6 if f"{found:.6g}" != f"{expected:.6g}" else 15
    return (
        f"the answer is {found:.{digits}g} where {expected:.{digits}g} is right "
        f"(entry {worst + 1} of {right.numel()}, counted through)"
    )


def describe_kind(given: Tensor, right: Tensor) -> str | None:
    """What a shape that is too small, NaN or infinity mostly comes from; None for other answers."""
    if right.ndim > 0 and len(right) > 1 and without_ones(given) == without_ones(right[0]):
        return "several results go in a tuple"
    if bool(given.isnan().any()):
        return "is there a root or a logarithm of a negative number, or 0 times infinity?"
    return (
        None if bool(given.isfinite().all()) else "is something divided by 0, or a logarithm of 0?"
    )


def without_ones(value: Tensor) -> list[int]:
    """The shape, without dimensions of size 1."""
    return [size for size in value.shape if size != 1]


def describe_difference(given: Tensor, right: Tensor) -> str | None:
    """In words, how a wrong answer differs from the right one; None where nothing simple fits.

    Both are tensors of numbers, of any shape. A relation with a number of its own, such as "7 times
    what is right", is named where at least two different entries agree on that number. One
    without, such as "the square of what is right", is named where it holds for every entry; if all
    right entries are one number, it must be the only one that holds.
    """
    given, right = given.detach().double().cpu(), right.detach().double().cpu()
    if given.shape != right.shape:
        return _of_shapes(given, right)
    if right.numel() == 0 or torch.equal(given, right):
        return None
    if same_numbers(given, right):
        return next(_of_one_number(given), None)
    if not bool(given.isfinite().all()):
        return _not_finite(given, right)
    certain = len(right.unique()) > 1
    found = []
    for words in _relations(given, right):
        if certain:
            return words
        found.append(words)
    return found[0] if len(found) == 1 else None


def _relations(given: Tensor, right: Tensor) -> Iterator[str]:
    """All that fit, the simplest first."""
    for words, factor in FACTORS.items():
        if same_numbers(given, factor * right):
            yield f"it is {words}"
    for words, shift in SHIFTS.items():
        for side, sign in (("large", 1), ("small", -1)):
            if same_numbers(given - right, torch.full_like(right, sign * shift)):
                yield f"it is too {side} by {words}"
    for words, function in FUNCTIONS.items():
        if same_numbers(given, function(right)):
            yield f"it is {words}"
    yield from _of_order(given, right)
    yield from _of_limits(given, right)
    yield from _of_one_number(given)
    yield from _with_a_number(given, right)
    yield from _of_places(given, right)


def _of_one_number(given: Tensor) -> Iterator[str]:
    """All entries alike, as behind a floor."""
    if given.numel() > 1 and len(given.unique()) == 1:
        yield (
            f"every entry is {_number(float(given.flatten()[0]))}: was a smallest or a largest "
            "value set, or a small number added under a logarithm?"
        )


def _with_a_number(given: Tensor, right: Tensor) -> Iterator[str]:
    """One factor or shift for all entries, or one for each row."""
    if (factor := _constant(given / right, right)) is not None:
        yield f"it is {_number(factor)} times what is right"
    if (shift := _constant(given - right, right)) is not None:
        yield f"it is too {'large' if shift > 0 else 'small'} by {_number(abs(shift))}"
    if right.ndim > 1 and len(right) > 1:
        rows = list(zip(given.flatten(1), right.flatten(1), strict=True))
        if all(_constant(a / b, b) is not None for a, b in rows):
            yield "a factor is wrong that differs from one row (dimension 0) to the next"
        if all(_constant(a - b, b) is not None for a, b in rows):
            yield "a term is wrong or missing that is one number for each row (dimension 0)"


def _of_limits(given: Tensor, right: Tensor) -> Iterator[str]:
    """What is right, cut to a range."""
    if len(given.unique()) < 2:
        return
    for words, limit, cut in (
        ("more", float(given.max()), right.clamp(max=given.max())),
        ("less", float(given.min()), right.clamp(min=given.min())),
    ):
        plain = round(limit, 6) in (-1, 0, 1)
        if (plain or int((given == limit).sum()) > 1) and same_numbers(given, cut):
            yield f"it is what is right, but never {words} than {_number(limit)}"
    if given.min() == -1 and given.max() == 1 and same_numbers(given, right.clamp(-1, 1)):
        yield "it is what is right, cut to -1 to 1"


def _of_order(given: Tensor, right: Tensor) -> Iterator[str]:
    """The right numbers at other places."""
    if right.ndim == 0 or len(right.unique()) < 2:
        return
    for dim in range(right.ndim):
        if same_numbers(given, right.flip(dim)):
            yield f"the order is reversed along dimension {dim}"
        if right.shape[dim] > FEW + 1:
            size = right.shape[dim] - 1
            if same_numbers(given.narrow(dim, 0, size), right.narrow(dim, 1, size)):
                yield f"each entry is the one that belongs after it along dimension {dim}"
            if same_numbers(given.narrow(dim, 1, size), right.narrow(dim, 0, size)):
                yield f"each entry is the one that belongs before it along dimension {dim}"
    if right.ndim == 2 and right.shape[0] == right.shape[1] and same_numbers(given, right.T):
        yield "it is transposed"
    if same_numbers(given.flatten().sort().values, right.flatten().sort().values):
        yield "the right numbers stand in another order"


def _of_places(given: Tensor, right: Tensor) -> Iterator[str]:
    """Right at some places, and wrong at one end or at one entry."""
    if right.ndim == 0 or len(right) <= FEW:
        return
    agree = torch.isclose(given, right, rtol=RTOL, atol=_slack(right))
    what, good = ("entry", agree) if right.ndim == 1 else ("row", agree.flatten(1).all(1))
    wrong, n = (~good).nonzero().flatten().tolist(), len(right)
    if len(wrong) == 1:
        name = {0: f"the first {what}", n - 1: f"the last {what}"}.get(
            wrong[0], f"{what} {wrong[0] + 1} of {n}"
        )
        yield f"{name} is wrong, and all others are right"
    elif wrong == list(range(1, n)):
        yield f"only the first {what} is right"
    elif wrong == list(range(n - 1)):
        yield f"only the last {what} is right"
    elif wrong == list(range(n - len(wrong), n)) and len(wrong) < n:
        yield f"it is right up to {what} {n - len(wrong)} of {n}, and wrong from there on"
    elif wrong == list(range(len(wrong))) and len(wrong) < n:
        yield f"it is wrong up to {what} {len(wrong)} of {n}, and right from there on"


def _of_shapes(given: Tensor, right: Tensor) -> str | None:
    """Where the shapes differ: a sum or mean too many or too few, or transposed."""
    if given.ndim == 2 and given.T.shape == right.shape and same_numbers(given.T, right):
        return "it is transposed"
    for words, reduce in (("sum", torch.sum), ("mean", torch.mean)):
        if right.ndim > 0 and given.ndim == 0 and same_numbers(given, reduce(right)):
            return f"it is the {words} over all entries, where each is asked for"
        for dim in range(right.ndim if right.ndim > 1 else 0):
            part = reduce(right, dim=dim)
            if part.shape == given.shape and same_numbers(given, part):
                return f"it is the {words} over dimension {dim}, which should stay"
        if given.ndim > 0 and right.ndim == 0 and same_numbers(reduce(given), right):
            return f"the {words} over all entries is still to be taken"
        for dim in range(given.ndim if given.ndim > 1 else 0):
            part = reduce(given, dim=dim)
            if part.shape == right.shape and same_numbers(part, right):
                return f"the {words} over dimension {dim} is still to be taken"
    return None


def _not_finite(given: Tensor, right: Tensor) -> str | None:
    """Where it begins, if the rest is right."""
    flat, wanted = given.flatten(), right.flatten()
    good = torch.isclose(flat, wanted, rtol=RTOL, atol=_slack(right))
    lost = ~flat.isfinite()
    if bool((good | lost).all()) and bool(good.any()):
        places = lost.nonzero().flatten()
        name = "NaN" if bool(flat[lost].isnan().any()) else "infinite"
        first = int(places[0])
        return (
            f"it is {name} in {len(places)} of {lost.numel()} entries, first where "
            f"{_number(float(wanted[first]))} is right (entry {first + 1}), and right elsewhere"
        )
    return None


def same_numbers(given: Tensor, wanted: Tensor) -> bool:
    """Whether all entries are the same, to what float32 keeps; both of one shape."""
    return given.shape == wanted.shape and bool(
        torch.isclose(given, wanted, rtol=RTOL, atol=_slack(wanted)).all()
    )


def _slack(wanted: Tensor) -> float:
    """Of entries near 0: what float32 leaves of the largest one."""
    finite = wanted[wanted.isfinite()]
    return 1e-6 * float(finite.abs().max()) if finite.numel() else 0.0


def _constant(found: Tensor, right: Tensor) -> float | None:
    """The number that all entries agree on; None where they do not, or are too few to tell."""
    if len(right.unique()) < FEW or not bool(found.isfinite().all()):
        return None
    middle = float(found.median())
    alike = torch.isclose(found, torch.full_like(found, middle), rtol=RTOL, atol=0)
    return middle if middle != 0 and bool(alike.all()) else None


def _number(value: float) -> str:
    """To four digits, or as a fraction such as 4/3 where these would not end."""
    if not math.isfinite(value):
        return f"{value:g}"
    near = Fraction(value).limit_denominator(12)
    endless = near.denominator in (3, 6, 7, 9, 11, 12) and abs(near) < 2
    if endless and abs(value - near) < RTOL * abs(value):
        return f"{near.numerator}/{near.denominator}"
    return f"{value:.4g}"
