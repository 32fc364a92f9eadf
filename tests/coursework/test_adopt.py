"""Answers in cells that an editor, or a hand, has split, copied, renamed, moved or changed."""

import ast
import copy
import json
import time
from itertools import pairwise

import nbformat
import pytest
from conftest import COURSE, named, notebook
from grading.adopt import find, parts_of
from grading.execute import run_notebook
from grading.intake import read
from grading.magics import plain
from grading.rebuild import rebuild
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

STUB = "def {}(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
ANSWERS = {
    "f": "import math\n\n\ndef half(x):\n    return x / 2\n\n\ndef f(x):\n    return half(x) + 1",
    "g": "def g(x):\n    return math.sqrt(x)",
    "h": "def h(x):\n    return given(x) * 3",
}
TESTS = {"f": "assert f(4) == 3", "g": "assert g(9) == 3", "h": "y = 2\nassert h(y) == 12"}
GIVEN = "import math\n\n\ndef given(x):\n    return 2 * x"


def locked(source, name):
    cell = named(source, name, False)
    cell.metadata.nbgrader["grade"] = False
    return cell


def course(sources, written="YOUR ANSWER HERE"):
    whole = notebook()
    whole.cells = [new_markdown_cell("# The course"), locked(GIVEN, "given")]
    for name, source in sources.items():
        whole.cells += [
            new_markdown_cell(f"## Part {name}"),
            named(source, f"{name}-answer", True),
            named(TESTS[name], name, False, 2),
        ]
    whole.cells += [new_code_cell("f(3)"), new_markdown_cell("## Why?")]
    about = {"grade_id": "why", "solution": True, "locked": False, "grade": True, "points": 3}
    whole.cells += [new_markdown_cell(written, metadata={"nbgrader": about})]
    whole.cells += [new_markdown_cell("To hand in: save.")]
    for at, cell in enumerate(whole.cells):
        cell["id"] = f"cell-{at}"
    whole.metadata["grading"] = {"names": [], "call_seconds": 10, "total_seconds": 60}
    return whole


RELEASE = course({name: STUB.format(name) for name in ANSWERS})


@pytest.fixture
def solved():
    return course(ANSWERS, "Because.")


def at(whole, name):
    return [c.metadata.get("nbgrader", {}).get("grade_id") for c in whole.cells].index(name)


def cell(whole, name):
    return whole.cells[at(whole, name)]


def parts(whole):
    """The parts that pass, everything in one process: enough where nobody is hostile."""
    passed, names = "", {"__name__": "__main__"}
    for each in rebuild(whole, RELEASE).cells:
        about = each.metadata.get("nbgrader", {})
        if each.cell_type == "code":
            try:
                exec(each.source, names)
                passed += about["grade_id"] if about.get("points") else ""
            except Exception:
                pass
    return passed


def said(whole):
    return " ".join(find(whole, RELEASE).notes)


def test_what_is_as_handed_out_gets_no_note(solved):
    assert parts(solved) == "fgh"
    assert said(solved) == said(RELEASE) == ""
    assert parts(RELEASE) == ""
    assert find(solved, RELEASE).answers == {
        **{f"{name}-answer": source for name, source in ANSWERS.items()},
        "why": "Because.",
    }


@given(cuts=st.sets(st.sampled_from([1, 2, 6, 7])), keep=st.booleans(), stub=st.booleans())
@settings(max_examples=40, deadline=None)
def test_wherever_an_answer_is_split_it_is_the_same_answer(cuts, keep, stub):
    solved = course(ANSWERS)
    place, lines = at(solved, "f-answer"), ANSWERS["f"].split("\n")
    bounds = [0, *sorted(cuts), len(lines)]
    pieces = ["\n".join(lines[a:b]) for a, b in pairwise(bounds)]
    pieces += [STUB.format("f")] if stub else []
    cells = [named(source, "f-answer", True) for source in pieces]
    for each in cells[:-1] if not keep else []:
        del each.metadata["nbgrader"]  # some editors leave the name to one of the two
    solved.cells[place : place + 1] = cells
    assert parts(solved) == "fgh"
    if keep:
        kept = find(solved, RELEASE).answers["f-answer"]
        assert [line for line in kept.split("\n") if line] == [line for line in lines if line]
        assert ("`f-answer`" in said(solved)) == bool(cuts)


