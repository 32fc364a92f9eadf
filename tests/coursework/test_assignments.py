"""The assignments as files: made from the source, nothing in them that should not be."""

import ast
import importlib.util
import re
from itertools import groupby

import nbformat
import pytest
from appendices import appendices_of
from assignment_equations import NUMBER
from chapters import numbered_equations
from conftest import COURSE, ROOT
from grading.cells import read_cells
from grading.magics import plain

NAMES = sorted(path.stem for path in COURSE.glob("source/*/*.ipynb"))


def load(script):
    spec = importlib.util.spec_from_file_location(script, ROOT / "tools" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_of(name):
    return nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)


def student_text(name):
    return (COURSE / "student" / f"{name}.ipynb").read_text(encoding="utf-8")


def prose_of(name):
    cells = source_of(name).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def between(source, what):
    return re.findall(rf"### BEGIN {what}(.*?)### END {what}", source, re.S)


def contents(notebook):
    return [(cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]


@pytest.fixture(scope="module")
def make():
    return load("make_assignments")


def test_there_are_eight_and_the_book_has_them_all():
    toc = (ROOT / "book/_toc.yml").read_text(encoding="utf-8")
    index = (COURSE / "index.md").read_text(encoding="utf-8")
    assert len(NAMES) == 8
    for name in NAMES:
        assert f"file: assignments/student/{name}\n" in toc
        assert f"<student/{name}.ipynb>" in index
    assert "file: assignments/INSTRUCTORS\n" in toc
    assert "assignments/source" not in toc
    assert "assignments/solutions" not in toc


@pytest.mark.parametrize("name", NAMES)
def test_what_is_made_is_not_stale(make, name, monkeypatch):
    monkeypatch.setenv("PATH", make.with_tools())
    for folder, version in (
        ("student", make.student_version),
        ("solutions", make.solution_version),
    ):
        committed = nbformat.read(COURSE / folder / f"{name}.ipynb", as_version=4)
        assert contents(version(name)) == contents(committed), "run: make assignments"


@pytest.mark.parametrize("name", NAMES)
def test_no_solution_and_no_hidden_test_leaks(name):
    released = "\n".join(
        cell.source for cell in nbformat.reads(student_text(name), as_version=4).cells
    )
    for mark in ("SOLUTION", "HIDDEN"):
        assert f"BEGIN {mark}" not in released
    shown = {line.strip() for line in released.splitlines()}
    for cell in source_of(name).cells:
        for secret in between(cell.source, "SOLUTION"):
            for line in (line.strip() for line in secret.splitlines()):
                assert len(line) < 25 or line not in shown, line
        # A hidden test may ask in the same words as the visible one before it.
        hidden = "".join(between(cell.source, "HIDDEN TESTS"))
        visible = {line.strip() for line in cell.source.replace(hidden, "").splitlines()}
        for line in {line.strip() for line in hidden.splitlines()} - visible:
            assert len(line) < 25 or line not in shown or line.startswith("from "), line


@pytest.mark.parametrize("name", NAMES)
def test_stubs_raise_and_never_return(name):
    for cell in read_cells(COURSE / "student" / f"{name}.ipynb"):
        if cell.kind != "answer":
            continue
        functions = [n for n in ast.parse(cell.source).body if isinstance(n, ast.FunctionDef)]
        assert functions, cell.part
        last = functions[-1].body[-1]
        assert isinstance(last, ast.Raise), cell.part
        assert ast.unparse(last) == "raise NotImplementedError()"


def imported(cells):
    """What these import, as pairs: a module, and a name of it or None."""
    for cell in cells:
        for node in ast.walk(ast.parse(plain(cell.source))):
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("name", NAMES)
def test_students_need_nothing_but_the_package(name):
    allowed = {"importlib", "math", "torch", "numpy", "matplotlib", "ddpm_tutorial"}
    cells = read_cells(COURSE / "student" / f"{name}.ipynb")
    for module, _ in imported(cells):
        assert module.split(".")[0] in allowed
    # No files either: a copy alone, in an empty folder, is enough.
    files = r"\bPath\b|\b(open|load|imread|loadtxt|read_text|read_bytes)\("
    assert not [cell.source for cell in cells if re.search(files, cell.source)]


@pytest.mark.parametrize("name", NAMES)
def test_the_package_is_used_from_its_root_and_as_the_grader_gives_it(name):
    path = COURSE / "source" / name / f"{name}.ipynb"
    cells = read_cells(path)
    faces = {"ddpm_tutorial.coursework": "coursework", "ddpm_tutorial.plotting": "plotting"}
    for module, _ in imported(cells):
        assert module in {"ddpm_tutorial", *faces} or not module.startswith("ddpm_tutorial")
    # The cells that run in the student's process, and what the text says may be imported.
    used = set(re.findall(r"`(\w+)\([^`]*\)` of `ddpm_tutorial`", prose_of(name)))
    for module, what in imported(cell for cell in cells if cell.kind != "test"):
        if module.startswith("ddpm_tutorial"):
            used.add(faces.get(module, what))
    assert sorted(source_of(name).metadata["grading"]["names"]) == sorted(used)


def numbers_in_the_book():
    """The number of each equation, by label, as its page prints it."""
    letters = dict(zip(appendices_of(ROOT / "book/_toc.yml"), "ABCDEFG", strict=False))
    found = {}
    for page, of_page in groupby(numbered_equations().values(), key=lambda each: each.page):
        above = letters.get(page) or str(int(page[:2]))
        found |= {each.label: f"{above}.{n}" for n, each in enumerate(of_page, start=1)}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_of_equations_are_those_of_the_book(name):
    for number, label in NUMBER.findall(prose_of(name)):
        assert numbers_in_the_book()[label] == number, label
    unnamed = re.findall(r"\((?:\d+|[A-D])\.\d+\)(?!<)", prose_of(name))
    assert not unnamed, (
        "name the label behind the number, as book/_ext/assignment_equations.py says"
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_part_has_its_section_its_minutes_and_its_points(name):
    prose = prose_of(name)
    parts = re.findall(r"^## Part (\d+): .*\((\d+) points, (\d+) minutes.*\n\n(.*)", prose, re.M)
    numbers, points, minutes, begin = zip(*parts, strict=True)
    assert [int(each) for each in numbers] == list(
        range(1, len(re.findall("^## Part ", prose, re.M)) + 1)
    )
    about = [cell.metadata.get("nbgrader", {}) for cell in source_of(name).cells]
    assert [int(each) for each in points] == [each["points"] for each in about if each.get("grade")]
    (said,) = re.findall(r"(\d+) minutes in all", prose)
    assert sum(int(each) for each in minutes) == int(said)
    for place in begin:
        (number, page), *_ = re.findall(
            r"^\*(Chapter \d+|Appendix B), \[[^\]]+\]\(\.\./\.\./([\w-]+)\.(?:ipynb|md)#[\w-]+\)",
            place,
        )
        assert number in (f"Chapter {page[:2].lstrip('0')}", "Appendix B"), place
        assert (number == "Appendix B") == (page == "gaussian-identities"), place


def test_the_guide_has_the_present_table_of_answers():
    variants = load("grade_variants")
    good = {name: [None] * len(variants.answers_to(name)) for name in NAMES}
    guide = (COURSE / "INSTRUCTORS.md").read_text(encoding="utf-8")
    assert variants.table(good) in guide, "run: python tools/grade_variants.py --write"
    right = [each.hint is None for name in NAMES for each in variants.answers_to(name)]
    count = f"There are {len(right) - sum(right)} wrong answers and {sum(right)} right ones"
    assert count in guide
