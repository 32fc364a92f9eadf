"""What was handed in, whatever it is: what the grader makes of it, and what it says of it."""

import json
import os

import nbformat
import pytest
from conftest import notebook
from grading.intake import LARGEST, MOST_CELLS, MOST_TEXT, NOTE, read, take_in, when


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
    write(release, folder / "another.ipynb")
    assert "handed in: `another.ipynb`, `mine.ipynb`" in take_it()[0]


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