@pytest.mark.parametrize("source", ["def f(x):\n    return 0", STUB.format("f"), "def f(x:"])
def test_a_copy_that_runs_after_the_test_is_not_the_answer(solved, source):
    solved.cells.append(named(source, "f-answer", True))
    assert parts(solved) == "fgh"
    assert ("Copies" in said(solved)) == (source != STUB.format("f"))


def test_a_copy_before_the_test_counts_as_it_runs(solved):
    solved.cells.insert(at(solved, "f-answer"), named("def f(x): return 0", "f-answer", True))
    assert parts(solved) == "fgh"
    solved.cells.insert(at(solved, "f"), named("def f(x): return 0", "f-answer", True))
    assert parts(solved) == "gh"
    assert "several cells: `f-answer`" in said(solved)


def test_the_only_answer_counts_where_it_stands_after_its_test(solved):
    solved.cells.append(solved.cells.pop(at(solved, "f-answer")))
    assert parts(solved) == "fgh"
    solved.cells.insert(2, named(STUB.format("f"), "f-answer", True))
    assert parts(solved) == "fgh"


@pytest.mark.parametrize("names", [["f-answer"], ["f-answer", "g-answer", "h-answer"], None])
@pytest.mark.parametrize("ids", [True, False])
def test_answers_without_their_names_are_found(solved, names, ids):
    for each in solved.cells:
        if names is None or each.metadata.get("nbgrader", {}).get("grade_id") in names:
            each.metadata = nbformat.from_dict({})
            each["id"] = each.id if ids else f"x{each.id}"
    assert parts(solved) == "fgh"
    assert "`f-answer`" in said(solved)
    assert ("the cell's id" in said(solved)) == ids
    assert find(solved, RELEASE).answers["why"] == "Because."


@pytest.mark.parametrize(
    "kept", [lambda c: c.cell_type == "code", lambda c: "answer" in str(c.metadata)]
)
def test_answers_in_a_notebook_of_ones_own_are_found(solved, kept):
    own = [new_code_cell(c.source) for c in solved.cells if kept(c)]
    assert parts(notebook(*(c.source for c in own))) == "fgh"


def test_all_answers_in_one_cell_are_found(solved):
    assert parts(notebook("\n".join(ANSWERS.values()))) == "fgh"
    for name in ("f", "g"):
        del solved.cells[at(solved, f"{name}-answer")]
    cell(solved, "h-answer").source = "\n".join(ANSWERS.values())
    assert parts(solved) == "h"  # f and g did not exist where they were tested
    solved = course(ANSWERS)
    for name in ("g", "h"):
        del solved.cells[at(solved, f"{name}-answer")]
    cell(solved, "f-answer").source = "\n".join(ANSWERS.values())
    assert parts(solved) == "fgh"
    assert "another cell: `g-answer`, `h-answer`" in said(solved)


@pytest.mark.parametrize("unknown", ["f-answer-1", "", 3, None])
def test_a_name_that_is_none_of_ours_is_no_name(solved, unknown):
    cell(solved, "f-answer").id = "other"
    cell(solved, "f-answer").metadata.nbgrader["grade_id"] = unknown
    assert parts(solved) == "fgh"
    assert "what it defines: `f-answer`" in said(solved)


@pytest.mark.parametrize("make", [new_markdown_cell, new_raw_cell])
@pytest.mark.parametrize("fence", ["{}", "```python\n{}\n```"])
@pytest.mark.parametrize("keep", [True, False])
def test_an_answer_whose_cell_became_text_is_code(solved, make, fence, keep):
    was = cell(solved, "f-answer")
    text = make(fence.format(was.source), metadata=was.metadata if keep else {})
    solved.cells[at(solved, "f-answer")] = text
    assert parts(solved) == "fgh"
    assert "`f-answer`" in said(solved)


