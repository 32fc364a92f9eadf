"""What was handed in, whatever it is: what the grader makes of it, and what it says of it."""

import json
import os
import shutil

import nbformat
import pytest
from conftest import COURSE, notebook
from grading.files import LARGEST_FILE, without_outputs
from grading.intake import LARGEST, MOST_CELLS, MOST_TEXT, NOTE, read, take_in, when
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def take(tmp_path, release):
    """A student's empty folder, one for what is taken in, and how to take it in: note and cells."""
    handed_out = tmp_path / "a.ipynb"
    nbformat.write(release, handed_out)
    folder, checked = tmp_path / "submitted/student/a", tmp_path / "checked/student/a"
    folder.mkdir(parents=True)

    def take_it(folder=folder):
        note = take_in(folder, checked, handed_out)
        taken = nbformat.read(checked / "a.ipynb", as_version=4)
        assert taken.metadata.get(NOTE, "") == note
        assert all(set(cell.metadata) <= {"nbgrader"} for cell in taken.cells)
        return note, [cell.source for cell in taken.cells]

    return folder, checked, take_it


def write(release, path):
    release.cells[0].source = "def f(x): return x + 1"
    nbformat.write(release, path)


def test_a_file_under_its_name_is_taken_and_left_as_it_is(take, release):
    folder, checked, take_it = take
    write(release, folder / "a.ipynb")
    before = (folder / "a.ipynb").read_bytes()
    assert take_it() == ("", [cell.source for cell in release.cells])
    assert (folder / "a.ipynb").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["a.ipynb"]
    assert [path.name for path in checked.iterdir()] == ["a.ipynb"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"x" * (LARGEST + 1), "20 MB"),
        (b"{}", "not a notebook"),
        (b"[" * 10**6, "not a notebook"),
        (b"[]", "not a notebook"),
        (b'{"cells": [3]}', "not a notebook"),
        (b'{"cells": [{"source": {}}]}', "no text"),
    ],
)
def test_a_file_that_cannot_be_read_is_replaced_by_what_was_handed_out(
    take, release, content, message
):
    folder, _, take_it = take
    (folder / "a.ipynb").write_bytes(content)
    note, sources = take_it()
    assert message in note
    assert "nothing could be graded" in note
    assert sources == [cell.source for cell in release.cells]
    assert take_it()[0] == note  # said again when graded again


def test_names_that_are_odd_get_a_note(take, release):
    folder, _, take_it = take
    assert "handed in: nothing" in take_it()[0]
    write(release, folder / "mine.ipynb")
    note, sources = take_it()
    assert "`mine.ipynb` instead of `a.ipynb`" in note
    assert sources[0] == "def f(x): return x + 1"
    (folder / "mine.ipynb").unlink()
    for name in ("mine.ipynb.txt", "mine.json", "MINE.IPYNB"):  # browsers and phones do that
        write(release, folder / name)
        assert f"`{name}` instead of `a.ipynb`" in take_it()[0]
        (folder / name).unlink()


def test_of_several_notebooks_the_one_with_most_answers_is_taken_or_the_newest(take, release):
    folder, _, take_it = take
    nbformat.write(release, folder / "a.ipynb")  # untouched
    (folder / "._a (1).ipynb").write_bytes(b"\0\5\26\7Mac OS X")
    (folder / "notes.json").write_text("{}")
    write(release, folder / "a (1).ipynb")
    os.utime(folder / "a (1).ipynb", (10**9, 10**9))
    note, sources = take_it()
    assert "handed in: `a (1).ipynb`, `a.ipynb`, `notes.json`. Graded is `a (1).ipynb`" in note
    assert sources[0] == "def f(x): return x + 1"
    release.cells[0].source = "def f(x): return 1 + x"
    nbformat.write(release, folder / "a (2).ipynb")
    assert take_it()[1][0] == "def f(x): return 1 + x"
    os.utime(folder / "a (2).ipynb", (0, 0))
    assert take_it()[1][0] == "def f(x): return x + 1"
    os.utime(folder / "a (2).ipynb", (10**9 + 3600, 10**9 + 3600))
    assert take_it()[1][0] == "def f(x): return 1 + x"


def test_what_macos_puts_beside_a_file_is_no_second_one(take, release):
    folder, _, take_it = take
    write(release, folder / "mine.ipynb")
    (folder / "._mine.ipynb").write_bytes(b"\0\5\26\7Mac OS X")
    (folder / ".ipynb_checkpoints").mkdir()
    note, sources = take_it()
    assert note == "The file was called `mine.ipynb` instead of `a.ipynb`."
    assert sources[0] == "def f(x): return x + 1"


