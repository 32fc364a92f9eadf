r"""Formulas that docstrings write in plain text, as LaTeX: `sqrt(alpha_bar_t) eps`, `q(x_t | x_0)`.

A docstring is read in an editor and by `help()`, so its formulas are plain text. On a page they are
set as the book sets them. What cannot be read as a formula stays as it is written; in a formula
on a line of its own, which has to be one, it is an error.
"""

import re
from collections.abc import Iterator

TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?(?!\w))"
    r"|(?P<name>[A-Za-z](?:[A-Za-z]|_(?=[A-Za-z])|0(?=\b|_))*)"
    r"(?P<below>(?:_\{[^}]*\}|_\d+(?::T)?|(?<=[a-z])_(?=\d))?)"
    r"|(?P<sign><=|>=|\|\||->|\.\.\.?|[-+*/^=~<>|()\[\],;])"
)
GREEK = {"alpha", "beta", "eta", "lambda", "mu", "phi", "pi", "sigma", "theta"}
# Symbols that are not their own letter; the other vocabulary is single letters and GREEK.
SYMBOLS = {
    "alpha_bar": r"\bar\alpha",
    "eps": r"\boldsymbol\epsilon",
    "eps_hat": r"\hat{\boldsymbol\epsilon}",
    "prod": r"\prod",
    "snr": r"\mathrm{SNR}",
    "v": r"\mathbf{v}",
    "x": r"\mathbf{x}",
    "x0": r"\mathbf{x}_0",
    "x0_hat": r"\hat{\mathbf{x}}_0",
    "y": r"\mathbf{y}",
    "z": r"\mathbf{z}",
    "I": r"\mathbf{I}",
} | {name: rf"\{name}" for name in GREEK}
LETTERS = set("hkmnpqrstuvwxyzABCDEHKMNSTUVW")  # not a and I, which are words
CALLED = {
    "KL": r"\mathrm{KL}",
    "N": r"\mathcal{N}",
    "E": r"\mathbb{E}",
    "Phi": r"\Phi",
    "Var": r"\mathrm{Var}",
    "Cov": r"\mathrm{Cov}",
    "exp": r"\exp",
    "ln": r"\ln",
    "p": "p",
    "q": "q",
}
RELATIONS = {"=": "=", "<=": r"\le", ">=": r"\ge", "<": "<", ">": ">", "~": r"\sim"}
RELATIONS |= {"..": r", \dots,", "->": r"\to"}
WORD, OPEN, CLOSE = r"\mathrm{", r"\left(", r"\right)"
WORD_ENDS = re.compile(r"\\mathrm\{[^}]*\}$")
# Brackets that say a shape, a pair or an index: they stay as they are.
TUPLE = re.compile(r"\((?:[*\w]+(?:\[[^\]]*\])?,|\*)[^()]*\)|\(\)|\w\[[^\]]*\]")
START = re.compile(r"(?<![*/] )(?<![\w.`'^[-])[-(A-Za-z0-9]")
BETWEEN = {",": ",", "|": r" \mid ", "||": r" \,\Vert\, ", ";": ";"}


class NoFormulaError(ValueError):
    """What stands there is none."""