@pytest.mark.parametrize("where", [0, 1, 5, 12, 99])
def test_an_answer_in_a_cell_of_ones_own_counts_while_the_stub_stands(solved, where):
    cell(solved, "g-answer").source = STUB.format("g")
    solved.cells.insert(where, new_code_cell(ANSWERS["g"]))
    assert parts(solved) == "fgh"
    assert "`g-answer`" in said(solved)


def test_an_answer_and_its_test_that_were_made_one(solved):
    whole = copy.deepcopy(solved)
    cell(whole, "h-answer").source += "\n\n" + TESTS["h"]
    del whole.cells[at(whole, "h")]
    assert parts(whole) == "fgh"
    assert find(whole, RELEASE).answers["h-answer"] == ANSWERS["h"]
    cell(solved, "h").source = ANSWERS["h"] + "\n\n" + TESTS["h"]
    del solved.cells[at(solved, "h-answer")]
    assert parts(solved) == "fgh"
    assert "cell of a test: `h-answer`" in said(solved)
    assert [c.source for c in rebuild(solved, RELEASE).cells].count(TESTS["h"]) == 1


def test_what_is_added_to_a_given_cell_runs_and_what_is_changed_does_not(solved):
    cell(solved, "g-answer").source = "def g(x):\n    return root(x)"
    cell(solved, "given").source = (
        "%matplotlib inline\nimport cmath, math\nfrom math import sqrt\n\n\n"
        "@staticmethod\ndef root(x):\n    # mine\n    return sqrt(x)\n\n\n"
        "def given(x):\n    return 3 * x"
    )
    assert parts(solved) == "fgh"
    (added,) = find(solved, RELEASE).added[1]
    assert added.startswith("import cmath, math\nfrom math import sqrt\n@staticmethod\ndef root")
    assert "# mine" in added
    assert "given(" not in added
    assert said(solved) == (
        "What was added to given cells runs after them: `given`. "
        "Changed, and put back as handed out: `given`."
    )


def test_what_is_added_to_a_given_cell_is_never_run_beside_the_tests(solved):
    cell(solved, "given").source += "\n\n\nimport builtins\n\n\nmine = builtins.id = given\n"
    cell(solved, "f-answer").source = "def f(x):\n    return 0"
    cell(solved, "g-answer").source = "def g(x):\n    return math.sqrt(x) if mine else 0"
    whole = rebuild(solved, RELEASE)
    before = id(whole)
    run_notebook(whole)
    assert id(whole) == before
    failed = [name for name in TESTS if cell(whole, name).outputs]
    assert failed == ["f"]


def test_a_test_that_was_changed_is_put_back_and_said(solved):
    cell(solved, "f-answer").source = STUB.format("f")
    cell(solved, "f").source = "def f(x):\n    return 3"  # an answer, and the test comes back
    cell(solved, "g").source = "pass"
    cell(solved, "g-answer").source = "def g(x):\n    return 0"
    assert parts(solved) == "fh"
    assert "put back as handed out: `f`, `g`" in said(solved)


def test_what_an_answer_needs_of_a_changed_test_is_there(solved):
    cell(solved, "f").source = "import cmath\n\n\ndef f(x):\n    return 3\n\n\n" + TESTS["f"]
    cell(solved, "f-answer").source = "def f(x):\n    return 1 + x * abs(cmath.rect(0.5, 0))"
    assert parts(solved) == "fgh"
    assert "added to a test run before it: `f`" in said(solved)
    cell(solved, "f-answer").source = "def f(x):\n    return 0"
    assert parts(solved) == "gh"


