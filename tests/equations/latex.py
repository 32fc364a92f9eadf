r"""The LaTeX of a numbered equation: its fingerprint, and its sides evaluated with given values.

Only what the equations of this book need is understood: sums, products, fractions, powers, roots,
logarithms, norms, indices, and the density of a normal distribution. The names of values are those
of the package: \bar\alpha_t is `alpha_bar` at t, \hat{\mathbf{x}}_0 is `x0_hat`, \sigma_1 is
`sigma_1`.
"""

import hashlib
import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Values = dict[str, Any]
Node = Callable[[Values], Any]

# What changes how an equation is set and not what it says.
SETTING = re.compile(
    r"\\(begin|end)\{(aligned|split)\}|\\[bB]igg?[lrm]?(?![a-zA-Z])|\\(left|right)(?![a-zA-Z])"
    r"|\\q?quad(?![a-zA-Z])|\\\\|\\[,;:!\s]|[&~]"
)
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\S")
RELATIONS = {"=", r"\le", r"\ge", r"\sim"}
NORM = r"\|"
OPENING, CLOSING = {"(", "[", "{"}, {")", "]", "}"}
FONTS = {r"\mathbf", r"\boldsymbol", r"\mathrm", r"\text", r"\operatorname"}
ACCENTS = {r"\bar": "_bar", r"\hat": "_hat", r"\tilde": "_tilde"}
INDICES = {"t", "s"}
NAMES = {r"\epsilon": "eps"}  # others keep the name that LaTeX gives them


def tokens(latex: str) -> list[str]:
    r"""What the equation says, symbol by symbol; \tfrac{1}{2} and \frac12 are the same."""
    found: list[str] = []
    for token in TOKEN.findall(SETTING.sub(" ", latex)):
        found.append(r"\frac" if token in (r"\tfrac", r"\dfrac") else token)
        if token == "}" and found[-2:] == ["{", "}"]:
            del found[-2:]
        elif token == "}" and found[-3:-2] == ["{"]:  # one symbol needs no braces
            found[-3:] = [found[-2]]
    while found and found[-1] in ".,":  # the punctuation of the sentence around it
        found.pop()
    return found


def fingerprint(latex: str) -> str:
    """Eight hexadecimal digits that change when the equation says something else."""
    return hashlib.sha256(" ".join(tokens(latex)).encode()).hexdigest()[:8]


def sides(symbols: list[str]) -> list[list[slice]]:
    """Where the sides of an equation stand, for each of its clauses (which commas separate)."""
    clauses: list[list[slice]] = [[]]
    depth = start = 0
    for place, symbol in enumerate([*symbols, ","]):
        depth += (symbol in OPENING) - (symbol in CLOSING)
        if depth == 0 and (symbol in RELATIONS or symbol == ","):
            clauses[-1].append(slice(start, place))
            start = place + 1
            if symbol == ",":
                clauses.append([])
    return clauses[:-1]


def evaluate(symbols: list[str], pieces: dict[str, Any], values: Values) -> Tensor:
    """One side. `pieces` gives values of parts that are no formula, such as an average, by LaTeX.

    They are looked for in the order given, and each must be there. A piece below a sum may be a
    function of the index that is summed over.
    """
    values = {"pi": math.pi, "e": math.e, **values}
    for number, (latex, value) in enumerate(pieces.items()):
        symbols = _replace(symbols, tokens(latex), name := f"piece {number}")
        values[name] = value
    reader = _Reader(symbols)
    result = reader.sum()(values)
    if reader.place < len(symbols):
        raise ValueError(f"not understood: {' '.join(symbols[reader.place :])}")
    return torch.as_tensor(result, dtype=torch.float64)


