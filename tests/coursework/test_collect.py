"""One student's upload becomes that student's submission, or nobody's."""

import bz2
import io
import json
import re
import shutil
import zipfile

import pytest
from conftest import COURSE
from grading import unpack
from grading.collect import Form, collect

NAME = "01-gaussians"
WITH_TIMES = (
    r"(?P<student>[^\W_].*?)_(?P<time>\d{4}-\d\d-\d\dT\d{4})_",
    r"(?P<student>[^\W_][^_]*)_",
)
FORM = Form(WITH_TIMES, "%Y-%m-%dT%H%M", "UTC")
EARLY, LATE = "2027-01-31T1200", "2027-02-09T1200"


def work(of):
    return f"of {of}".encode()


def zipped(entries, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "downloaded" / NAME / "archive").mkdir(parents=True)
    return tmp_path


def collected(root, files, form=FORM):
    """The notebook of each student, and all that was said of each name."""
    for name, content in files.items():
        path = root / "downloaded" / NAME / "archive" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    outcomes = collect(root, NAME, form)
    for outcome in outcomes:
        assert bool(outcome.taken) == (root / "submitted" / outcome.who / NAME).is_dir()
    had = {}
    for path in root.glob("submitted/*/*/*.ipynb"):
        assert path.parent.name == NAME
        had.setdefault(path.parent.parent.name, []).append(path.read_bytes())
    had = {who: files[0] if len(files) == 1 else files for who, files in had.items()}
    said = {}
    for outcome in outcomes:
        said[outcome.who] = " ".join([said.get(outcome.who, ""), *outcome.notes])
    return had, said


def time_of(root, student):
    return (root / "submitted" / student / NAME / "timestamp.txt").read_text()


def kept(root):
    return sorted(path.name for path in root.glob(f"downloaded/{NAME}/odd/*"))


def test_an_export_and_loose_files_are_sorted(root):
    export = [(f"alice_{EARLY}_{NAME}.ipynb", work("alice")), ("__MACOSX/._x", b"")]
    had, said = collected(
        root,
        {
            "export.zip": zipped(export),
            f"max_{EARLY}_{NAME}.ipynb": work("max"),
            f"max_m_{EARLY}_{NAME}.ipynb": work("max_m"),
            f"carol_{EARLY}_{NAME}.zip": zipped([(f"work/{NAME}.ipynb", work("carol"))]),
            f"dan_{EARLY}_submission/{NAME}.ipynb": work("dan"),
            f"misnamed_{EARLY}_my work (2).ipynb": work("misnamed"),
        },
    )
    assert had == {who: work(who) for who in ("alice", "max", "max_m", "carol", "dan", "misnamed")}
    assert not "".join(said.values()).strip()
    assert time_of(root, "alice") == "2027-01-31 12:00:00 UTC\n"
    assert (root / "submitted/misnamed" / NAME / "my work (2).ipynb").exists()
    assert kept(root) == []


@pytest.mark.parametrize(
    "entry",
    [
        f"alice_{LATE}_{NAME}.ipynb",
        f"../alice_{LATE}_{NAME}.ipynb",
        f"../../../../submitted/alice/{NAME}/{NAME}.ipynb",
        f"/alice/{NAME}/{NAME}.ipynb",
        f"..\\alice_{LATE}_{NAME}.ipynb",
        f"alice_{LATE}_{NAME}/{NAME}.ipynb",
    ],
)
@pytest.mark.parametrize("form", ["loose", "in the export", "in a folder of the export"])
def test_what_is_in_a_students_zip_is_that_students(root, entry, form):
    eves = zipped([(entry, work("eve"))])
    name = f"eve_{LATE}_{NAME}.zip"
    if form == "in the export":
        name, eves = "export.zip", zipped([(name, eves)])
    if form == "in a folder of the export":
        name, eves = "export.zip", zipped([(f"eve_{LATE}_submission/mine.zip", eves)])
    had, said = collected(root, {f"alice_{EARLY}_{NAME}.ipynb": work("alice"), name: eves})
    assert had.pop("alice") == work("alice")
    assert had in ({}, {"eve": work("eve")})
    assert said["alice"].strip() == ""
    assert bool(said["eve"].strip()) == (not had)


def test_a_zip_in_a_zip_in_a_zip_is_not_opened(root):
    inner = zipped([(f"alice_{LATE}_{NAME}.ipynb", work("eve"))])
    had, said = collected(root, {f"eve_{EARLY}_x.zip": zipped([("a.zip", inner)])})
    assert had == {}
    assert "no notebook" in said["eve"]


def test_all_notebooks_of_a_zip_are_taken_and_what_leads_elsewhere_is_named(root):
    """The grader sees which of them is the work, whatever it is called."""
    content = [("a.png", b""), ("../x", b""), (f"{NAME}.ipynb", b"1"), (f"{NAME} (1).ipynb", b"2")]
    content += [(f"old/{NAME}.ipynb", b"3"), (f"__MACOSX/._{NAME}.ipynb", b"4")]
    had, said = collected(root, {f"bob_{EARLY}_w.zip": zipped(content)})
    assert sorted(had["bob"]) == [b"1", b"2", b"3"]
    assert (root / "submitted/bob" / NAME / f"{NAME}.ipynb").read_bytes() == b"1"
    assert (root / "submitted/bob" / NAME / f"{NAME} (1).ipynb").read_bytes() == b"2"
    assert "left out: ../x" in said["bob"]
    assert "3 notebooks: the one with most answers will be graded" in said["bob"]


