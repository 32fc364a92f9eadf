"""Find a student's answers in a notebook, whatever an editor has made of the cells.

An answer is known by nbgrader's name of its cell, then by the cell's id, then by what stands in it:
the function that it defines, or its place between cells that are known. What is found here is text
for the student's own process, and never stands in for a cell of ours.
"""

import ast
import builtins
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nbformat import NotebookNode

from .cells import cell_of, free_names, name_of, names_bound, tree_of
from .magics import MOST, plain, work
from .statements import defined, lines_of, without

# What is said of cells, in this order. Each takes the names of the cells.
SAID = {
    "pieces": "Put together from several cells",
    "copies": "Copies that come after the test were left out",
    "id": "Without its name, found by the cell's id",
    "function": "Without its name, found by what it defines",
    "own": "Found in a cell of the student's own",
    "code": "A text cell that is taken for code",
    "elsewhere": "Answered in another cell",
    "test": "Found in the cell of a test",
    "text": "Put together with the text around it",
    "missing": "No cell was found for",
    "added": "What was added to given cells runs after them",
    "helpers": "Imports and functions that were added to a test run before it",
    "changed": "Changed, and put back as handed out",
}
OURS = "### BEGIN HIDDEN TESTS"  # an instructor's own file is tried, too
ELSEWHERE = "# This part is answered in another cell."


class Found(NamedTuple):
    """Answers by the name of their cell, code by the number of the cell that it runs after, notes.

    The number is that of a cell handed out; -1 is before all of them.
    """

    answers: dict[str, str]
    added: dict[int, list[str]]
    notes: list[str]


class Part(NamedTuple):
    """An answer as handed out: the number of its cell and of its test's, what it defines."""

    name: str
    at: int
    test: int
    stub: str
    defines: set[str]
    by_hand: bool


def find(submission: NotebookNode, release: NotebookNode) -> Found:
    """All answers of a submission."""
    return _Search(submission, release).found()


def parts_of(release: NotebookNode) -> list[Part]:
    """The answers that a release asks for, in order."""
    names = [name_of(cell) for cell in release.cells]
    parts = []
    for at, cell in enumerate(release.cells):
        kind, part, _, source = cell_of(cell.metadata, cell.source)
        if kind != "answer":
            continue
        by_hand = cell.cell_type != "code"
        test = names.index(part) if part in names and not by_hand else at
        defines = set[str]()
        if not by_hand:
            tested = free_names(release.cells[test].source) - set(dir(builtins))
            defines = defined(source) or tested
        parts.append(Part(names[at], at, test, source.strip(), defines, by_hand))
    return parts