def changes(symbols: list[str], side: slice) -> Iterator[tuple[str, list[str]]]:
    """Mistakes that one could make in writing a side: words for each, and the changed equation."""

    def changed(start: int, stop: int, *new: str) -> list[str]:
        return [*symbols[:start], *new, *symbols[stop:]]

    whole = ["(", *symbols[side], ")"]
    yield "factor 2", changed(side.start, side.stop, "2", *whole)
    yield "sign", changed(side.start, side.stop, "-", *whole)
    for at in range(side.start, side.stop):
        before, here, after = symbols[at - 1], symbols[at], symbols[at + 1 : at + 3]
        is_index = before == "_" or (before == "(" and after[:1] == [")"])
        if here in INDICES and after == ["-", "1"]:
            yield f"{here} for {here} - 1 at {at}", changed(at, at + 3, here)
        elif here in INDICES and is_index:
            yield f"{here} - 1 for {here} at {at}", changed(at, at + 1, "{", here, "-", "1", "}")
        elif here in "+-" and before not in INDICES:
            yield f"sign {here} at {at}", changed(at, at + 1, "-" if here == "+" else "+")
        elif here == r"\sqrt":
            yield f"root at {at}", changed(at, at + 1)
        elif here == "^" and after[:1] == ["2"]:
            yield f"square at {at}", changed(at, at + 2)
        elif here == r"\frac" and after == ["1", "2"]:
            yield f"half at {at}", changed(at, at + 3)


def _replace(symbols: list[str], piece: list[str], name: str) -> list[str]:
    found, place = list[str](), 0
    while place < len(symbols):
        if symbols[place : place + len(piece)] == piece:
            found.append(name)
            place += len(piece)
        else:
            found.append(symbols[place])
            place += 1
    if name not in found:
        raise ValueError(f"the equation does not hold {' '.join(piece)}")
    return found