def test_there_is_an_end_to_the_notebooks_of_one_student(root):
    content = [(f"{k:02}.ipynb", b"") for k in range(30)]
    had, said = collected(root, {f"bob_{EARLY}_w.zip": zipped(content)})
    assert len(had["bob"]) == 20
    assert "left out: 20.ipynb, 21.ipynb" in said["bob"]


ODD = {
    "two without times": (
        {f"bob_{NAME}.ipynb": b"1", "bob_again.ipynb": b"2"},
        "which is the latest",
    ),
    "two with one time": (
        {f"bob_{EARLY}_{NAME}.ipynb": b"1", f"bob_{EARLY}_{NAME}.zip": zipped([("x.ipynb", b"2")])},
        "which is the latest",
    ),
    "a broken ZIP": ({f"bob_{EARLY}_x.zip": b"PK\3\4 and so on"}, "no ZIP"),
    "an empty ZIP": ({f"bob_{EARLY}_x.zip": zipped([])}, "no notebook"),
    "one with a broken entry": (
        {
            f"bob_{EARLY}_x.zip": zipped([("x.ipynb", b"abc" * 99)], zipfile.ZIP_STORED).replace(
                b"abcabc", b"abdabc"
            )
        },
        "cannot be unpacked",
    ),
    "one packed so that it unpacks without a bound": (
        {f"bob_{EARLY}_x.zip": zipped([("x.ipynb", b"a")], zipfile.ZIP_BZIP2)},
        "unusual",
    ),
    "not a notebook": ({f"bob_{EARLY}_essay.pdf": b"%PDF"}, "neither a notebook nor a ZIP"),
    "a time that is none": ({f"bob_2027-13-41T9999_{NAME}.ipynb": b""}, "is no date"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_set_aside_and_stops_no_other(root, case):
    files, why = ODD[case]
    good = f"alice_{EARLY}_{NAME}.ipynb", work("alice")
    had, said = collected(root, {**files, good[0]: good[1], "export.zip": zipped([])})
    assert had == {"alice": good[1]}
    assert any(why in words for words in said.values())
    assert len(kept(root)) == len(files) + 1
    assert why in (root / "downloaded" / NAME / "odd/why.txt").read_text()


def test_a_broken_export_stops_no_other(root):
    good = {f"alice_{EARLY}_{NAME}.ipynb": work("alice")}
    had, said = collected(root, {**good, "export.zip": b"no zip", "link.zip": b""})
    assert had == {"alice": work("alice")}
    assert "no ZIP" in said["export.zip"]


def test_names_that_lead_elsewhere_in_an_export_are_named(root):
    entries = [("../eve_x.ipynb", b"1"), ("/etc/eve.ipynb", b"2"), (f"alice_{NAME}.ipynb", b"3")]
    had, said = collected(root, {"export.zip": zipped(entries)})
    assert had == {"alice": b"3"}
    assert {"../eve_x.ipynb", "/etc/eve.ipynb"} <= said.keys()
    assert sorted(p.name for p in root.iterdir()) == ["downloaded", "submitted"]


def test_links_in_a_zip_are_not_followed_nor_made(root):
    info = zipfile.ZipInfo(f"{NAME}.ipynb")
    info.external_attr = 0o120777 << 16
    had, said = collected(root, {f"bob_{EARLY}_x.zip": zipped([(info, "/etc/passwd")])})
    assert had == {}
    assert "no notebook" in said["bob"]


def test_sizes_are_counted_while_unpacking_and_not_believed(root, monkeypatch):
    monkeypatch.setattr(unpack, "LARGEST", 10**6)
    bomb = zipped([("x.ipynb", bytes(10**7))])
    lying = bomb.replace((10**7).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    assert len(bomb) < 10**5
    files = {f"bob_{EARLY}_x.zip": bomb, f"carl_{EARLY}_x.zip": lying}
    had, said = collected(root, {**files, f"alice_{EARLY}_{NAME}.ipynb": b"good"})
    assert had["alice"] == b"good"
    assert "bob" not in had
    assert len(had.get("carl", b"")) <= 100
    assert "more than" in said["bob"]


def test_all_together_is_bounded():
    room = unpack.Room(100)
    entry = unpack.Entry(("x",), lambda most: bytes(min(most, 60)))
    assert len(room.read(entry)) == 60
    with pytest.raises(unpack.OddError, match="in all"):
        room.read(entry)


def test_a_zip_of_countless_entries_is_not_opened():
    content = zipped([(f"{k}", b"") for k in range(unpack.MOST_ENTRIES + 1)])
    with pytest.raises(unpack.OddError, match="entries"):
        unpack.open_zip(content)


def test_bzip2_would_have_no_bound():
    """Why only the usual way of packing is unpacked: 4 kB of bzip2 can be 80 MB."""
    assert len(bz2.compress(bytes(10**7))) < 100


def test_the_latest_counts_by_the_platforms_time(root):
    files = {f"bob_{when}_{NAME}.ipynb": when.encode() for when in (EARLY, LATE)}
    had, said = collected(root, files)
    assert had == {"bob": LATE.encode()}
    assert "the latest of 2" in said["bob"]


def test_a_time_in_the_students_part_is_not_believed(root):
    files = {
        f"bob_{LATE}_{EARLY}_{NAME}.ipynb": b"1",
        f"carl_{LATE}_carl_{EARLY}_{NAME}.ipynb": b"2",
        f"dora_{LATE}_x.zip": zipped(
            [(f"dora_{EARLY}_{NAME}.ipynb", b"3"), ("timestamp.txt", b"")]
        ),
    }
    had, _ = collected(root, files)
    assert had == {"bob": b"1", "carl": b"2", "dora": b"3"}
    for student in had:
        assert time_of(root, student).startswith("2027-02-09 12:00")


def test_where_the_platform_puts_no_time_none_is_believed(root):
    files = {f"bob_{EARLY}_{NAME}.ipynb": b"1", f"alice_{NAME}.ipynb": b"2"}
    had, _ = collected(root, files, FORM._replace(prefixes=WITH_TIMES[1:]))
    assert had == {"bob": b"1", "alice": b"2"}
    assert not list(root.glob("submitted/*/*/timestamp.txt"))


@pytest.mark.parametrize("prefixes", [WITH_TIMES, WITH_TIMES[1:]])
@pytest.mark.parametrize("own", [f"m_{NAME}.ipynb", f"m_{EARLY}_{NAME}.ipynb", "m_work.ipynb"])
def test_no_name_of_a_file_reaches_a_student_with_a_longer_name(root, prefixes, own):
    before = root / "submitted/max_m" / NAME / f"{NAME}.ipynb"
    before.parent.mkdir(parents=True)
    before.write_bytes(b"of max_m")
    files = {f"max_{own}": b"of max", f"alice_{NAME}.ipynb": b"of alice"}
    for name, content in files.items():
        (root / "downloaded" / NAME / "archive" / name).write_bytes(content)
    outcomes = {o.who: o for o in collect(root, NAME, FORM._replace(prefixes=prefixes))}
    assert before.read_bytes() == b"of max_m"
    assert outcomes["alice"].taken
    assert [who for who, outcome in outcomes.items() if outcome.taken] == ["alice"]
    assert "is it of" in " ".join(n for o in outcomes.values() for n in o.notes)


def test_names_that_are_one_folder_on_some_systems_are_set_aside(root):
    had, said = collected(root, {f"Bob_{NAME}.ipynb": b"1", f"bob_{NAME}.ipynb": b"2"})
    assert had == {}
    assert "one folder" in said["bob"]
    assert "one folder" in said["Bob"]


def test_times_are_of_the_zone_in_the_settings(root):
    form = FORM._replace(zone="America/New_York")
    collected(root, {f"bob_{EARLY}_{NAME}.ipynb": b""}, form)
    assert time_of(root, "bob") == "2027-01-31 17:00:00 UTC\n"


def test_collecting_again_replaces_and_a_link_is_not_followed(root):
    collected(root, {f"bob_{EARLY}_my.ipynb": b"1"})
    had, _ = collected(root, {f"bob_{LATE}_{NAME}.ipynb": b"2"})
    assert had == {"bob": b"2"}
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "dear.txt").write_text("dear")
    (root / "submitted/eve").symlink_to(elsewhere)
    outcomes = {o.who: o for o in collect(root, NAME, FORM) if o.who}
    assert outcomes["bob"].taken
    (root / "downloaded" / NAME / "archive" / f"eve_{EARLY}_{NAME}.ipynb").write_bytes(b"3")
    outcomes = {o.who: o for o in collect(root, NAME, FORM)}
    assert "is a link" in outcomes["eve"].notes[0]
    assert [path.name for path in elsewhere.iterdir()] == ["dear.txt"]


def test_the_command_reads_the_settings_and_names_what_is_odd(course, run):
    archive = course / "downloaded" / NAME / "archive"
    archive.mkdir(parents=True)
    shutil.copy(COURSE / "student" / f"{NAME}.ipynb", archive / f"s01_{EARLY}_{NAME}.ipynb")
    (archive / "s02_\x1b[2J.zip").write_bytes(b"no zip")
    said = run(f"python collect.py {NAME}")
    assert re.search(r"^s01 +2027-01-31 12:00 UTC$", said, re.M)
    assert re.search(r"^s02 +SET ASIDE .*no ZIP", said, re.M)
    assert "1 collected, 1 set aside" in said
    assert "\x1b" not in said
    cells = json.loads(next(course.glob("submitted/s01/*/*.ipynb")).read_text())["cells"]
    assert cells
