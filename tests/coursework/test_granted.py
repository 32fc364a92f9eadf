"""More time, requests to be graded again, what the class reached, and what was graded already."""

import os
from datetime import datetime, timedelta

import pytest
from grade import terms_of
from grading.granted import extensions, extra_time, regrades, remark, unknown
from grading.progress import done, is_done, state
from grading.summary import Mark, change, summary
from grading.table import TableError

DUE = datetime(2027, 2, 1, 22, 59)
GRANTED = """student,assignment,due,days
s01,01-gaussians,2027-02-04 23:59 +01:00,
s02,*,,2
s02,02-bound,,"0,5"
s03,01-gaussians,2027-01-01 12:00,
"""


def write(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("student", "assignment", "extra"),
    [
        ("s01", "01-gaussians", timedelta(days=3)),
        ("s01", "02-bound", timedelta()),
        ("s02", "01-gaussians", timedelta(days=2)),
        ("s02", "02-bound", timedelta(hours=12)),
        ("s03", "01-gaussians", timedelta()),  # before the class's own date: nobody has less time
        ("s04", "01-gaussians", timedelta()),
    ],
)
def test_more_time_is_a_date_or_days(tmp_path, student, assignment, extra):
    granted = extensions(write(tmp_path, "extensions.csv", GRANTED))
    assert extra_time(granted, student, assignment, DUE) == extra


def test_without_a_file_nothing_is_said_about_extensions(tmp_path):
    assert extensions(tmp_path) is None
    assert regrades(tmp_path, "01-gaussians", ["kl"]) == []


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("s01,01-gaussians,,", "line 2: write either a date under due or a number under days"),
        ("s01,01-gaussians,2027-02-04 23:59,2", "line 2: write either"),
        ("s01,01-gaussians,tomorrow,", "line 2: 'tomorrow' is no time: write `2027-02-01 23:59"),
        ("s01,01-gaussians,2027-02-04 23:59 CST,", "line 2: .* is no time"),
        ("s01,01-gaussians,,-1", "line 2: '-1' is no number of days, from 0 to 366"),
        ("s01,01-gaussians,,nan", "line 2: 'nan' is no number of days"),
        ("s01,01-gaussians,,1e9", "line 2: '1e9' is no number of days"),
        ("../s01,01-gaussians,,1", "line 2: '../s01' is no student"),
        ("s01,../01,,1", "line 2: '../01' is no assignment"),
        ("s01,*,2027-02-04 23:59,", "line 2: one date for all assignments"),
        ("s01,a,,1\ns01,a,,2", "line 3: line 2 is for s01 and a too"),
        ("s01,a,,1,,more", "line 2: 6 cells under 4 columns"),
    ],
)
def test_extensions_that_are_odd_are_refused(tmp_path, row, said):
    write(tmp_path, "extensions.csv", f"student,assignment,due,days\n{row}\n")
    with pytest.raises(TableError, match=f"extensions.csv, {said}"):
        extensions(tmp_path)


ASKED = """student,assignment,part,reason
s01,01-gaussians,kl,"the <b>hint</b> is `wrong`"
s01,01-gaussians,,the upload was broken
s02,02-bound,gap,see my mail
"""


def test_requests_are_read_and_said_in_plain_text(tmp_path):
    asked = regrades(write(tmp_path, "regrades.csv", ASKED), "01-gaussians", ["kl", "prior"])
    assert [(one.student, one.part, one.line) for one in asked] == [
        ("s01", "kl", 2),
        ("s01", "", 3),
    ]
    said = remark(asked)
    assert said.startswith("Graded again on request (kl: the ")
    assert said.endswith("the upload was broken).")
    assert not set("<>`") & set(said)
    assert remark([]) == ""


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("s01,01-gaussians,kll,why", "line 2: 01-gaussians has no part 'kll'; it has kl, prior"),
        ("s01,01-gaussians,kl,", "line 2: no reason is given"),
        ("s01,*,,why", "line 2: name one assignment in each row"),
    ],
)
def test_requests_that_are_odd_are_refused(tmp_path, row, said):
    write(tmp_path, "regrades.csv", f"student,assignment,part,reason\n{row}\n")
    with pytest.raises(TableError, match=said):
        regrades(tmp_path, "01-gaussians", ["kl", "prior"])


def test_a_name_that_nobody_has_is_said(tmp_path):
    write(write(tmp_path, "regrades.csv", ASKED), "extensions.csv", GRANTED)
    assert unknown(tmp_path, "01-gaussians", {"s01", "s02"}) == [
        "extensions.csv, line 5: nobody here is called s03"
    ]


def mark(kl, prior, off=0.0, by_hand=False):
    return Mark({"kl": (kl, 3.0), "prior": (prior, 2.0)}, off, by_hand)


