"""Tables of learning platforms: who is in the class, and the grades back in the same form."""

import re

import pytest
from conftest import COURSE
from grading.collect import Form as Names
from grading.collect import OddError, Upload, whose
from grading.roster import column_for, fill, people, platform_of
from grading.table import MOST_ROWS, TableError, read_table, write_table

CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Gaussians (4711),Essay (4712),Current Score
,,,,,Manual Posting,,
    Points Possible,,,,,17.00,10.00,(read only)
"Abel, Anna",101,20230001,abel,Group 1,12.00,9.00,75
"Cohen, Ben",102,20230002,cohen,"Group 1 and Group 2",,8.00,
"Diaz, Cleo",103,20230003,diaz,Group 2,EX,7.00,
"Student, Test",199,,test,Group 2,,,
"""
MOODLE = """First name,Surname,ID number,Institution,Department,Email address,\
Assignment: 01-gaussians (Real),Course total (Real),Last downloaded from this course
Anna,Abel,20230001,,,abel@example.org,-,-,1700000000
Ben,Cohen,20230002,,,cohen@example.org,9.00,9.00,1700000000
"""
WORKSHEET = """Identifier,Full name,Email address,Status,Grade,Maximum grade,\
Grade can be changed,Last modified (submission),Last modified (grade),Feedback comments
Participant 11,Anna Abel,abel@example.org,Submitted for grading,,100.00,Yes,-,-,
Participant 12,Ben Cohen,cohen@example.org,No submission,,100.00,Yes,-,-,"Well, well"
"""


@pytest.fixture
def table(tmp_path):
    def read(text):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_table(path)

    return read


def written(filled, tmp_path):
    write_table(tmp_path / "out.csv", filled.table)
    return (tmp_path / "out.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "by", "first"),
    [
        (CANVAS, "", ("101", "Anna", "Abel", "")),
        (CANVAS, "SIS Login ID", ("abel", "Anna", "Abel", "")),
        (CANVAS.replace(",", ";").replace("; ", ", "), "sis user id",
         ("20230001", "Anna", "Abel", "")),
        (MOODLE, "", ("abel@example.org", "Anna", "Abel", "abel@example.org")),
        (MOODLE.replace("Surname", "Last name"), "ID number",
         ("20230001", "Anna", "Abel", "abel@example.org")),
        (b"\xef\xbb\xbf" + WORKSHEET.encode(), "", ("11", "Anna", "Abel", "abel@example.org")),
    ],
)  # fmt: skip
def test_the_class_is_read_from_each_platforms_table(table, text, by, first):
    found = people(table(text), by)
    assert found[0][:4] == first
    assert len(found) == (3 if "Student" in str(text)[:12] else 2)  # no points, no test student


def test_canvas_gets_its_columns_and_the_one_that_is_filled(table, tmp_path):
    canvas = table(CANVAS)
    filled = fill(canvas, "", column_for(canvas, "01-gaussians"), {"101": 15.3, "103": 17}, 17)
    assert written(filled, tmp_path) == (
        "Student,ID,SIS User ID,SIS Login ID,Section,Gaussians (4711)\n"
        ",,,,,Manual Posting\n"
        "    Points Possible,,,,,17.00\n"
        '"Abel, Anna",101,20230001,abel,Group 1,15.3\n'
        '"Cohen, Ben",102,20230002,cohen,Group 1 and Group 2,\n'
        '"Diaz, Cleo",103,20230003,diaz,Group 2,EX\n'
        '"Student, Test",199,,test,Group 2,\n'
    )
    assert filled.written == ["101"]
    assert filled.notes == ["103: EX was left as it is"]


def test_moodle_gets_its_table_with_other_grades(table, tmp_path):
    moodle = table(MOODLE)
    filled = fill(moodle, "", column_for(moodle, "01-gaussians"), {"abel@example.org": 0}, 17)
    assert written(filled, tmp_path) == MOODLE.replace("org,-,-", "org,0,-")


def test_the_worksheet_gets_its_own_points(table, tmp_path):
    sheet = table(WORKSHEET)
    with pytest.raises(TableError, match=r"line 2: .*counts 100 points.* 17: .*--scale"):
        fill(sheet, "", "Grade", {"11": 8.5}, 17)
    filled = fill(sheet, "", column_for(sheet, "01-gaussians"), {"11": 8.5, "77": 1}, 17, True)
    assert written(filled, tmp_path) == WORKSHEET.replace("grading,,", "grading,50,")
    assert filled.notes == ["graded, but not in table.csv: 77"]


def test_a_column_with_other_points_is_refused(table):
    with pytest.raises(TableError, match=r"line 4: Canvas counts 10 points .* has 17"):
        fill(table(CANVAS), "", "Essay (4712)", {"101": 3}, 17)


@pytest.mark.parametrize("column", ["ID", "section", "Student"])
def test_a_column_that_says_who_somebody_is_is_never_filled(table, column):
    with pytest.raises(TableError, match="says who a student is"):
        fill(table(CANVAS), "", column, {"101": 3}, 17)


@pytest.mark.parametrize(
    ("text", "by", "said"),
    [
        ("", "", "is empty"),
        ("a,b\n1,2\n", "", "line 1: these are no platform's columns"),
        (CANVAS.replace("102,", "101,"), "", "line 5: '101' stands in line 4 already"),
        (CANVAS.replace("cohen", "ABEL"), "SIS Login ID", "line 5: 'ABEL' stands in line 4"),
        (CANVAS.replace("abel", ""), "SIS Login ID", "line 4: no SIS Login ID here: .*--by"),
        (CANVAS.replace("abel", "../abel"), "SIS Login ID", "line 4: .* cannot be a folder"),
        (CANVAS.replace("abel", "a" * 61), "SIS Login ID", "line 4: .* cannot be a folder"),
        (CANVAS.replace("abel", "a\0b"), "", "line 4: "),
        (CANVAS.replace("abel", "a\x1b[2Jb"), "", r"line 4: there is a control character, '\\x1b'"),
        (CANVAS.replace('"Abel, Anna"', "Abel, Anna"), "", "line 4: 9 cells under 8 columns"),
        (CANVAS.replace('"Abel, Anna"', '"Abel, Anna'), "", "line .*quote"),
        (CANVAS.encode().replace(b"Cleo", b"Cl\xe9o"), "", "line 6: this is not UTF-8: save"),
        (CANVAS, "Login", "line 1: no column is called 'Login'; there are 'Student'"),
        (CANVAS.replace("SIS User ID", "ID"), "", "line 1: more than one column is called 'ID'"),
        ("Student,ID,Section\n" * 2 * MOST_ROWS, "", "more than 20000 rows"),
        (CANVAS.splitlines()[0], "", "there is no student"),
        (b"x" * 11 * 2**20, "", "more than 10 MB"),
    ],
)
def test_what_is_odd_is_refused_in_one_line_that_says_where(table, text, by, said):
    with pytest.raises(TableError, match=said) as refused:
        people(table(text), by)
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) <= 600


def test_the_line_is_that_of_the_file_where_cells_have_several(table):
    text = CANVAS.replace('"Abel, Anna"', '"Abel,\nAnna"').replace("102,", "101,")
    with pytest.raises(TableError, match=r"line 6: '101' stands in line 4 already"):
        people(table(text))


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(TableError, match=r"no\.csv cannot be read: No such file"):
        read_table(tmp_path / "no.csv")


def test_a_column_is_guessed_only_if_one_fits(table):
    twice = table(CANVAS.replace("Essay", "Gaussians again"))
    with pytest.raises(TableError, match="Name it with --column"):
        column_for(twice, "01-gaussians")


GUIDE = (COURSE / "INSTRUCTORS.md").read_text(encoding="utf-8")
CONFIG = (COURSE / "nbgrader_config.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("platform", "name", "student"),
    [
        ("Canvas", "abelanna_101_5551_01-gaussians.ipynb", "101"),
        ("Canvas", "abelanna_LATE_101_5551_anna_01-gaussians-1.ipynb", "101"),
        ("Canvas", "abelanna_101_5551_102_6_anna_01-gaussians.ipynb", "101"),
        ("Canvas", "anna_01-gaussians.ipynb", None),
        ("Moodle", "Anna Abel_11_assignsubmission_file_anna_01-gaussians.ipynb", "11"),
        ("Moodle", "Anna Abel_11_assignsubmission_file", "11"),
        ("Moodle", "Anna Abel_11_assignsubmission_file_12_assignsubmission_file_x.ipynb", "11"),
    ],
)
def test_the_patterns_of_the_settings_read_the_platforms_names(platform, name, student):
    (line,) = [each for each in CONFIG.splitlines() if f"# {platform}: " in each]
    pattern = line.partition('r"')[2].partition('"')[0]
    upload = Upload(name, [], False)
    if student is None:
        with pytest.raises(OddError):
            whose(upload, "01-gaussians", Names([pattern], "", "UTC"))
    else:
        assert whose(upload, "01-gaussians", Names([pattern], "", "UTC")).student == student


def test_the_examples_of_the_guide_are_read(table, tmp_path):
    blocks = re.findall(r"```(?:text|python)\n(.*?)```", GUIDE, re.S)
    tables = [block for block in blocks if re.match("Student,ID|First name,|Identifier,", block)]
    known = {}
    for text in tables:
        found = table(text)
        known[platform_of(found).name] = [person.student for person in people(found)]
        assert column_for(found, "01-gaussians")
    assert list(known) == ["Canvas", "Moodle", "Moodle's worksheet"]
    (names,) = [block for block in blocks if block.startswith("Canvas: ")]
    patterns = [each for each in blocks if each.startswith("c.Collect.prefixes = ")]
    assert all(f"# {pattern.strip()}" in CONFIG for pattern in patterns)
    for line in names.splitlines():
        platform, name = line.split(": ")
        of_canvas = platform.startswith("Canvas")
        form = Names([patterns[not of_canvas].partition('r"')[2].partition('"')[0]], "", "UTC")
        student = whose(Upload(name.partition("/")[0], [], False), "01-gaussians", form).student
        anna = "anna" in name.casefold()
        assert student == known["Canvas" if of_canvas else "Moodle's worksheet"][not anna]
    (line,) = re.findall(r"line may then read `(.*?)`", GUIDE)
    filled = fill(table(tables[0]), "", "Gaussians (4711)", {"101": 17.5}, 22)
    assert line in written(filled, tmp_path).splitlines()
