"""What the page of a student says of each part."""

import nbformat
import pytest
from conftest import named
from grading.page import AGAIN, WAITS, overview

HEADING = (
    "## Part {}: of a kind (3 points, 8 minutes, marked by a person)\nThis is asked.\n\n### So"
)


def heading(number):
    return nbformat.v4.new_markdown_cell(HEADING.format(number))


def scored(name, points, source):
    cell = named(source, name, False, 3.0)
    cell.metadata["nbgrader"]["score"] = points
    return cell


def code(number, answer, points, test=""):
    return [
        heading(number),
        named(answer, f"p{number}-answer", True),
        scored(f"p{number}", points, test),
    ]


def by_hand(number, points, comment=None):
    cell = nbformat.v4.new_markdown_cell("## Part 99: the student's own heading")
    about = {"grade_id": f"p{number}", "grade": True, "solution": True}
    cell.metadata["nbgrader"] = about | {"score": points, "points": 3.0, "comment": comment}
    return [heading(number), cell]


def test_parts_have_the_names_of_their_headings_and_say_what_waits():
    cells = [*code(1, "def f(): pass", 3.0), *by_hand(2, 0.0), *by_hand(3, 2.0, "Why?")]
    cells.append(scored("last", 3.0, ""))
    parts = overview(cells, {"p2": False, "p3": True})
    assert [part.title for part in parts] == [
        *(f"Part {number}: of a kind" for number in (1, 2, 3)),
        "last",
    ]
    assert [part.note for part in parts] == ["", WAITS, AGAIN, ""]
    assert [part.comment for part in parts] == ["", "", "p3", ""]


@pytest.mark.parametrize(
    ("answer", "test", "points", "said"),
    [
        ("def g(x): return f(x)", "g(1)", 0.0, "<code>f</code> of Part 1, where points were lost"),
        ("def g(x): return x", "g(f)", 0.0, "<code>f</code> of Part 1"),
        ("def g(x): return f(x) + h(x)", "g(1)", 0.0, "of Part 1 and <code>h</code> of Part 2"),
        ("def g(x): return f(x)", "g(1)", 3.0, ""),  # it is right all the same
        ("def g(x): return right(x)", "g(1)", 0.0, ""),
        ("def f(x): return x\ndef g(x): return f(x)", "g(f(1))", 0.0, ""),  # another f
        ("def g(f): return f(1)", "g(1)", 0.0, ""),
        ("def g(x): return f(", "g(1)", 0.0, ""),
        ("def g(x): return x", "g(1)\n### BEGIN HIDDEN TESTS\nf(1)\n### END HIDDEN TESTS", 0.0, ""),
    ],
)
def test_a_part_that_uses_what_is_wrong_says_where_to_begin(answer, test, points, said):
    before = [
        *code(1, "def f(x): return 0", 1.0),
        *code(2, "def h(x): return 0", 0.0),
        *code(3, "def right(x): return 1", 3.0),
    ]
    note = overview([*before, *code(4, answer, points, test)], {})[-1].note
    assert said in note
    assert bool(said) == bool(note)
