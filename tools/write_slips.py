"""Write down what single slips in the model answers give, for the examples that students see.

    python tools/write_slips.py [ASSIGNMENT ...]

A slip is one change of a right answer, such as a minus for a plus, a root that is missing, or a sum
for a mean. Right are the model answer and those in tests/coursework that are known to be. The words
of a slip, and the wrong numbers by which it is known, go to ddpm_tutorial/assets/slips.json, where
`check` looks for them if nothing simpler is known. What is named in assets/mistakes.json or by
`describe_difference` already is left out. Beside the slips stand the mistakes of the authors whom
tools/grade_holdout.py speaks of, in their own words, those of the newest set excepted.
"""

import argparse
import ast
import contextlib
import copy
import json
import multiprocessing
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import Any

import torch
from draft import run_cell
from grade_holdout import NEWEST
from grade_holdout import answers_to as strangers_answers
from grade_variants import answers_to, assignments, cells_of
from grading.feedback import HIDDEN
from mutate_solutions import Edit, edits, exchanges, spoilt
from tqdm import tqdm
from variants import Variant

from ddpm_tutorial import write_atomically
from ddpm_tutorial.coursework import Known
from ddpm_tutorial.coursework_values import SLIPS, agree, copy_of, known_mistakes, numbers
from ddpm_tutorial.diagnosis import describe_difference, without_ones

SECONDS = 2  # of processor time for one slip
MANY = 40  # no examples with more numbers than these
LONG = {"train", "sampler", "unet"}  # their examples take too long
OPERATORS = {
    "Add -> Sub": "a minus stands where a plus belongs",
    "Sub -> Add": "a plus stands where a minus belongs",
    "Mult -> Div": "something is divided by where it has to be multiplied",
    "Div -> Mult": "something is multiplied by where it has to be divided by",
    "Div -> FloorDiv": "a division is rounded down",
    "FloorDiv -> Div": "a division is not rounded down",
    "Pow -> Mult": "a product stands where a power belongs",
    "MatMult -> Mult": "entries are multiplied one by one where a matrix product belongs",
    "Gt -> GtE": "a comparison takes in the border, which does not belong",
    "GtE -> Gt": "a comparison leaves out the border, which belongs",
    "Lt -> LtE": "a comparison takes in the border, which does not belong",
    "LtE -> Lt": "a comparison leaves out the border, which belongs",
    "Gt -> Lt": "a comparison is the wrong way round",
    "Lt -> Gt": "a comparison is the wrong way round",
}
#: What is missing where a call is.
CALLS = {
    "sqrt": "a root",
    "rsqrt": "a root in a denominator",
    "square": "a square",
    "exp": "an exponential",
    "log": "a logarithm",
    "sum": "a sum",
    "mean": "a mean",
    "clamp": "a cut to a range",
    "softmax": "a softmax",
    "cumprod": "a running product",
    "cumsum": "a running sum",
    "prod": "a product over entries",
    "flip": "a reversal of the order",
    "round": "a rounding",
    "cos": "a cosine",
    "sin": "a sine",
    "silu": "a SiLU",
    "detach": "a detach",
    "diff": "the difference of neighbours",
}
#: Calls that are mistaken for each other.
INSTEAD = {
    "sum": ["mean"],
    "mean": ["sum"],
    "cos": ["sin"],
    "sin": ["cos"],
    "log": ["log2", "log10"],
    "sqrt": ["square"],
    "square": ["sqrt", "abs"],
    "cumprod": ["cumsum"],
    "cumsum": ["cumprod"],
}
#: What is there once too often, and how it is written around a piece.
TOO_MANY = {
    "a root": "sqrt",
    "a square": "square",
    "an exponential": "exp",
    "a logarithm": "log",
}
MISSING_SIDES = {ast.Add: "term", ast.Sub: "term", ast.Mult: "factor", ast.Div: "divisor"}


