"""Every assignment through the whole grader: solutions get all points, untouched files none.

Not among the unit tests, since it takes minutes: `make test-coursework` runs it.
"""

import csv
import shutil
import time

import nbformat
import pytest
from conftest import COURSE

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