def test_written_answers_are_found_around_their_cell(solved):
    place = at(solved, "why")
    solved.cells[place + 1 : place + 1] = [new_markdown_cell("Also."), new_code_cell("f(1)")]
    assert find(solved, RELEASE).answers["why"] == "Because.\n\nAlso."
    cell(solved, "why").source = "YOUR ANSWER HERE"
    assert find(solved, RELEASE).answers["why"] == "Also."
    del solved.cells[place : place + 2]
    assert "why" not in find(solved, RELEASE).answers
    assert "No cell was found for: `why`" in said(solved)
    solved.cells[place - 1].source += "\n\nIn the wrong cell."
    assert find(solved, RELEASE).answers["why"] == "In the wrong cell."


def test_an_answer_that_is_not_there_is_said(solved):
    for name in ("g-answer", "g"):
        solved.cells.pop(at(solved, name))
    assert parts(solved) == "fh"
    assert said(solved) == "No cell was found for: `g-answer`."


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("x = 7 %2\n", "x = 7 %2\n"),
        ("def f(:", "def f(:"),
        ("%%time\n%matplotlib inline\nx = 1", "# %%time\npass  # %matplotlib inline\nx = 1"),
        ("%%capture out\nx = 1\n", "# %%capture out\nx = 1"),
        ("%%bash\nls", "# %%bash"),
        ("!pip install é\nx = 1", "pass  # !pip install é\nx = 1"),
        ("x = !ls\ny = %time f()\nz = %pwd", "x = []\ny = (f())\nz = None"),
        ("if x:\n    %time y = 1\n    !ls", "if x:\n    y = 1\n    pass  # !ls"),
        ("f?\nx = 1\nf??", "pass  # %pinfo f\nx = 1\npass  # %pinfo2 f"),
        ("get_ipython().run_line_magic('cd', '/'); x = 'é'", "pass; x = 'é'"),
        ("    x = 1\n    y = 2", "    x = 1\n    y = 2".replace("    ", "")),
        (">>> x = 1\n>>> y = 2", "x = 1\ny = 2"),
        ("%é\n" * 999, "%é\n" * 999),
    ],
)
def test_lines_of_ipython_are_nothing_to_run(source, becomes):
    assert plain(source) == becomes


def test_jupyters_own_names_and_lines_lose_nothing(solved):
    for name, line in {"f": "%%time\n%matplotlib inline", "g": "!pip list\nmath?"}.items():
        answer = cell(solved, f"{name}-answer")
        answer.source = f"{line}\n{answer.source}\ndisplay({name}(4), raw=True)"
    cell(solved, "h-answer").source += "\nfrom IPython.display import display\ndisplay(h(1))"
    cell(solved, "h-answer").source += "\nget_ipython().run_line_magic('matplotlib', 'inline')"
    whole = rebuild(solved, RELEASE)
    run_notebook(whole)
    assert [name for name in TESTS if cell(whole, name).outputs] == []
    assert "3.0" in cell(whole, "f-answer").outputs[0].text
    assert not [o for c in whole.cells for o in c.get("outputs", []) if o.output_type == "error"]


def test_a_notebook_that_was_read_has_each_id_once_and_keeps_it():
    whole = copy.deepcopy(RELEASE)
    whole.cells[3].id = whole.cells[2].id
    del whole.cells[4]["id"]
    whole.cells[4].metadata["id"] = "colab-4"
    whole.cells[5].source = "x = 1\r\ny = 2"
    cells = read(json.dumps(whole).encode()).cells
    ids = [each.id for each in cells]
    assert len(set(ids)) == len(ids)
    assert ids[:3] == [each.id for each in RELEASE.cells[:3]]
    assert ids[4] == "colab-4"
    assert cells[5].source == "x = 1\ny = 2"


NAMES = st.sampled_from([*TESTS, "given", "why", "f-answer", "g-answer", "other", ""])
SOURCES = st.sampled_from(
    [
        *ANSWERS.values(),
        *TESTS.values(),
        GIVEN,
        STUB.format("g"),
        "f = given = 3",
        "%%time\nx",
        "é(",
    ]
)


