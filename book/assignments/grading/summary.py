"""What the class reached in an assignment, and what a grading changed: text for a terminal."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple

from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    Gradebook,
    Notebook,
    SolutionCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)

BINS, WIDTH, WORST = 10, 40, 3


class Mark(NamedTuple):
    """What a student reached; `parts` has for each part the points and how many there are."""

    parts: dict[str, tuple[float, float]]
    off: float  # for being late
    by_hand: bool  # some part waits to be marked
    written: frozenset[str] = frozenset()  # the parts that a person marks

    @property
    def score(self) -> float:
        """The points, with what is taken off."""
        return max(0.0, sum(points for points, _ in self.parts.values()) - self.off)

    @property
    def maximum(self) -> float:
        """The points that there are."""
        return sum(most for _, most in self.parts.values())


def marks(gradebook: Gradebook, assignment: str) -> dict[str, Mark]:
    """For each student whose submission was graded, what was reached."""
    rows = (
        gradebook.db.query(
            Student.id,
            BaseCell.name,
            Grade.score,
            Grade.max_score,
            Grade.auto_score.is_(None) & Grade.manual_score.is_(None),
            Grade.needs_manual_grade,
            SubmittedNotebook.late_submission_penalty,
        )
        .select_from(Grade)
        .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .join(Student, SubmittedAssignment.student_id == Student.id)
        .join(BaseCell, Grade.cell_id == BaseCell.id)
        .filter(Assignment.name == assignment)
        .order_by(Student.id)
    )
    written = frozenset(
        name
        for (name,) in gradebook.db.query(SolutionCell.name)
        .join(Notebook, SolutionCell.notebook_id == Notebook.id)
        .join(Assignment, Notebook.assignment_id == Assignment.id)
        .filter(Assignment.name == assignment)
    )
    found: dict[str, Mark] = {}
    started, scored = set[str](), set[str]()
    for student, part, points, most, empty, by_hand, off in rows:
        mark = found.setdefault(student, Mark({}, off or 0.0, False, written))
        mark.parts[part] = points, most
        found[student] = mark._replace(by_hand=mark.by_hand or by_hand)
        (started if empty else scored).add(student)
    # A submission whose grading never came to its end has no points at all.
    return {student: mark for student, mark in found.items() if student in scored}


def change(before: Mark | None, after: Mark) -> str:
    """What is other than at the grading before; empty if nothing is, or there was none."""
    if before is None or before == after:
        return ""
    moved = [
        f"{part} {before.parts[part][0]:g} -> {points:g}"
        for part, (points, _) in after.parts.items()
        if part in before.parts and before.parts[part][0] != points
    ]
    if before.off != after.off:
        moved.append(f"off {before.off:g} -> {after.off:g}")
    listed = f": {', '.join(moved)}" if moved else ""
    if before.score == after.score and not moved:
        return ""
    return f"was {before.score:g} of {before.maximum:g}{listed}"


def summary(assignment: str, found: Mapping[str, Mark], changed: Sequence[str]) -> str:
    """Number, mean, distribution, and the parts of the machine's in which most points were lost."""
    if not found:
        return f"{assignment}: nobody has been graded"
    scores = [mark.score for mark in found.values()]
    most = max(mark.maximum for mark in found.values())
    late = sum(mark.off > 0 for mark in found.values())
    by_hand = sum(mark.by_hand for mark in found.values())
    lines = [
        f"{assignment}: {len(found)} graded, mean {fmean(scores):.1f} of {most:g}, "
        f"median {median(scores):.1f}, from {min(scores):g} to {max(scores):g}"
        + (f"; {late} late" if late else "")
        + (f"; to be marked by hand: {by_hand}" if by_hand else ""),
        *_histogram(scores, most),
    ]
    if lost := _lost(list(found.values())):
        lines.append("Of the parts graded by machine, most was lost in: " + "; ".join(lost))
    if changed:
        lines.append(f"Changed since they were graded before: {', '.join(sorted(changed))}")
    return "\n".join(lines)


def _histogram(scores: Sequence[float], most: float) -> list[str]:
    """One line for each tenth of the points, the lowest first; full points are in the last."""
    counts = [0] * BINS
    for score in scores:
        counts[min(BINS - 1, int(BINS * score / most)) if most else 0] += 1
    per_mark = max(1.0, max(counts) / WIDTH)
    lines = []
    for k, count in enumerate(counts):
        bar = "#" * -int(-count // per_mark)
        lines.append(
            f"{100 * k // BINS:>5} to {100 * (k + 1) // BINS:>3} % {count:>5}  {bar}".rstrip()
        )
    return lines


def _lost(found: Sequence[Mark]) -> list[str]:
    """The parts in which the largest share was lost, and by how many of all.

    Those that a person marks are left out: as long as some wait, their share means nothing.
    """
    shares = []
    for part in {part for mark in found for part in mark.parts if part not in mark.written}:
        got = [mark.parts[part] for mark in found if part in mark.parts]
        of = sum(most for _, most in got)
        if lost := of - sum(points for points, _ in got):
            missed = sum(points < most for points, most in got)
            shares.append((-lost / of, f"{part} {lost / of:.0%} (by {missed} of {len(got)})"))
    return [text for _, text in sorted(shares)[:WORST]]
