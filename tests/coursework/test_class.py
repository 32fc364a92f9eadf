"""A class of thirty, graded with the commands of INSTRUCTORS.md, hostile submissions included."""

import csv
import importlib
import re
import shutil
import socket
import threading

import nbformat
import pytest
from conftest import COURSE
from variants import variants_of

NAME = "01-gaussians"
POINTS = 19  # of 22: three are given by hand
# The prior term on its own feet, so that whoever lacks part 3 lacks only that.
PRIOR = """def prior_kl(mean, log_variance):
    return 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(dim=1)"""
KL = """def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    ratio = (log_variance_1 - log_variance_2).exp()
    distance = (mean_1 - mean_2) ** 2 / log_variance_2.exp()
    return 0.5 * (ratio - 1 + distance + log_variance_2 - log_variance_1)"""
UNANSWERED = "def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):\n    {}"
WITHOUT_KL = POINTS - 3


def solution():
    return nbformat.read(COURSE / "source" / NAME / f"{NAME}.ipynb", as_version=4)


def named(notebook, name):
    (found,) = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name]
    return found


def with_kl(source):
    notebook = solution()
    named(notebook, "prior-answer").source = PRIOR
    named(notebook, "kl-answer").source = source
    return notebook


def with_variant(variant):
    notebook = solution()
    named(notebook, f"{variant.part}-answer").source = variant.source
    return notebook


def add(notebook, name, source):
    at = notebook.cells.index(named(notebook, name))
    notebook.cells.insert(at, nbformat.v4.new_code_cell(source))
    return notebook


def deleted_cells():
    notebook = with_kl("")
    for name in ("kl-answer", "kl"):
        notebook.cells.remove(named(notebook, name))
    return notebook


def copied_cells():
    notebook = with_kl(UNANSWERED.format("raise NotImplementedError"))
    copy = nbformat.from_dict(named(notebook, "kl"))
    copy.source = "pass"
    notebook.cells += [copy, copy]
    return notebook


def changed_test():
    notebook = with_kl(UNANSWERED.format("raise NotImplementedError"))
    test = named(notebook, "kl")
    test.source = "print('all fine')"
    test.metadata["nbgrader"]["points"] = 100
    test.metadata["nbgrader"]["locked"] = False
    return notebook


MONKEY = """import builtins, sys, torch, numpy, ddpm_tutorial.coursework
builtins.AssertionError = builtins.NotImplementedError = ValueError
torch.allclose = numpy.allclose = lambda *a, **k: True
ddpm_tutorial.coursework.check = check = lambda *a, **k: None
torch.Tensor.__sub__ = lambda a, b: a * 0
class Everything(float):
    __eq__ = lambda a, b: True
def kl_normal(*arguments):
    return Everything(1)"""
WORMS = "import os\nwhile True:\n    os.fork()"
GROWING = """held = []
while True:
    held.append(bytearray(2**26))"""


def hostile(course, port):
    """For each: the file, the points that its honest work is worth, what the feedback must say."""
    digger = f"""import glob
for path in glob.glob({str(course)!r} + "/**/*.ipynb", recursive=True):
    text = open(path).read()
    if "BEGIN SOLUTION" in text:
        print("found the solution")
open({str(course / "source" / NAME / NAME)!r} + ".ipynb").read()
{KL}"""
    writer = f"""for path in ({str(course / "gradebook.db")!r}, {str(course / "grade.py")!r}):
    try:
        open(path, "w").write("gone")
        print("written to", path)
    except OSError:
        pass
{KL}"""
    caller = f"""import socket
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=2).sendall(b"the tests, please")
    print("a connection was made")
except OSError:
    pass
{KL}"""
    return {
        "loop": (with_kl(UNANSWERED.format("while True: pass")), WITHOUT_KL, "does not end"),
        "loop-in-cell": (with_kl(f"{KL}\nwhile True: pass"), WITHOUT_KL, "does not end"),
        "allocation": (
            with_kl(UNANSWERED.format("return __import__('torch').ones(10**12)")),
            WITHOUT_KL,
            "memory",
        ),
        "growing": (with_kl(GROWING), WITHOUT_KL, "emory"),
        "forks": (with_kl(WORMS), WITHOUT_KL, ""),
        "exit": (with_kl(UNANSWERED.format("exit()")), WITHOUT_KL, "SystemExit"),
        "os-exit": (with_kl(UNANSWERED.format("__import__('os')._exit(0)")), WITHOUT_KL, "ended"),
        "deleted": (deleted_cells(), WITHOUT_KL, "not been answered"),
        "copied": (copied_cells(), WITHOUT_KL, "not been answered"),
        "changed": (changed_test(), WITHOUT_KL, "not been answered"),
        "monkey": (with_kl(MONKEY), None, ""),
        "importer": (
            with_kl("from ddpm_tutorial import kl_normal"),
            WITHOUT_KL,
            "write it yourself",
        ),
        "digger": (with_kl(digger), WITHOUT_KL, "FileNotFoundError"),
        "writer": (with_kl(writer), POINTS, ""),
        "caller": (with_kl(caller), POINTS, ""),
        "printer": (with_kl(f"{KL}\nfor _ in range(10**5): print('x' * 999)"), POINTS, "and so on"),
    }