class _Search:
    def __init__(self, submission: NotebookNode, release: NotebookNode) -> None:
        self.ours, self.parts = release.cells, parts_of(release)
        self.cells = submission.cells
        self.by_id: set[int] = set()
        self.room = MOST
        self.kin = self._kin()
        self.rank = self._ranks()
        self.sources = [self._as_code(i) for i in range(len(self.cells))]
        self.defined = [defined(source) for source in self.sources]
        self.used: set[int] = set()  # cells of the student's own that became answers
        self.extras = {i: self._extra(i) for i, at in enumerate(self.kin) if self._locked(at)}
        self.said: dict[str, list[str]] = {}

    def found(self) -> Found:
        answers: dict[str, str] = {}
        for part in self.parts:
            answer = self._by_hand(part) if part.by_hand else self._code(part, answers)
            if answer is not None:
                answers[part.name] = answer
        added: dict[int, list[str]] = {}
        stubs = {part.stub for part in self.parts}
        for i, cell in enumerate(self.cells):
            own = self.kin[i] < 0 and i not in self.used and cell.cell_type == "code"
            source = self.sources[i] if own and cell.source.strip() not in stubs else ""
            if self._locked(self.kin[i]):
                self._say_changed(i)
                source = self.extras[i]
                if self._is_test(self.kin[i]):
                    source = self._helpers(i)
                    added.setdefault(self.kin[i] - 1, []).extend([source] if source else [])
                    continue
            if source:
                added.setdefault(self.rank[i], []).append(source)
        return Found(answers, added, [self._sentence(kind) for kind in SAID if kind in self.said])

    def _as_code(self, i: int) -> str:
        """A cell as Python; one that became text by mistake, too. Empty for what is only text."""
        source = self.cells[i].source
        if self.cells[i].cell_type != "code":
            at, source = self.kin[i], _unfenced(source)
            wanted = {part.at: part.defines for part in self.parts}
            names = wanted.get(at, set()) if at >= 0 else set().union(*wanted.values())
            if not any(name in source for name in names):
                return ""
        self.room -= work(source)
        return plain(source) if self.room >= 0 else source

    def _sentence(self, kind: str) -> str:
        names = dict.fromkeys(self.said[kind])
        return f"{SAID[kind]}: {', '.join(f'`{name}`' for name in names)}."

    def _say(self, kind: str, name: str) -> None:
        self.said.setdefault(kind, []).append(name)

    def _kin(self) -> list[int]:
        """For each cell the number of the cell handed out that it is; -1 for the student's own."""
        names = {name_of(cell): at for at, cell in enumerate(self.ours) if name_of(cell)}
        kin = [names.get(name_of(cell), -1) for cell in self.cells]
        # A cell that has no name in the release, and holds code, is free: the student's to change.
        fixed = [at for at, c in enumerate(self.ours) if name_of(c) or c.cell_type != "code"]
        ids = {self.ours[at].get("id"): at for at in fixed}
        texts: dict[str, list[int]] = {}
        for at in fixed:
            texts.setdefault(self.ours[at].source.strip(), []).append(at)
        taken = set(kin)
        for way in ("id", "text"):
            for i, cell in enumerate(self.cells):
                if kin[i] >= 0:
                    continue
                if way == "id":
                    fitting = [ids[cell.id]] if cell.get("id") in ids else []
                else:
                    fitting = texts.get(cell.source.strip(), [])
                if fitting := [at for at in fitting if at not in taken]:
                    kin[i] = fitting[0]
                    taken.add(kin[i])
                    if way == "id":
                        self.by_id.add(i)
        return kin

    def _ranks(self) -> list[int]:
        """For each cell the number of the last known one up to it."""
        ranks, last = [], -1
        for at in self.kin:
            last = at if at >= 0 else last
            ranks.append(last)
        return ranks

    def _locked(self, at: int) -> bool:
        return at >= 0 and cell_of(self.ours[at].metadata, "").kind in ("given", "test")

    def _is_test(self, at: int) -> bool:
        return cell_of(self.ours[at].metadata, "").kind == "test"

    def _extra(self, i: int) -> str:
        """What the student added to a cell that was not theirs to change."""
        return without(self.sources[i], [self.ours[self.kin[i]].source])

    def _say_changed(self, i: int) -> None:
        name, test = name_of(self.ours[self.kin[i]]), self._is_test(self.kin[i])
        if self.extras[i] and not test:
            self._say("added", name)
        lost = without(self.ours[self.kin[i]].source, [self.sources[i]], changed=True)
        imports = tree_of(lost)
        only = imports and all(isinstance(s, ast.Import | ast.ImportFrom) for s in imports.body)
        if (lost and not only) or (test and self.extras[i] and OURS not in self.sources[i]):
            self._say("changed", name)

    def _helpers(self, i: int) -> str:
        """What an answer may need of what stands in a changed test; an answer is none of it."""
        tree = None if OURS in self.sources[i] else tree_of(self.extras[i])
        answers = {name for part in self.parts for name in part.defines}
        kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
        body = [s for s in tree.body if isinstance(s, kinds)] if tree else []
        body = [s for s in body if not names_bound([s]) & answers]
        if not body:
            return ""
        self._say("helpers", name_of(self.ours[self.kin[i]]))
        return lines_of(self.extras[i], body)

    def _code(self, part: Part, answers: dict[str, str]) -> str | None:
        named = [i for i, at in enumerate(self.kin) if at == part.at]
        live = [i for i in named if self.cells[i].source.strip() not in ("", part.stub)]
        tests = [i for i, at in enumerate(self.kin) if at == part.test and part.test != part.at]
        if live:
            test = next((i for i in tests if i > live[0]), self._end(part, live[0]))
            pieces = [i for i in live if i < test] or live
            if len(pieces) > 1:
                self._say("pieces", part.name)
            if len(pieces) < len(live):
                self._say("copies", part.name)
            if pieces[0] in self.by_id:
                self._say("id", part.name)
            if any(self.cells[i].cell_type != "code" for i in pieces):
                self._say("code", part.name)
            answer, test_source = self._joined(pieces), self.ours[part.test].source
            if not tests and not without(test_source, [answer], changed=True):
                # The two were made one: the test comes back, and is not needed here.
                answer = without(answer, [test_source], changed=True) or answer
            return answer
        found = self._searched(part, tests, answers, kind="own" if named else "function")
        if found is None and not named:
            self._say("missing", part.name)
        return found

    def _end(self, part: Part, start: int) -> int:
        """Where the part ends if its test is gone: at the next test of another."""
        others = {other.test for other in self.parts if other.at > part.at}
        later = (i for i in range(start, len(self.cells)) if self.kin[i] in others)
        return next(later, len(self.cells))

    def _joined(self, pieces: Sequence[int]) -> str:
        """Pieces in order; without those that are no Python, unless they are so only together."""
        sources = [self.sources[i].strip("\n") for i in pieces]
        whole = "\n".join(sources)
        if len(pieces) > 1 and tree_of(whole) is None:
            good = [source for source in sources if tree_of(source) is not None]
            return "\n".join(good) or whole
        return whole if len(pieces) > 1 else self.sources[pieces[0]]

    def _searched(
        self, part: Part, tests: list[int], answers: dict[str, str], kind: str
    ) -> str | None:
        """An answer that is not in its cell: in cells around it, in others, in a test, below it."""
        own = [i for i in self._own() if self.defined[i] & part.defines]
        before = max((other.test for other in self.parts if other.at < part.at), default=-1)
        end = min(tests, default=len(self.cells))
        home = [i for i in own if before <= self.rank[i] < part.test and i < end]
        if home:
            self._say(kind, part.name)
            return self._taken(home)
        early = [i for i in own if i < end and self.cells[i].cell_type == "code"]
        sources = [self.sources[i] for i in early]
        sources += [answers[p.name] for p in self.parts if p.at < part.at and p.name in answers]
        sources += [extra for i, extra in self.extras.items() if not self._is_test(self.kin[i])]
        if any(defined(source) & part.defines for source in sources):
            self._say("elsewhere", part.name)
            return ELSEWHERE
        for i, extra in self.extras.items():
            if self._is_test(self.kin[i]) and defined(extra) & part.defines:
                self._say("test", part.name)
                return extra
        if own:
            self._say(kind, part.name)
            return self._taken(own[-1:])
        return None

    def _own(self) -> Iterator[int]:
        """The student's own cells."""
        for i in range(len(self.cells)):
            if self.kin[i] < 0 and i not in self.used:
                yield i

    def _taken(self, cells: list[int]) -> str:
        self.used |= set(cells)
        return self._joined(cells)

    def _by_hand(self, part: Part) -> str | None:
        """A written answer, with the text cells that stand between it and the next known cell."""
        named = [i for i, at in enumerate(self.kin) if at == part.at]
        live = [i for i in named if self.cells[i].source.strip() not in ("", part.stub)]
        text = [i for i, at in enumerate(self.kin) if at < 0 and self.cells[i].cell_type != "code"]
        text = [i for i in text if i not in self.used and self.cells[i].source.strip()]
        after = [i for i in text if self.rank[i] == part.at]
        pieces = sorted([*live, *after])
        if not pieces:
            pieces = [i for i in text if self.rank[i] == part.at - 1]
        answer = "\n\n".join(self.cells[i].source for i in pieces)
        if not pieces:  # below the question, in its own cell
            question = self.ours[part.at - 1].source.rstrip()
            there = [c.source for i, c in enumerate(self.cells) if self.kin[i] == part.at - 1]
            added = [text.removeprefix(question) for text in there if text.startswith(question)]
            answer = "\n\n".join(text.strip() for text in added if text.strip())
        if not answer:
            if not named:
                self._say("missing", part.name)
            return None
        if len(live) > 1:
            self._say("pieces", part.name)
        elif not live or len(pieces) > 1:
            self._say("text", part.name)
        elif live[0] in self.by_id:
            self._say("id", part.name)
        return answer


def _unfenced(source: str) -> str:
    """Code in a text cell may stand between fences."""
    lines = source.strip().split("\n")
    fenced = len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```"
    return "\n".join(lines[1:-1]) if fenced else source