class Reader:
    """Reads the longest formula from a place on; on a line of its own, every word is a symbol."""

    def __init__(self, text: str, place: int = 0, own_line: bool = False) -> None:
        self.text, self.place = text, place
        self.own_line = self.any_name = own_line
        self.end = place  # of what was read, without the space after it
        self.plain = True  # so far nothing but one symbol without an index

    def peek(self) -> re.Match[str] | None:
        """The next token, after spaces."""
        start = re.compile(r"\s*").match(self.text, self.place).end()  # type: ignore[union-attr]
        return TOKEN.match(self.text, start)

    def take(self, token: re.Match[str]) -> None:
        """Go behind it."""
        self.place = self.end = token.end()

    def sign(self, *signs: str) -> str:
        """The next token if it is one of these signs, which is then taken; else empty."""
        token = self.peek()
        if token and token["sign"] in signs:
            self.take(token)
            return token["sign"]
        return ""

    def attempt(self, read: str) -> str:
        """What a method reads, or empty, and then nothing was taken."""
        before = self.place, self.end, self.plain, self.any_name
        try:
            return getattr(self, read)()  # type: ignore[no-any-return]
        except NoFormulaError:
            self.place, self.end, self.plain, self.any_name = before
            return ""

    def relation(self) -> str:
        """Sums with signs of relation between them."""
        return self.chain(self.sum(), "sum", RELATIONS)

    def sum(self) -> str:
        """Products with + and - between them."""
        lead = "-" if self.sign("-") else ""
        return self.chain(lead + self.product(), "product", {"+": "+", "-": "-"})

    def chain(self, latex: str, rule: str, signs: dict[str, str]) -> str:
        """What follows after `latex`, as long as one of the signs stands between."""
        while True:
            before = self.place, self.end
            sign = self.sign(*signs)
            more = self.attempt(rule) if sign else ""
            if not more:
                self.place, self.end = before
                return latex
            latex, self.plain = f"{latex} {signs[sign]} {more}", False

    def product(self) -> str:
        """Powers side by side, or with * or / between them."""
        factors = [self.power()]
        while True:
            before = self.place, self.end
            sign = self.sign("*", "/")
            more = self.attempt("power")
            if not more:
                self.place, self.end = before
                return " ".join(factors)
            self.plain = self.plain and not sign  # two letters side by side may be anything
            if sign == "/" and self.own_line:
                above, below = (bare(one) for one in (factors.pop(), more))
                factors.append(rf"\frac{{{above}}}{{{below}}}")
            elif sign == "/":
                factors[-1] += f" / {more}"
            elif more[0].isdigit() or more.startswith(WORD) or WORD_ENDS.search(factors[-1]):
                factors[-1] += rf"\ {more}"
            else:
                factors.append(more)

    def power(self) -> str:
        """An atom, perhaps with an exponent."""
        latex = self.atom()
        if self.sign("^"):
            latex, self.plain = f"{latex}^{{{bare(self.atom())}}}", False
        return latex

    def atom(self) -> str:
        """A number, a symbol, a function of something, or a sum in brackets."""
        token = self.peek()
        if token is None:
            raise NoFormulaError(self.text)
        if token["number"]:
            self.take(token)
            return token["number"]
        if token["name"]:
            return self.named(token)
        if token["sign"] == "...":
            self.take(token)
            return r"\dots"
        if self.sign("("):
            inside = self.relation()
            if not self.sign(")"):
                raise NoFormulaError(self.text)
            return f"{OPEN}{inside}{CLOSE}"
        raise NoFormulaError(self.text)

    def named(self, token: re.Match[str]) -> str:
        """A symbol with its index, or a function with what it is applied to."""
        name, below = token["name"], token["below"].lstrip("_").strip("{}")
        if self.text[token.end() : token.end() + 1] == "(" and (name in CALLED or name == "sqrt"):
            self.take(token)
            inside, self.plain = self.arguments(), False
            if name == "sqrt":
                return rf"\sqrt{{{inside}}}"
            high = r"\frac" in inside
            return CALLED[name] + (f"{OPEN}{inside}{CLOSE}" if high else f"({inside})")
        if name in ("ln", "Ln"):
            self.take(token)
            self.plain = False
            return rf"\ln {self.power()}"
        if not below and name not in SYMBOLS and re.search(r"._[A-Za-z]$", name):
            name, below = name[:-2], name[-1]
        if name not in SYMBOLS and name not in LETTERS and not self.any_name:
            raise NoFormulaError(self.text)
        self.take(token)
        plain_name = name.replace("_", r"\_")
        latex = SYMBOLS.get(name, name if len(name) == 1 else f"{WORD}{plain_name}}}")
        self.plain = self.plain and not below
        return f"{latex}_{{{below}}}" if below else latex

    def arguments(self) -> str:
        """What stands in the brackets of a function."""
        if not self.sign("("):
            raise NoFormulaError(self.text)
        before, self.any_name = self.any_name, True
        latex = self.relation()
        while sign := self.sign(*BETWEEN):
            latex += BETWEEN[sign] + self.relation()
        self.any_name = before
        if not self.sign(")"):
            raise NoFormulaError(self.text)
        return latex


def bare(latex: str) -> str:
    """Without the brackets that a fraction and an exponent make needless."""
    depth = 0
    for bracket in re.finditer(r"\\left\(|\\right\)", latex):
        depth += 1 if bracket[0] == OPEN else -1
        if not depth:
            whole = latex.startswith(OPEN) and bracket.end() == len(latex)
            return latex[len(OPEN) : -len(CLOSE)] if whole else latex
    return latex


def displayed(text: str) -> str:
    """A formula that stands on a line of its own; ValueError where it cannot be read."""
    reader = Reader(" ".join(text.split()), own_line=True)
    latex = reader.relation()
    if reader.text[reader.end :].strip(" .,"):
        raise NoFormulaError(f"no formula: {text.strip()}")
    return latex


def split(text: str) -> Iterator[tuple[str, bool]]:
    """The text in parts: words as they stand, and the LaTeX of formulas, which is told by True."""
    done = 0
    left_alone = [found.span() for found in TUPLE.finditer(text)]
    for start in START.finditer(text):
        place = start.start()
        if place < done or any(first <= place < end for first, end in left_alone):
            continue
        reader = Reader(text, place)
        latex = reader.attempt("relation")
        number = re.fullmatch(r"[-(\d.e\s)]+", text[place : reader.end])
        goes_on = re.match(r"[\w\[']|-\w", text[reader.end :])
        if latex and not reader.plain and not number and not goes_on:
            if done < place:
                yield text[done:place], False
            yield latex, True
            done = reader.end
    if done < len(text):
        yield text[done:], False
