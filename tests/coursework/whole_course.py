"""Every assignment through the whole grader: solutions get all points, untouched files none.

Not among the unit tests, since it takes minutes: `make test-coursework` runs it.
"""

import csv
import shutil
import sys
import time

import nbformat
import pytest
from conftest import COURSE, ROOT

NAMES = sorted(path.stem for path in COURSE.glob("source/*/*.ipynb"))


@pytest.mark.parametrize("name", NAMES)
def test_solutions_get_all_and_untouched_files_nothing(course, run, name):
    run(f"nbgrader generate_assignment {name}")
    for student, version in (("solution", "solutions"), ("untouched", "student")):
        folder = course / "submitted" / student / name
        folder.mkdir(parents=True)
        shutil.copy(COURSE / version / f"{name}.ipynb", folder)
    for student in ("solution", "untouched"):
        begun = time.monotonic()
        run(f"python grade.py {name} --jobs 1 --student {student}")
        seconds = time.monotonic() - begun
        print(f"{name}, {student}: graded in {seconds:.0f} s")
        assert seconds < 120
    run("nbgrader export --to grades.csv")
    with open(course / "grades.csv", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file) if row["assignment"] == name}
    source = nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)
    graded = [cell.metadata.get("nbgrader", {}) for cell in source.cells]
    by_hand = sum(about["points"] for about in graded if about.get("grade") and about["solution"])
    assert float(rows["untouched"]["raw_score"]) == 0
    assert float(rows["solution"]["raw_score"]) == float(rows["solution"]["max_score"]) - by_hand


def test_a_variant_is_graded_with_the_same_commands(course, run):
    tool = f"{sys.executable} {ROOT / 'tools/make_assignments.py'}"
    run(f"{tool} --variant 2027a --into {course / 'variants/2027a'}")
    name, there = "01-gaussians", course / "variants/2027a"
    for student, version in (("own", there), ("public", COURSE)):
        folder = there / "submitted" / student / name
        folder.mkdir(parents=True)
        shutil.copy(version / "solutions" / f"{name}.ipynb", folder)
    run(f"cd {there} && nbgrader generate_assignment {name}")
    said = run(f"cd {there} && python grade.py {name} --jobs 1")
    assert "own                  17 of 17" in said
    assert "public               0 of 17" in said
    assert "2027a" not in (there / "student" / f"{name}.ipynb").read_text(encoding="utf-8")
