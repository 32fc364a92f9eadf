"""Docstrings as they are written here, as reStructuredText: for the pages of the API.

A docstring is plain text for an editor and for `help()`: names of code between backticks, formulas
as text, sources as in a paper. On a page a name of the package becomes a link to its entry, a
formula is set as in the book, and a source leads to the bibliography. A paragraph that is indented
is a formula on a line of its own.
"""

import re
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType

import plain_formulas
from pybtex.database import parse_file
from reference_labels import Labels

import ddpm_tutorial

PACKAGE = "ddpm_tutorial"
CODE = re.compile(r"`([^`]+)`")
CITED = re.compile(r"([A-Z][\w-]+(?: et al\.| and [A-Z][\w-]+)?)(?: \((\d{4})\)|, (\d{4})(?![\w]))")


@cache
def public_names() -> dict[str, object]:
    """The names that the package gives on, without its modules."""
    names = {name: getattr(ddpm_tutorial, name) for name in ddpm_tutorial.__all__}
    return {name: value for name, value in names.items() if not isinstance(value, ModuleType)}


def entry_of(code: str) -> str:
    """The public name that a piece of code begins with, or is a method of; empty for other code."""
    found = re.match(r"([A-Za-z_]\w*)((?:\.[a-z]\w*)*)(?=$|\()", code)
    if not found or found[1] not in public_names():
        return ""
    owner = public_names()[found[1]]
    member = found[2].removeprefix(".")
    known = isinstance(owner, type) and member in vars(owner) and vars(owner)[member].__doc__
    return f"{found[1]}.{member}" if known else "" if member else found[1]


@cache
def keys_of_labels() -> dict[str, str]:
    """For the labels that one entry of the bibliography has, such as Ho et al., 2020, its key."""
    bibliography = Path(__file__).parents[1] / "references.bib"
    entries = parse_file(str(bibliography)).entries
    labels = dict(zip(entries, Labels().format_labels(list(entries.values())), strict=True))
    count = Counter(labels.values())
    return {label: key for key, label in labels.items() if count[label] == 1}


def escaped(text: str) -> str:
    """Text in which no letter has a meaning of its own."""
    return re.sub(r"([\\*`|_:])", r"\\\1", text)


def with_sources(text: str) -> str:
    """Words without code and formulas, sources as links to the bibliography."""
    parts, done = [], 0
    for found in CITED.finditer(text):
        if key := keys_of_labels().get(f"{found[1]}, {found[2] or found[3]}"):
            parts += [escaped(text[done : found.start()]), rf"\ :cite:t:`{key}`\ "]
            done = found.end()
    return "".join([*parts, escaped(text[done:])])


def paragraph(text: str) -> str:
    """A paragraph in one line."""
    parts = []
    for place, part in enumerate(CODE.split(" ".join(text.split()))):
        if place % 2:
            entry = entry_of(part)
            linked = rf"\ :py:obj:`{part} <{PACKAGE}.{entry}>`\ "
            parts.append(linked if entry else rf"\ ``{part}``\ ")
            continue
        for piece, is_formula in plain_formulas.split(part):
            parts.append(rf"\ :math:`{piece}`\ " if is_formula else with_sources(piece))
    return re.sub(r"^(?=[-+\d])", r"\\", "".join(parts).strip())


def as_rest(docstring: str) -> list[str]:
    """The lines of a docstring, whose indentation is taken away already, for Sphinx to read."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", docstring.strip("\n")):
        if block.startswith("    "):
            lines += [".. math::", "", f"   {plain_formulas.displayed(block)}", ""]
        elif block.strip():
            lines += [paragraph(block), ""]
    return lines
