"""Marks that a person gave stay where the answer is the same; all others wait."""

import nbformat
import pytest
from conftest import named
from grading import by_hand
from grading.progress import GRADED

ANSWER = "Both factors are positive."


def written(source, points=3.0):
    about = {"grade_id": "nearest", "grade": True, "solution": True, "points": points}
    return nbformat.v4.new_markdown_cell(source, metadata={"nbgrader": about})


def grade_as_nbgrader(book, root, cell, ended=True):
    """What `nbgrader autograde` leaves: the notebook, and everything marked to be looked at."""
    for name in ("autograded", "checked"):
        (root / name / "s01/a").mkdir(parents=True, exist_ok=True)
    whole = nbformat.v4.new_notebook(cells=[named("assert f(1)", "kl", False, 3.0), cell])
    nbformat.write(whole, root / "autograded/s01/a/a.ipynb")
    (root / "checked/s01/a" / GRADED).unlink(missing_ok=True)
    if ended:
        (root / "checked/s01/a" / GRADED).write_text("state")
    for grade in book.find_submission_notebook("a", "a", "s01").grades:
        grade.needs_manual_grade = grade.manual_score is not None or grade.name == "nearest"


def waits(book, name="nearest"):
    return book.find_grade(name, "a", "a", "s01").needs_manual_grade


def mark(book, name="nearest"):
    """As Formgrader does."""
    grade = book.find_grade(name, "a", "a", "s01")
    grade.manual_score, grade.needs_manual_grade = 2.0, False


@pytest.mark.parametrize(
    ("after", "stays"),
    [
        (written(ANSWER), True),
        (written(ANSWER + " "), False),
        (written("None is."), False),
        (written(ANSWER, points=4.0), False),  # the mark was one of three points
    ],
)
def test_a_mark_stays_where_the_answer_is_the_same(gradebook, tmp_path, after, stays):
    grade_as_nbgrader(gradebook, tmp_path, written(ANSWER))
    assert not by_hand.marked(gradebook, tmp_path, "a", "s01")  # nobody has marked it yet
    mark(gradebook)
    before = by_hand.marked(gradebook, tmp_path, "a", "s01")
    grade_as_nbgrader(gradebook, tmp_path, after)
    assert waits(gradebook)
    by_hand.keep(gradebook, tmp_path, "a", "s01", before)
    assert waits(gradebook) != stays
    assert gradebook.find_grade("nearest", "a", "a", "s01").score == 2.0


def test_an_answer_that_waited_waits_on_though_it_is_handed_in_twice(gradebook, tmp_path):
    grade_as_nbgrader(gradebook, tmp_path, written("An older one."))
    mark(gradebook)
    for _ in range(2):
        before = by_hand.marked(gradebook, tmp_path, "a", "s01")
        grade_as_nbgrader(gradebook, tmp_path, written(ANSWER))
        by_hand.keep(gradebook, tmp_path, "a", "s01", before)
        assert waits(gradebook)


def test_after_an_interruption_no_mark_is_taken_for_that_of_another_answer(gradebook, tmp_path):
    grade_as_nbgrader(gradebook, tmp_path, written("An older one."))
    mark(gradebook)
    grade_as_nbgrader(gradebook, tmp_path, written(ANSWER), ended=False)
    gradebook.find_grade("nearest", "a", "a", "s01").needs_manual_grade = False  # not come so far
    assert not by_hand.marked(gradebook, tmp_path, "a", "s01")


def test_points_of_the_machine_that_a_person_changed_wait(gradebook, tmp_path):
    grade_as_nbgrader(gradebook, tmp_path, written(ANSWER))
    mark(gradebook, "kl")
    before = by_hand.marked(gradebook, tmp_path, "a", "s01")
    grade_as_nbgrader(gradebook, tmp_path, written(ANSWER))
    by_hand.keep(gradebook, tmp_path, "a", "s01", before)
    assert waits(gradebook, "kl")