def test_a_file_that_cannot_be_read_is_no_reason_to_leave_another(take, release):
    folder, _, take_it = take
    (folder / "a.ipynb").write_text("")  # a synchronised folder does that
    write(release, folder / "b.ipynb")
    note, sources = take_it()
    assert "Graded is `b.ipynb`" in note
    assert sources[0] == "def f(x): return x + 1"


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """All seven as they would be released, as far as this goes."""
    root = tmp_path_factory.mktemp("course")
    for path in (COURSE / "student").glob("*.ipynb"):
        (root / "release" / path.stem).mkdir(parents=True)
        shutil.copy(path, root / "release" / path.stem)
    shutil.copytree(COURSE / "source", root / "source")
    return root


NAMES = sorted(path.stem for path in (COURSE / "student").glob("*.ipynb"))


@pytest.mark.parametrize("kept", ["all", "no names", "answers"])
def test_the_work_for_another_assignment_is_said_to_be_that(releases, tmp_path, kept):
    for mine in NAMES:
        whole = nbformat.read(releases / "source" / mine / f"{mine}.ipynb", as_version=4)
        if kept == "answers":
            whole.cells = [c for c in whole.cells if c.metadata.get("nbgrader", {}).get("solution")]
        for cell in whole.cells if kept != "all" else []:
            cell.metadata.pop("nbgrader", None)
        for name in NAMES:
            folder = tmp_path / mine / name
            folder.mkdir(parents=True)
            nbformat.write(whole, folder / f"{name}.ipynb")
            release = releases / "release" / name / f"{name}.ipynb"
            note = take_in(folder, tmp_path / "checked", release)
            if mine == name:
                assert "work for" not in note
                assert "could be graded" not in note
            else:
                assert f"the work for `{mine}`, not for `{name}`" in note
                assert "nothing could be graded" in note


def test_of_two_assignments_files_the_right_one_is_taken(releases, tmp_path):
    folder = tmp_path / "submitted"
    folder.mkdir()
    for name, was in (("01-gaussians.ipynb", "03-forward"), ("x.ipynb", "01-gaussians")):
        shutil.copy(releases / "source" / was / f"{was}.ipynb", folder / name)
    release = releases / "release/01-gaussians/01-gaussians.ipynb"
    note = take_in(folder, tmp_path / "checked", release)
    assert "Graded is `x.ipynb`" in note


def test_outputs_are_dropped_before_the_size_is_judged(take, release):
    folder, _, take_it = take
    write(release, folder / "a.ipynb")
    whole = json.loads((folder / "a.ipynb").read_text())
    plot = {"output_type": "display_data", "data": {"a": [[]] * 10**5, "outputs": ["]"]}}
    whole["cells"][0]["outputs"] = [{"text": ']}"\\' + "x" * LARGEST}, plot]
    (folder / "a.ipynb").write_text(json.dumps(whole))
    assert (folder / "a.ipynb").stat().st_size > LARGEST
    assert take_it() == ("", [cell.source for cell in release.cells])


def test_a_file_has_a_size_for_all_that():
    with pytest.raises(ValueError, match="more than 300 MB"):
        read(b" " * (LARGEST_FILE + 1))


JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a"\\[]{}:é\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab]"), inner),
)


@settings(max_examples=40, deadline=None)
@given(before=JSON, outputs=st.lists(JSON), attached=st.dictionaries(st.text(), JSON), after=JSON)
def test_dropping_outputs_leaves_all_else_as_it_is(before, outputs, attached, after):
    cell = {"a": before, "outputs": outputs, "attachments": attached, "b": after, "c": "outputs"}
    for indent in (None, 1):
        text = json.dumps({"cells": [cell, "outputs"]}, indent=indent, ensure_ascii=False).encode()
        left = json.loads(without_outputs(text))
        assert left == {"cells": [cell | {"outputs": [], "attachments": {}}, "outputs"]}
        assert without_outputs(text[:-3]).startswith(text[:9])  # a file that was cut short


def test_faults_in_the_format_that_jupyter_forgives_cost_nothing(take, release):
    folder, _, take_it = take
    write(release, folder / "a.ipynb")
    notebook = json.loads((folder / "a.ipynb").read_text())
    notebook |= {"nbformat_minor": 2, "vscode": 1, "metadata": {"kernelspec": 3}}
    for cell in notebook["cells"]:
        cell |= {"id": "x.y" * 99, "vscode": {}, "outputs": [{"output_type": "stream"}]}
        cell["metadata"]["tags"] = 3
        del cell["execution_count"]
    (folder / "a.ipynb").write_text("\ufeff" + json.dumps(notebook), encoding="utf-8")
    assert take_it() == ("", [cell.source for cell in release.cells])


def test_answers_without_their_names_get_a_note(take):
    folder, _, take_it = take
    nbformat.write(notebook("def f(x): return x + 1"), folder / "a.ipynb")
    assert "None of the cells to be answered" in take_it()[0]