def test_what_changed_is_said_part_by_part():
    assert change(None, mark(3, 2)) == ""
    assert change(mark(3, 2), mark(3, 2)) == ""
    assert change(mark(0, 2), mark(3, 2)) == "was 2 of 5: kl 0 -> 3"
    assert change(mark(3, 2, off=1.0), mark(3, 2)) == "was 4 of 5: off 1 -> 0"
    assert change(mark(3, 0), mark(1, 2)) == "was 3 of 5: kl 3 -> 1, prior 0 -> 2"


def test_the_summary_has_number_mean_distribution_and_worst_parts():
    found = {"a": mark(3, 2), "b": mark(3, 2, off=0.5), "c": mark(0, 2), "d": mark(0, 0)}
    lines = summary("01-gaussians", found, ["c"]).splitlines()
    assert lines[0] == (
        "01-gaussians: 4 graded, mean 2.9 of 5, median 3.2, from 0 to 5; 1 late"
    )  # 5, 4.5, 2 and 0
    bars = [line.split() for line in lines[1:11]]
    assert [int(bar[4]) for bar in bars] == [1, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    assert [bar[5:] for bar in bars if int(bar[4])] == [["#"], ["#"], ["##"]]
    assert lines[11] == (
        "Of the parts graded by machine, most was lost in: "
        "kl 50% (by 2 of 4); prior 25% (by 1 of 4)"
    )
    assert lines[12] == "Changed since they were graded before: c"


def test_the_worst_parts_are_those_of_everybody_that_the_machine_grades():
    waits = Mark({"kl": (0, 3.0), "nearest": (0, 3.0)}, 0.0, True, frozenset({"nearest"}))
    marked = Mark({"kl": (3, 3.0), "nearest": (1, 3.0)}, 0.0, False, frozenset({"nearest"}))
    (said,) = [
        line for line in summary("a", {"a": waits, "b": marked}, []).splitlines() if "kl" in line
    ]
    assert said == "Of the parts graded by machine, most was lost in: kl 50% (by 1 of 2)"


def test_a_class_of_three_hundred_fits_on_a_line():
    lines = summary("a", {str(k): mark(3, 2) for k in range(300)}, []).splitlines()
    assert max(map(len, lines)) < 100
    assert "most was lost" not in "".join(lines)  # where nobody lost anything


def test_a_grading_is_done_until_something_that_it_rests_on_changes(tmp_path):
    release, submitted, checked = (tmp_path / name for name in ("r.ipynb", "submitted", "checked"))
    release.write_text("tests")
    submitted.mkdir()
    checked.mkdir()
    write(submitted, "r.ipynb", "answers")
    before = state(submitted, release, "due")
    assert not is_done(checked, before)
    done(checked, before)
    assert is_done(checked, state(submitted, release, "due"))
    os.utime(submitted / "r.ipynb", (0, 0))  # collected again
    assert is_done(checked, state(submitted, release, "due"))
    assert not is_done(checked, state(submitted, release, "later"))
    write(submitted, "timestamp.txt", "2027-02-01")
    assert not is_done(checked, state(submitted, release, "due"))
    (submitted / "timestamp.txt").unlink()
    release.write_text("other tests")
    assert not is_done(checked, state(submitted, release, "due"))


def test_only_those_whose_line_is_new_or_changed_are_graded_again(tmp_path, gradebook):
    gradebook.update_or_create_assignment("a", duedate="2027-02-01 23:59 UTC")
    gradebook.update_or_create_submission("a", "s02", extension=timedelta(hours=3))
    (tmp_path / "release/a").mkdir(parents=True)
    (tmp_path / "release/a/a.ipynb").write_text("tests")
    students = ["s01", "s02", "s03"]

    def states():
        terms = terms_of(gradebook, tmp_path, "a", students)
        return [terms[student].state(tmp_path, "a", student) for student in students]

    before, header = states(), "student,assignment,due,days\n"
    write(tmp_path, "extensions.csv", f"{header}s01,a,,2\ns02,a,,0.125\n")
    appeared = states()
    assert [one == other for one, other in zip(before, appeared, strict=True)] == [0, 1, 1]
    write(tmp_path, "extensions.csv", f"{header}s02,a,,0.125\ns03,a,,1\ns01,a,,2\n")
    more = states()
    assert [one == other for one, other in zip(appeared, more, strict=True)] == [1, 1, 0]
    write(tmp_path, "regrades.csv", "student,assignment,part,reason\ns02,a,,why\n")
    assert [one == other for one, other in zip(more, states(), strict=True)] == [1, 0, 1]


def test_no_link_or_pipe_of_a_student_is_opened(tmp_path):
    release, submitted = tmp_path / "r.ipynb", tmp_path / "submitted"
    release.write_text("tests")
    submitted.mkdir()
    (submitted / "link.ipynb").symlink_to("/etc/hostname")
    os.mkfifo(submitted / "pipe")  # reading it would wait for ever
    linked = state(submitted, release)
    (submitted / "link.ipynb").unlink()
    (submitted / "link.ipynb").symlink_to("/etc/passwd")
    assert state(submitted, release) == linked