def slips_of(source: str) -> Iterator[tuple[str, str]]:
    """Each slip in words, with the source of the answer that has it."""
    tree = ast.parse(source)
    known = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for way, said in ((edits, in_words), (more_edits, lambda words, _: words)):
        for words, spoilt_source in spoilt(tree, way):
            if (sentence := said(words, known)) is not None:
                yield sentence, spoilt_source


def more_edits(tree: ast.AST) -> Iterator[Edit]:
    """Calls that stand for others, and such that are too many."""
    for node in ast.walk(tree):
        yield from exchanges(node, _more_replacements)


def _more_replacements(child: Any) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
        for other in INSTEAD.get(child.func.attr, []):
            new = copy.deepcopy(child)
            new.func.attr = other
            yield f"{_noun(other)} stands where {_noun(child.func.attr)} belongs", new
    plain = isinstance(child, ast.Name | ast.Subscript | ast.Call | ast.BinOp)
    if plain and isinstance(getattr(child, "ctx", ast.Load()), ast.Load):
        for noun, name in TOO_MANY.items():
            call = ast.Call(ast.Attribute(child, name, ast.Load()), [], [])
            yield f"{noun} is too many", call


def in_words(words: str, known: set[str]) -> str | None:
    """What `mutate_solutions` calls a change, as a student is told; None for what says nothing."""
    said = words.partition(": ")[2]  # behind the number of the line
    if said in OPERATORS:
        return OPERATORS[said]
    if said.endswith(" without its sign"):
        return "a minus sign is missing"
    if word := re.fullmatch(r"without (\w+=[^=].*)", said):
        return f"`{word[1]}` is missing in a call"
    before, arrow, after = said.partition(" -> ")
    try:
        old, new = ast.parse(before, mode="eval").body, ast.parse(after, mode="eval").body
    except SyntaxError:
        return None
    if not arrow:
        return None
    if isinstance(old, ast.Constant):
        return f"{after} stands where {before} belongs"
    if isinstance(old, ast.Name) and {before, after} <= known:
        return f"`{after}` stands where `{before}` belongs"
    if isinstance(old, ast.Call):
        name = old.func.attr if isinstance(old.func, ast.Attribute) else ast.unparse(old.func)
        return f"{CALLS[name]} is missing" if name in CALLS else None
    if isinstance(old, ast.BinOp):
        return _side_missing(old, new, known)
    return None


def _side_missing(old: ast.BinOp, new: ast.expr, known: set[str]) -> str | None:
    """That a term, a factor or a power is missing; which one, where it is made of arguments."""
    left = ast.unparse(new) == ast.unparse(old.left)
    if isinstance(old.op, ast.Pow):
        return f"the power {ast.unparse(old.right)} is missing" if left else None
    what = MISSING_SIDES.get(type(old.op))
    if what is None:
        return None
    side = old.right if left else old.left
    names = {node.id for node in ast.walk(side) if isinstance(node, ast.Name)}
    text = ast.unparse(side)
    which = f" `{text}`" if names <= known and len(text) < 25 else ""
    return f"a {what if left or what != 'divisor' else 'factor'}{which} is missing"


def _noun(name: str) -> str:
    return CALLS.get(name, f"`{name}`")