@pytest.mark.parametrize("text", ["2027-02-01 23:59:00 UTC", "2027-02-02T01:59:00+02:00"])
def test_a_time_of_handing_in_is_kept(take, release, text):
    folder, checked, take_it = take
    write(release, folder / "a.ipynb")
    (folder / "timestamp.txt").write_text(text)
    assert take_it()[0] == ""
    kept = (checked / "timestamp.txt").read_text()
    assert kept.startswith("2027-02-01 23:59:00")
    assert when(kept) == when(text)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2027-02-01 23:30 +01:00", "2027-02-01 22:30"),
        ("2027-02-01 23:30 +0100", "2027-02-01 22:30"),
        ("2027-02-01 23:30+01", "2027-02-01 22:30"),
        ("2027-02-01 20:00 -08:00", "2027-02-02 04:00"),
        ("2027-02-01 11:30 PM", "2027-02-01 23:30"),
        ("2027-02-01 12:05 am Europe/Berlin", "2027-01-31 23:05"),
        ("2027-07-01T2315", "2027-07-01 23:15"),
        ("2027-07-01 23:15:59.5 Europe/Berlin", "2027-07-01 21:15"),
        ("2027-02-01T23:15:07Z\n", "2027-02-01 23:15"),
        ("2027-02-01 23:15 utc", "2027-02-01 23:15"),
    ],
)
def test_a_time_is_read_in_its_zone(text, time):
    assert f"{when(text):%Y-%m-%d %H:%M}" == time


@pytest.mark.parametrize(
    "text",
    [
        "2027-02-01 20:00 PST",
        "2027-02-01 20:00 CET",  # of summer time, people say CET and mean CEST
        "2027-02-01 20:00 Europe/Atlantis",
        "2027-02-01 20:00 ../etc/passwd",
        "2027-02-01 20:00 +99:00",
        "2027-02-01 13:30 PM",
        "2027-02-01 24:30",
        "01/02/2027 20:00",
        "2027-02-30 20:00",
    ],
)
def test_a_time_that_is_not_understood_is_refused(take, release, text):
    folder, checked, take_it = take
    write(release, folder / "a.ipynb")
    (folder / "timestamp.txt").write_text(text)
    note = take_it()[0]
    assert "nothing counts as late. It should be `2027-02-01 23:59 +01:00`" in note
    assert not (checked / "timestamp.txt").exists()


@pytest.mark.parametrize(
    "content", [b"hello", b"", b"9999-12-31", b"\xff", b"1" * 10**6, b"0001-01-01"]
)
def test_a_time_that_is_none_is_said_and_costs_nothing(take, release, content):
    folder, checked, take_it = take
    write(release, folder / "a.ipynb")
    (folder / "timestamp.txt").write_bytes(content)
    note, sources = take_it()
    assert "nothing counts as late" in note
    assert sources == [cell.source for cell in release.cells]
    assert not (checked / "timestamp.txt").exists()


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["1"] * (MOST_CELLS + 1), "more than 500 cells"),
        (["x" * (MOST_TEXT + 1)], "characters"),
        (["'\ud800'"], "half a character"),
    ],
)
def test_notebooks_that_are_too_much(sources, message):
    cells = [{"cell_type": "code", "source": source} for source in sources]
    with pytest.raises(ValueError, match=message):
        read(json.dumps({"cells": cells}).encode())


def test_a_note_of_the_students_own_is_dropped(take, release):
    folder, _, take_it = take
    release.metadata[NOTE] = "Full marks, please."
    write(release, folder / "a.ipynb")
    (folder / "a.note").write_text("Full marks, please.")
    assert take_it()[0] == ""  # of what was taken in, too


@pytest.mark.parametrize("name", ["a.ipynb", "b.ipynb", "timestamp.txt", "data.bin"])
@pytest.mark.parametrize("kind", ["link", "dangling", "device", "pipe", "folder"])
def test_what_is_not_a_file_is_neither_followed_nor_copied_nor_written_to(
    take, tmp_path, release, name, kind
):
    folder, checked, take_it = take
    secret, new = tmp_path / "gradebook.db", tmp_path / "new"
    write(release, secret)
    before = secret.read_bytes()
    path = folder / name
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "dangling":
        path.symlink_to(new)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    note, _ = take_it()
    assert "There is no file `a.ipynb`" in note
    assert "no date" not in note  # not even read
    assert name == "timestamp.txt" or f"`{name}` (not a file)" in note
    assert [path.name for path in checked.iterdir()] == ["a.ipynb"]
    assert secret.read_bytes() == before
    assert not new.exists()


def test_a_folder_that_is_a_link_is_not_followed(take, release):
    folder, _, take_it = take
    write(release, folder / "a.ipynb")
    other = folder.parents[1] / "other"
    other.symlink_to(folder.parent)
    assert "is a link" in take_it(other / "a")[0]
    (folder.parent / "b").symlink_to(folder)
    assert "is a link" in take_it(folder.parent / "b")[0]
    assert "no folder" in take_it(folder / "a.ipynb")[0]