class _Reader:
    """Reads an expression from the left; each method returns a function of the values."""

    def __init__(self, symbols: list[str]) -> None:
        self.symbols, self.place = symbols, 0
        self.summed = [""]  # the indices of the sums around this place
        self.inside_norm = False

    def next(self) -> str:
        return self.symbols[self.place] if self.place < len(self.symbols) else ""

    def take(self, expected: str = "") -> str:
        token = self.next()
        if not token or (expected and token != expected):
            raise ValueError(f"{token or 'the end'} stands where {expected or 'more'} should")
        self.place += 1
        return token

    def sum(self) -> Node:
        parts: list[tuple[int, Node]] = []
        while not parts or self.next() in ("+", "-") or self.signed_brace():
            sign = -1 if self.next() == "-" else 1
            if self.next() in ("+", "-"):
                self.take()
            parts.append((sign, self.product()))
        return lambda values: sum(sign * part(values) for sign, part in parts)

    def product(self) -> Node:
        result = self.power()
        while (token := self.next()) and token not in {"+", "-", ",", ";", *RELATIONS, *CLOSING}:
            if self.signed_brace() or (token == NORM and self.inside_norm):
                break
            if token in ("/", r"\times", r"\cdot"):
                self.take()
            join = operator.truediv if token == "/" else operator.mul
            result = _apply(join, result, self.power())
        return result

    def signed_brace(self) -> bool:
        """Whether what follows is a term that has its sign below the same brace."""
        start = self.symbols[self.place : self.place + 3]
        return start in ([r"\underbrace", "{", "-"], [r"\underbrace", "{", "+"])

    def power(self) -> Node:
        if self.next() == "e" and self.symbols[self.place + 1 : self.place + 2] == ["^"]:
            self.place += 2
            return _apply(_of_tensor(torch.exp), self.argument())
        base = self.atom()
        while self.next() in ("^", "!"):
            if self.take() == "!":
                base = _apply(_of_tensor(lambda n: torch.exp(torch.lgamma(n + 1))), base)
            else:
                base = _apply(operator.pow, base, self.argument())
        return base

    def argument(self) -> Node:
        """What LaTeX takes as one: a group in braces or a single symbol."""
        if self.next() == "{":
            return self.group()
        if self.next().isdigit():
            digit = int(self.take())
            return lambda values: digit
        return self.atom(index=False)

    def group(self) -> Node:
        self.take()
        inside = self.sum()
        if self.take() not in CLOSING:
            raise ValueError("a bracket is not closed")
        return inside

    def atom(self, index: bool = True) -> Node:
        token = self.next()
        if token in OPENING:
            return self.group()
        if token.isdigit():
            digits = self.take()
            while self.next().isdigit():
                digits += self.take()
            return lambda values: int(digits)
        if token.startswith("piece"):
            self.take()
            summed = self.summed[-1]
            return lambda values: (
                values[token](values[summed]) if callable(values[token]) else values[token]
            )
        if token in (r"\ln", r"\sin"):
            self.take()
            return _apply(_of_tensor({r"\ln": torch.log, r"\sin": torch.sin}[token]), self.power())
        if token == r"\frac":
            self.take()
            return _apply(operator.truediv, self.argument(), self.argument())
        if token == r"\sqrt":
            self.take()
            return _apply(_of_tensor(torch.sqrt), self.argument())
        if token in (r"\sum", r"\prod"):
            return self.over_index()
        if token == r"\underbrace":
            self.take()
            inside = self.argument()
            self.take("_")
            self.bracketed()
            return inside
        if token == r"\min":
            return self.call(_of_tensor(torch.minimum))
        if token == NORM:
            self.take()
            self.inside_norm = True
            inside = self.sum()
            self.inside_norm = False
            self.take(NORM)
            return _apply(_of_tensor(lambda v: torch.linalg.vector_norm(v, dim=-1)), inside)
        if self.symbols[self.place : self.place + 2] == [r"\mathcal", "N"]:
            self.take()
            return self.call(_of_tensor(_normal))
        return self.variable(index)

    def call(self, function: Callable[..., Any]) -> Node:
        self.take()
        self.take("(")
        arguments = [self.sum()]
        while self.take() in ",;":
            arguments.append(self.sum())
        return _apply(function, *arguments)

    def over_index(self) -> Node:
        """A sum or product over an index with limits, or over all values given for an index."""
        add = self.take() == r"\sum"
        self.take("_")
        if self.next() == "{":
            self.take()
            index = self.take()
            self.take("=")
            first = self.sum()
            self.take("}")
            self.take("^")
            last = self.argument()
            span: Node = lambda values: range(int(first(values)), int(last(values)) + 1)  # noqa: E731
        else:
            index = self.take()
            span = lambda values: values[index]  # noqa: E731
        self.summed.append(index)
        body = self.product()
        self.summed.pop()

        def total(values: Values) -> Any:
            terms = [body({**values, index: at}) for at in span(values)]
            return sum(terms) if add else math.prod(terms)

        return total

    def variable(self, index: bool) -> Node:
        """A named value; where a table has the name, its index or argument is a place in it."""
        accents = ""
        while self.next() in ACCENTS:
            accents += ACCENTS[self.take()]
        name, where = self.name(), list[str]()
        if index and self.next() == "_":
            self.take()
            where = self.bracketed()
        while self.next() == "'":
            self.take()
            accents += "_prime"
        subscript = _name(where)
        whole = name + ("" if subscript in ("", "0") else "_") + subscript + accents
        if name == "SNR" and self.next() == "(":
            whole, where = "SNR(t)", self.bracketed()

        def look_up(values: Values) -> Any:
            if whole in values:
                return values[whole]
            if not where or name + accents not in values:
                raise KeyError(f"no value is given for {whole}")
            places = [_Reader(place).sum()(values) for place in _split(where)]
            return values[name + accents][places[0] if len(places) == 1 else tuple(places)]

        return look_up

    def bracketed(self) -> list[str]:
        """The symbols inside a bracket, or one symbol."""
        opened = self.take()
        if opened in FONTS:
            return self.bracketed()
        if opened not in OPENING:
            return [opened]
        start, depth = self.place, 1
        while depth:
            depth += (self.next() in OPENING) - (self.next() in CLOSING)
            self.take()
        return self.symbols[start : self.place - 1]

    def name(self) -> str:
        """A symbol or a word, without its font."""
        return _name(self.bracketed())


def _split(symbols: list[str]) -> list[list[str]]:
    """At the commas."""
    return [[*part.split()] for part in " ".join(symbols).split(" , ")]


def _name(symbols: list[str]) -> str:
    kept = (symbol for symbol in symbols if symbol not in FONTS)
    return "".join(NAMES.get(symbol, symbol.removeprefix("\\")) for symbol in kept)


def _apply(function: Callable[..., Any], *arguments: Node) -> Node:
    return lambda values: function(*(argument(values) for argument in arguments))


def _of_tensor(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function of numbers too, in float64."""
    return lambda *numbers: function(*(torch.as_tensor(n, dtype=torch.float64) for n in numbers))


def _normal(*arguments: Tensor) -> Tensor:
    """The density N(x; m, V), or, without the x, mean and variance."""
    *x, mean, variance = arguments
    if not x:
        return torch.stack(torch.broadcast_tensors(mean, variance))
    return torch.distributions.Normal(mean, variance.sqrt()).log_prob(x[0]).exp()