@pytest.fixture(scope="module")
def graded(course, run):
    """Run the commands on thirty submissions; everything that can be asked of it afterwards."""
    server = socket.create_server(("127.0.0.1", 0))
    connections = []

    def accept():
        while True:
            try:
                connections.append(server.accept())
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    variants = variants_of(importlib.import_module(f"variants_{NAME.replace('-', '_')}"))
    right = [variant for variant in variants if variant.hint is None][::8]
    wrong = [v for v in variants if v.hint is not None and v.part in ("density", "score")][::6]
    expected = {name: (solution(), POINTS, "") for name in ("solution", "late", "max", "max_m")}
    expected |= {f"right{k}": (with_variant(v), POINTS, "") for k, v in enumerate(right)}
    expected |= {f"wrong{k}": (with_variant(v), None, v.hint) for k, v in enumerate(wrong)}
    expected |= hostile(course, server.getsockname()[1])
    archive = course / "downloaded" / NAME / "archive"
    archive.mkdir(parents=True)
    on_time = "2027-01-31T1200_"
    for student, (notebook, _, _) in expected.items():
        when = "2027-02-02T1200_" if student == "late" else on_time
        nbformat.write(notebook, archive / f"{student}_{when}{NAME}.ipynb")
    shutil.copy(COURSE / "student" / f"{NAME}.ipynb", archive / f"untouched_{on_time}{NAME}.ipynb")
    nbformat.write(solution(), archive / f"misnamed_{on_time}my work (2).ipynb")
    (archive / f"no-notebook_{on_time}{NAME}.ipynb").write_text("Dear professor, my laptop broke.")
    (archive / f"latin_{on_time}{NAME}.ipynb").write_bytes('{"cells": "né"}'.encode("latin-1"))
    (archive / f"huge_{on_time}{NAME}.ipynb").write_bytes(b"x" * (30 * 2**20))
    expected |= {
        "untouched": (None, 0, "not been answered"),
        "misnamed": (None, POINTS, "was called"),
        "no-notebook": (None, 0, "cannot be read"),
        "latin": (None, 0, "UTF-8"),
        "huge": (None, 0, "20 MB"),
    }
    # The first three commands get the course; they are what made this one.
    guide = (COURSE / "INSTRUCTORS.md").read_text(encoding="utf-8")
    block = re.search(r"```console\n(.*?)```", guide, re.S)
    commands = [line.removeprefix("$ ") for line in block[1].splitlines()][3:]
    commands[-1] = commands[-1].replace("s01 s02", "solution loop")
    said = [run(command) for command in commands]
    server.close()
    with open(course / "grades.csv", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    return course, expected, rows, said, connections


def feedback_of(course, student):
    return (course / "feedback" / student / NAME / f"{NAME}.html").read_text(encoding="utf-8")


def test_the_class_is_graded_in_ten_commands(graded):
    course, expected, rows, said, _ = graded
    assert len(expected) >= 30
    assert set(rows) == set(expected)
    assert len(said) == 7
    assert "NOT GRADED" not in said[3]
    assert (course / "gradebook.db").read_bytes().startswith(b"SQLite")


def test_everyone_gets_what_is_deserved_and_is_told_why(graded):
    course, expected, rows, _, _ = graded
    for student, (_, points, message) in expected.items():
        reached = float(rows[student]["raw_score"])
        if points is None:
            assert reached < POINTS, student
        else:
            assert reached == points, student
        assert message in feedback_of(course, student).replace("&#39;", "'"), student


def test_a_day_late_costs_a_tenth(graded):
    _, _, rows, _, _ = graded
    assert float(rows["late"]["late_submission_penalty"]) == pytest.approx(POINTS / 10)
    assert float(rows["late"]["score"]) == pytest.approx(POINTS * 0.9)
    assert float(rows["solution"]["late_submission_penalty"]) == 0


def test_nothing_got_out(graded):
    course, _, _, _, connections = graded
    assert not connections
    kept = (course / "submitted/solution" / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8")
    assert kept.strip() == nbformat.writes(solution())  # what was handed in stays as it was
    for student in ("caller", "writer", "digger"):
        path = course / "autograded" / student / NAME / f"{NAME}.ipynb"
        outputs = named(nbformat.read(path, as_version=4), "kl-answer").outputs
        assert not [output for output in outputs if output.output_type == "stream"], student
    assert (course / "grade.py").read_bytes() == (COURSE / "grade.py").read_bytes()
    for name in ("nbgrader_config.py", f"source/{NAME}/{NAME}.ipynb"):
        assert (course / name).read_bytes() == (COURSE / name).read_bytes()


def test_hints_are_folded_in_the_feedback(graded):
    course, *_ = graded
    pages = [path.read_text(encoding="utf-8") for path in course.glob("feedback/*/*/*.html")]
    assert any("<details><summary>A hint</summary>" in page for page in pages)
    assert not any("&lt;details&gt;" in page for page in pages)


def test_the_feedback_names_the_parts_and_what_still_waits(graded):
    course, *_ = graded
    page = feedback_of(course, "solution")
    assert f"{NAME}: {POINTS} of 22 points so far (1 part to be marked)" in page
    assert '<a href="#kl">Part 3: the divergence of two normal distributions</a>' in page
    assert page.count("This part waits to be marked by a person") == 2  # at the top, and there
    assert "to be marked" not in feedback_of(course, "untouched")


def test_feedback_shows_no_hidden_test(graded):
    course, expected, _, _, _ = graded
    for student in expected:
        page = feedback_of(course, student)
        assert "HIDDEN TESTS" not in page
        assert "kl_divergence" not in page or student in ("right1", "right2", "right3", "right4")


def test_a_monkeypatch_changes_nothing_for_the_tests(graded):
    course, _, rows, _, _ = graded
    assert float(rows["monkey"]["raw_score"]) <= WITHOUT_KL
    autograded = nbformat.read(
        course / "autograded" / "monkey" / NAME / f"{NAME}.ipynb", as_version=4
    )
    assert any(output.output_type == "error" for output in named(autograded, "kl").outputs)
