import errno
import os
import resource
import stat
from pathlib import Path

import pytest

from ddpm_tutorial import TutorialError, book_file, check_file, check_parent, write_atomically
from ddpm_tutorial.io import files

NAMES = ["results/terms.json", "../benchmarks/mnist.json"]


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch, function):
    path = tmp_path / "file"
    write_atomically(path, b"one")

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, full)
    with pytest.raises(TutorialError, match=r"No space left.*Free some space.*intact"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_that_stops_half_way_leaves_the_old_file_whole(tmp_path):
    """A real limit: the first 64 kB are written before the system refuses."""
    path = tmp_path / "file"
    write_atomically(path, b"one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    try:
        with pytest.raises(TutorialError, match=r"file \(0\.2 MB\): File too large.*intact"):
            write_atomically(path, bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_a_crash_half_way_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"one")

    def crash(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_two_programs_may_write_one_file_and_one_of_them_wins_whole(tmp_path, monkeypatch):
    """The second starts and ends while the first is between its last byte and its rename."""
    path, replace, once = tmp_path / "file", os.replace, []

    def late(part, target):
        if not once:
            once.append(part)
            write_atomically(path, b"second")
        replace(part, target)

    monkeypatch.setattr(os, "replace", late)
    write_atomically(path, b"first")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path):
    path = tmp_path / (251 * "x" + ".png")
    check_file(path)
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"


@pytest.mark.parametrize(
    "name", [400 * "x", "a\0b", "\udcff"], ids=["too long", "with a zero", "not in UTF-8"]
)
def test_a_name_that_no_file_can_have_is_refused_in_words(tmp_path, name):
    for check in (check_file, check_parent):
        with pytest.raises(
            TutorialError, match=r"cannot use the name .*: (File name|no name|'utf-8')"
        ):
            check(tmp_path / name)
    with pytest.raises(TutorialError, match=r"cannot use the name"):
        check_parent(tmp_path / name / "file")


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"one")
    link.symlink_to(target)
    write_atomically(link, b"two")
    assert link.is_symlink()
    assert target.read_bytes() == b"two"


def test_what_is_no_ordinary_file_is_written_to_and_not_replaced(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(fifo, b"one")
    assert os.read(reader, 10) == b"one"
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    os.close(reader)
    write_atomically(Path("/dev/null"), b"one")
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)


def test_a_remedy_fits_what_is_wrong(tmp_path):
    with pytest.raises(
        TutorialError, match=r"No such file or directory\. Choose another folder\.$"
    ):
        write_atomically(tmp_path / "gone" / "file", b"one")


def test_what_is_written_may_be_read_by_others_as_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "file", b"one")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(TutorialError, match="nowhere"):
        write_atomically(path, b"")
    with pytest.raises(TutorialError, match="nowhere does not exist: create it"):
        check_parent(path)
    check_parent(tmp_path / "file")


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"one")
    check_file(tmp_path / "file")
    with pytest.raises(TutorialError, match="is a folder: give the name of a file"):
        check_file(tmp_path)
    for write in (check_file, check_parent, lambda path: write_atomically(path, b"")):
        with pytest.raises(TutorialError, match="file"):
            write(tmp_path / "file" / "below")


def written(root, name, content):
    """A file of a chapter, as it lies in a clone or in the package."""
    path = root / "book" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """An installed package, and an empty folder that the notebook runs in."""
    package, folder = tmp_path / "site-packages" / "ddpm_tutorial", tmp_path / "mine" / "book"
    for path in (package / "book", folder):
        path.mkdir(parents=True)
    monkeypatch.setattr(files, "ASSETS", package / "assets")
    monkeypatch.chdir(folder)
    return package


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_reads_the_clone_and_outside_of_one_what_ships(alone, tmp_path, name):
    with pytest.raises(TutorialError, match=rf"{name} is neither .*: install it again"):
        book_file(name)
    written(alone, name, "shipped")
    assert book_file(name).read_text() == "shipped"
    mine = written(tmp_path / "mine", name, "somebody's own")  # a file of that name, and no clone
    assert book_file(name).read_text() == "shipped"
    (tmp_path / "mine" / "book" / "_toc.yml").touch()
    assert book_file(name).samefile(mine)


@pytest.mark.parametrize("name", NAMES)
def test_a_package_that_is_imported_from_a_clone_reads_the_clone(alone, name):
    written(alone.parent, "_toc.yml", "")
    there = written(alone.parent, name, "of the clone")
    written(alone, name, "of an earlier install")
    assert book_file(name).samefile(there)
