"""What a term brings: a roster, more time, a request, an interruption, the grades back."""

import re
import signal
import time

import grade
import nbformat
import psutil
import pytest
from conftest import COURSE
from nbgrader.api import Gradebook
from test_class import KL, NAME, UNANSWERED, named, solution

CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Gaussians (4711)
    Points Possible,,,,,22.00
"Abel, Anna",101,1,anna,Group 1,
"Cohen, Ben",102,2,ben,Group 1,3.00
"Diaz, Cleo",103,3,cleo,Group 1,5.00
"""


def hand_in(course, student, kl, when, nearest="YOUR ANSWER HERE"):
    notebook = solution()
    named(notebook, "kl-answer").source = kl
    named(notebook, "nearest").source = nearest  # as handed out, it waits for no mark
    folder = course / "submitted" / student / NAME
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{NAME}.ipynb")
    (folder / "timestamp.txt").write_text(when)


def mark(course, student):
    """As Formgrader does."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        grade = gradebook.find_grade("nearest", NAME, NAME, student)
        grade.manual_score, grade.needs_manual_grade = 2.0, False
        comment = gradebook.find_comment("nearest", NAME, NAME, student)
        comment.manual_comment = "The second half is missing."
        gradebook.db.commit()


@pytest.fixture(scope="module")
def term(course, run):
    """What each command of the term printed."""
    said = {}
    (course / "canvas.csv").write_text(CANVAS)
    run(f"nbgrader generate_assignment {NAME}")
    run(f'nbgrader db assignment add {NAME} --duedate "2027-02-01 23:59 UTC"')
    without = UNANSWERED.format("raise NotImplementedError()")
    hand_in(course, "anna", KL, "2027-02-02 12:00 UTC")
    hand_in(course, "ben", without, "2027-02-02 12:00 UTC", "The moments fit.")
    granted = f"student,assignment,due,days\nanna,{NAME},,1\nann,{NAME},,1\n"
    (course / "extensions.csv").write_text(granted)
    said["enrol"] = run(f"python roster.py enrol canvas.csv {NAME} --by 'SIS Login ID'")
    said["first"] = run(f"python grade.py {NAME} --jobs 2")
    mark(course, "ben")
    (course / "extensions.csv").write_text(f"{granted}cleo,{NAME},,1\n")
    said["nothing new"] = run(f"python grade.py {NAME} --new")
    hand_in(course, "ben", KL, "2027-02-02 12:00 UTC", "The moments fit.")
    asked = f"student,assignment,part,reason\nben,{NAME},kl,the upload was cut off\n"
    (course / "regrades.csv").write_text(asked)
    said["again"] = run(f"python grade.py {NAME} --regrades")
    said["fill"] = run(f"python roster.py fill canvas.csv {NAME} --by 'SIS Login ID'")
    run(f"nbgrader generate_feedback {NAME} --force")
    return course, said


def line_of(text, begin):
    (found,) = [line for line in text.splitlines() if line.startswith(begin)]
    return " ".join(found.split())


def test_the_class_is_entered_and_who_is_missing_named(term):
    _, said = term
    assert said["enrol"].splitlines() == [
        "3 students of Canvas, as anna, say",
        "nothing handed in yet: cleo",
    ]


def test_more_time_is_counted_and_a_slip_in_the_file_named(term):
    _, said = term
    until = "extended to 2027-02-02 23:59 UTC"
    assert line_of(said["first"], "anna ") == f"anna 19 of 22 {until}"
    assert line_of(said["first"], "ben ") == (
        "ben 14 of 22, 1.4 off, to be marked by hand"  # 19 less kl and prior
    )
    assert "extensions.csv, line 3: nobody here is called ann\n" in said["first"]


def test_the_class_is_summed_up(term):
    _, said = term
    found = line_of(said["first"], f"{NAME}: 2 graded")
    assert found == (
        f"{NAME}: 2 graded, mean 15.8 of 22, median 15.8, from 12.6 to 19; 1 late; "
        "to be marked by hand: 1"
    )
    assert line_of(said["first"], "Of the parts") == (
        "Of the parts graded by machine, most was lost in: "
        "kl 50% (by 1 of 2); prior 50% (by 1 of 2)"
    )


def test_what_was_graded_on_what_is_there_is_left_out(term):
    _, said = term
    assert "2 of 2 are graded on what is there now: left out\n" in said["nothing new"]
    assert "\nanna " not in said["nothing new"]


def test_a_request_is_graded_marked_and_compared(term):
    course, said = term
    asked = "Graded again on request (kl: the upload was cut off)."
    assert line_of(said["again"], "ben ") == (
        "ben 21 of 22, 2.1 off was 14.6 of 22: kl 0 -> 3, prior 0 -> 2, off 1.4 -> 2.1. " + asked
    )
    assert "\nanna " not in said["again"]
    assert line_of(said["again"], "Changed") == "Changed since they were graded before: ben"
    page = (course / f"feedback/ben/{NAME}/{NAME}.html").read_text(encoding="utf-8")
    assert asked in page
    assert "The second half is missing." in page
    assert "to be marked" not in page  # the answer is the same, so the mark stays


def test_the_grades_go_back_in_canvas_form(term):
    course, said = term
    assert (course / f"canvas-{NAME}.csv").read_text().splitlines() == [
        "Student,ID,SIS User ID,SIS Login ID,Section,Gaussians (4711)",
        "    Points Possible,,,,,22.00",
        '"Abel, Anna",101,1,anna,Group 1,19',
        '"Cohen, Ben",102,2,ben,Group 1,18.9',
        '"Diaz, Cleo",103,3,cleo,Group 1,5.00',
    ]
    assert said["fill"].splitlines() == [f"2 grades under 'Gaussians (4711)' in canvas-{NAME}.csv"]


def test_feedback_is_one_file_that_asks_for_no_login(term):
    course, _ = term
    page = (course / f"feedback/anna/{NAME}/{NAME}.html").read_text(encoding="utf-8")
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"([^\"]*)\"", page)
    from_elsewhere = [each for each in loaded if not each.startswith("data:")]
    assert all(
        each.startswith("https://cdnjs.cloudflare.com/ajax/libs/mathjax/")
        for each in from_elsewhere
    )
    assert len(loaded) > len(from_elsewhere)  # the pictures are in it
    guide = (COURSE / "INSTRUCTORS.md").read_text(encoding="utf-8")
    assert "MathJax, comes from the network" in guide


def test_an_interruption_leaves_no_process_behind(monkeypatch):
    monkeypatch.setattr(grade, "grade_one", lambda assignment, student: time.sleep(60))

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    running = grade.grade_all("x", ["a", "b", "c"], 2)
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    try:
        signal.setitimer(signal.ITIMER_REAL, 2)
        with pytest.raises(KeyboardInterrupt):
            next(running)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    running.close()
    left = {child.pid for child in psutil.Process().children(recursive=True)} - children
    for _ in range(50):
        if not any(
            psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in left
        ):
            return
        time.sleep(0.1)
    pytest.fail("a process of the pool goes on")