class Recorder:
    """In the place of `examine` and `check`: keeps what is asked for, and what was answered."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Any]] = []

    def examine(self, function: Callable[..., Any], arguments: Any, right: Any, **_: Any) -> None:
        """The answer to an example; examples without numbers are passed over."""
        if not (callable(right) or isinstance(right, Known | torch.Size | dict)):
            self.check(function(*copy_of(list(arguments))), right)

    def check(self, answer: Any, right: Any, *_: Any, **__: Any) -> None:
        """What is compared."""
        several = isinstance(right, tuple)
        self.pairs += list(zip(answer, right, strict=True)) if several else [(answer, right)]


def slips_in(assignment: str, part: str) -> list[dict[str, Any]]:
    """For each example of a part: the right answer, and by words what slips give in its place."""
    # torch.compile turns this off for the whole process, and then other slips give numbers.
    torch.distributions.Distribution.set_default_validate_args(True)
    cells = cells_of(assignment)
    (test,) = [cell for cell in cells if cell.kind == "test" and cell.part == part]
    before: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells[: cells.index(test)]:
        if cell.kind == "answer" and cell.part == part:
            answer = cell.source
        if cell.kind != "test":
            run_cell(cell.source, before)
    shown = HIDDEN.sub("", test.source)
    cases: list[dict[str, Any]] = [
        {"right": right, "mistakes": [], "slips": []}
        for _, right in _answered(answer, shown, before)
    ]
    for words, source in mistakes_of_others(assignment, part):
        for case, (given, right) in zip(cases, _answered(source, shown, before), strict=False):
            if (value := _worth_keeping(given, right, case["mistakes"])) is not None:
                case["mistakes"].append([words, value])
    also_right = [each.source for each in answers_to(assignment) if _is_right(each, part)]
    for words, source in chain(*map(slips_of, [answer, *also_right])):
        for case, (given, right) in zip(cases, _answered(source, shown, before), strict=False):
            known = [*case["mistakes"], *case["slips"]]
            if (value := _worth_keeping(given, right, known)) is not None:
                case["slips"].append([words, value])
    return [
        case | {"right": _plain(numbers(case["right"]))}
        for case in cases
        if case["slips"] or case["mistakes"]
    ]


def mistakes_of_others(assignment: str, part: str) -> Iterator[tuple[str, str]]:
    """The wrong answers to a part in all sets of a holdout but the newest, each with its words."""
    for which in range(1, NEWEST):
        for answer in strangers_answers(assignment, which):
            if answer.part == part and answer.kind == "wrong":
                yield answer.mistake, answer.source


def _is_right(variant: Variant, part: str) -> bool:
    return variant.part == part and variant.hint is None


def _worth_keeping(given: Any, right: Any, slips: list[Any]) -> Any:
    """The numbers of a wrong answer, if they tell it from all that is known already."""
    try:
        found, wanted = numbers(given), numbers(right)
    except AssertionError:
        return None
    if without_ones(found) != without_ones(wanted):
        return None
    found = found.reshape(wanted.shape)
    if not bool(found.isfinite().all()) or found.numel() > MANY:
        return None
    known = [*known_mistakes(wanted).values(), *(value for _, value in slips), wanted]
    if any(agree(found, numbers(value), 1e-4, 1e-6) for value in known):
        return None
    return None if describe_difference(found, wanted) else _plain(found)


def _answered(source: str, test: str, before: dict[str, Any]) -> list[tuple[Any, Any]]:
    """What an answer gives in the examples of a test, up to the first that fails."""
    recorder, namespace = Recorder(), dict(before)
    namespace |= {"examine": recorder.examine, "check": recorder.check}
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    with contextlib.suppress(Exception):
        run_cell(source, namespace)
        run_cell(test, namespace)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return recorder.pairs


def _plain(value: torch.Tensor) -> Any:
    """To six digits, in lists."""
    if value.ndim > 0:
        return [_plain(each) for each in value]
    number = float(f"{float(value):.6g}")
    return int(number) if number.is_integer() and abs(number) < 1e6 else number


def _stop(*_: object) -> None:
    raise TimeoutError("it takes too long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assignments", nargs="*", default=assignments())
    names = parser.parse_args().assignments
    torch.set_num_threads(1)
    book = json.loads(SLIPS.read_text(encoding="utf-8")) if SLIPS.exists() else {}
    parts = [(n, c.part) for n in names for c in cells_of(n) if c.kind == "test"]
    for name, part in tqdm([pair for pair in parts if pair[1] not in LONG]):
        # Each in a process of its own: a slip can make a library end it.
        context: Any = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                book[f"{name} {part}"] = pool.submit(slips_in, name, part).result()
            except BrokenProcessPool:
                print(f"{name} {part} is left as it was: one of its slips ended the process")
        lines = [f"  {json.dumps(key)}: {json.dumps(book[key])}" for key in sorted(book)]
        write_atomically(SLIPS, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


if __name__ == "__main__":
    main()