@st.composite
def any_cell(draw):
    make = draw(st.sampled_from([new_code_cell, new_code_cell, new_markdown_cell, new_raw_cell]))
    about = {"grade_id": draw(NAMES), "points": 99} | {
        key: draw(st.booleans()) for key in ("grade", "locked", "solution")
    }
    each = make(draw(SOURCES), metadata={"nbgrader": about} if draw(st.booleans()) else {})
    each["id"] = f"cell-{draw(st.integers(0, 15))}"
    return each


@given(st.lists(any_cell(), max_size=12))
@settings(max_examples=150, deadline=None)
def test_whatever_is_handed_in_what_is_ours_comes_back(cells):
    whole = rebuild(read(json.dumps({"cells": cells}).encode()), RELEASE)
    ours = [c for c in whole.cells if "nbgrader" in c.metadata]
    handed_out = [c for c in RELEASE.cells if "nbgrader" in c.metadata]
    assert [c.metadata for c in ours] == [c.metadata for c in handed_out]
    for mine, other in zip(ours, handed_out, strict=True):
        assert mine.cell_type == other.cell_type
        assert other.metadata.nbgrader["solution"] or mine.source == other.source
    added = [c for c in whole.cells if c not in ours and c.cell_type == "code"]
    assert all(not c.metadata for c in added)


@pytest.mark.parametrize("name", sorted(path.stem for path in (COURSE / "student").glob("*")))
@pytest.mark.parametrize("lost", ["names", "ids", "text", "order"])
def test_no_answer_of_any_assignment_is_lost(name, lost):
    release = nbformat.read(COURSE / "student" / f"{name}.ipynb", as_version=4)
    solution = read((COURSE / "solutions" / f"{name}.ipynb").read_bytes())
    answers = find(solution, release).answers
    assert len(answers) == len(parts_of(release))
    assert find(solution, release).notes == []
    assert find(release, release).answers == {}
    for at, each in enumerate(solution.cells):
        if lost != "order":
            each.metadata = nbformat.from_dict({})
        if lost != "names":
            each["id"] = f"other-{at}"
    if lost == "text":
        solution.cells = [each for each in solution.cells if each.cell_type == "code"]
    if lost == "order":
        solution.cells.reverse()
    code = {part.name for part in parts_of(release) if lost != "text" or not part.by_hand}
    found = find(solution, release)
    assert found.answers.keys() == code
    assert {name: found.answers[name].strip() for name in code} == {
        name: answers[name].strip() for name in code
    }
    assert [name for name in code if lost != "order" and f"`{name}`" not in str(found.notes)] == []


@pytest.mark.parametrize("name", sorted(path.stem for path in (COURSE / "student").glob("*")))
@pytest.mark.parametrize("handed_out", [True, False])
@pytest.mark.parametrize("handed_in", [True, False])
def test_the_cell_that_installs_the_package_may_be_there_or_not(name, handed_out, handed_in):
    release = nbformat.read(COURSE / "student" / f"{name}.ipynb", as_version=4)
    solution = read((COURSE / "solutions" / f"{name}.ipynb").read_bytes())
    answers = find(solution, release).answers
    assert all("%pip install" in whole.cells[0].source for whole in (release, solution))
    del release.cells[: not handed_out], solution.cells[: not handed_in]
    found = find(solution, release)
    assert (found.answers, found.notes) == (answers, [])
    # It runs before all that was handed out, in the student's process, and installs nothing there.
    before = found.added.get(-1, [])
    assert len(before) == handed_in
    assert "pip" not in "".join(ast.unparse(ast.parse(each)) for each in before)


@pytest.mark.parametrize("source", ["%a\n" * 20, "-" * 1500 + "1", "é = 1\n" * 500])
def test_a_notebook_that_is_all_mischief_is_read_in_time(source):
    cells = [named(GIVEN + "\n" + source, "given", False) for _ in range(200)]
    cells += [new_code_cell(source) for _ in range(200)]
    begun = time.process_time()
    rebuild(nbformat.v4.new_notebook(cells=cells), RELEASE)
    assert time.process_time() - begun < 60
