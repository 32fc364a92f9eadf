"""How much of what students wrote is alike: pairs of submissions, and the public solutions.

The library copydetect compares, by what is known as winnowing: comments, blanks and the names of
variables and functions are taken away, and then equal runs of characters are looked for. What was
handed out is left out line by line before that.
"""

import io
import itertools
from collections.abc import Mapping
from typing import NamedTuple

from copydetect import CodeFingerprint, compare_files
from copydetect.utils import highlight_overlap
from nbformat import NotebookNode

from .adopt import find
from .cells import name_of
from .intake import read
from .magics import plain

SHORTEST = 20  # characters of code without names that have to be equal, one after the other


class Pair(NamedTuple):
    """Two texts: the share of each that is in the other too, and both as HTML with that marked."""

    one: str
    other: str
    shares: tuple[float, float]
    pages: tuple[str, str]

    @property
    def share(self) -> float:
        """The larger of the two: what is short may stand as a whole in what is long."""
        return max(self.shares)


def own_code(written: bytes, release: NotebookNode, answers_only: bool = False) -> str:
    """The code of a submission, without any line that was handed out, in the order of the parts.

    It need not be Python. With `answers_only`, what stands outside of the answers is left out.
    """
    found = find(read(written), release)
    in_code = {name_of(cell) for cell in release.cells if cell.cell_type == "code"}
    sources = [source for name, source in found.answers.items() if name in in_code]
    if not answers_only:
        sources += [source for at in sorted(found.added) for source in found.added[at]]
    texts = [text for cell in release.cells for text in (cell.source, plain(cell.source))]
    given = {line.strip() for text in texts for line in text.splitlines()}
    lines = [line for source in sources for line in source.splitlines()]
    return "\n".join(line for line in lines if line.strip() not in given) + "\n"


def pairs(students: Mapping[str, str], solutions: Mapping[str, str]) -> list[Pair]:
    """Each student's code beside each other's and beside each solution, the most alike first."""
    prints = {name: _fingerprint(text) for name, text in {**students, **solutions}.items()}
    found = [
        _compared(one, other, prints[one], prints[other])
        for one, other in [
            *itertools.combinations(students, 2),
            *itertools.product(students, solutions),
        ]
    ]
    return sorted(found, key=lambda pair: -pair.share)


def _fingerprint(text: str) -> CodeFingerprint | None:
    """None for what is too short to have one. All runs are kept, so the figures never change."""
    code = CodeFingerprint("a.py", SHORTEST, 1, fp=io.StringIO(text))
    return code if len(code.filtered_code) >= SHORTEST else None


def _compared(
    one: str, other: str, of_one: CodeFingerprint | None, of_other: CodeFingerprint | None
) -> Pair:
    if of_one is None or of_other is None:
        return Pair(one, other, (0.0, 0.0), ("", ""))
    _, shares, slices = compare_files(of_one, of_other)
    if not any(shares):
        return Pair(one, other, (0.0, 0.0), ("", ""))
    pages = [
        highlight_overlap(code.raw_code, places, "<mark>", "</mark>", escape_html=True)[0]
        for code, places in zip((of_one, of_other), slices, strict=True)
    ]
    first, second = (min(1.0, float(share)) for share in shares)
    return Pair(one, other, (first, second), (pages[0], pages[1]))
