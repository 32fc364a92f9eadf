"""Who handed in what: from a platform's download to the notebooks of each student.

The platform wrote the beginning of each name in its download: the student, and perhaps the time.
All else is the student's: the rest of the name, and everything in a folder or a ZIP that has such
a name. So only that beginning says whose something is and when it came, and whatever is inside
can become no other student's submission. What is odd is set aside, and the others go on.
"""

import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile
from zoneinfo import ZoneInfo

from .feedback import on_one_line
from .files import MOST_FILES
from .intake import TIME
from .unpack import Entry, OddError, Room, entries_of, files_in, first_bytes, open_zip

NAME = r"\w[\w.+@-]*"  # of a student, or of an assignment
OF_OTHERS = ("__MACOSX", ".ipynb_checkpoints")  # folders that macOS and Jupyter put in
MOST_ASIDE = 2**30  # bytes of all that is odd
A_DATE = r"\d{4}-\d\d-\d\d"


class Form(NamedTuple):
    """How the platform begins its names: patterns with a group `student`, and perhaps `time`.

    The first pattern that fits counts.
    """

    prefixes: Sequence[str]
    time: str  # as strptime has it
    zone: str


class Upload(NamedTuple):
    """One thing that the platform named: a file, or the files of a folder (then `is_folder`)."""

    name: str
    entries: list[Entry]
    is_folder: bool


class Named(NamedTuple):
    """What the platform's part of a name says; `rest` is the student's part."""

    student: str
    time: datetime | None
    rest: str
    upload: Upload


class Outcome(NamedTuple):
    """For a student, or for a name that belongs to none: what was taken, or why nothing was."""

    who: str
    taken: str
    time: datetime | None
    notes: list[str]


def collect(root: Path, assignment: str, form: Form) -> list[Outcome]:
    """Put what is in downloaded/ASSIGNMENT/archive/ into submitted/STUDENT/ASSIGNMENT/.

    What is odd goes into downloaded/ASSIGNMENT/odd/.
    """
    folder = root / "downloaded" / assignment
    aside = Aside(folder / "odd")
    all_named = []
    for found in _uploads(folder / "archive", form):
        if isinstance(found, Outcome):
            aside.name(found)
            continue
        try:
            all_named.append(whose(found, assignment, form))
        except OddError as error:
            aside.put(found, found.name, error)
    submitted = root / "submitted"
    known = {named.student for named in all_named} | {path.name for path in submitted.glob("*")}
    without_times = any(named.time is None for named in all_named)
    of_students: dict[str, list[Named]] = {}
    for named in all_named:
        try:
            _can_be_of_no_other(named, known, without_times)
            of_students.setdefault(named.student, []).append(named)
        except OddError as error:
            aside.put(named.upload, named.student, error)
    outcomes = []
    for student, handed_in in sorted(of_students.items()):
        try:
            outcomes.append(_take(submitted / student / assignment, student, handed_in))
        except (OddError, OSError) as error:
            for named in handed_in:
                aside.put(named.upload, student, error)
    return [*outcomes, *aside.done()]


def whose(upload: Upload, assignment: str, form: Form) -> Named:
    """The student and the time, by the platform's part of the name. Raises OddError."""
    found = next((m for p in form.prefixes if (m := re.match(p, upload.name))), None)
    if found is None:
        raise OddError("its name does not begin with a student's, as nbgrader_config.py has it")
    student, rest = found["student"], upload.name[found.end() :]
    if not re.fullmatch(NAME, student) or len(student) > 60:
        raise OddError("nbgrader cannot take the student's name that it begins with")
    text = found.groupdict().get("time")
    if text is None:
        own, _, end = rest.rpartition(f"_{assignment}.")
        open_end = found.start("student") == 0  # else more than the student's name was recognised
        if open_end and own and end in ("ipynb", "zip") and not re.match(A_DATE, own):
            raise OddError(f"is it of `{student}`, or of `{student}_{own}`? Rename it")
        return Named(student, None, rest, upload)
    try:
        time = datetime.strptime(text, form.time)
        time = time if time.tzinfo else time.replace(tzinfo=ZoneInfo(form.zone))
        return Named(student, time.astimezone(UTC), rest, upload)
    except (ValueError, OverflowError):
        raise OddError(f"{text} is no date") from None


def notebooks_in(named: Named, assignment: str, room: Room) -> tuple[dict[str, bytes], list[str]]:
    """The notebooks of an upload, by plain names, and what was odd. Raises OddError for none.

    Which of several is the work, the grader sees from what is in them. That of the right name is
    the first.
    """
    entries, odd = named.upload.entries, list[str]()
    if not named.upload.is_folder:
        kind = named.upload.name.lower()
        if kind.endswith(".ipynb"):
            return {_notebook_name(named.rest): room.read(entries[0])}, []
        if not kind.endswith(".zip"):
            raise OddError("it is neither a notebook nor a ZIP")
        entries, odd = entries_of(open_zip(room.read(entries[0])))
    elif not _notebooks(entries):
        zips = [entry for entry in entries if entry.parts[-1].lower().endswith(".zip")]
        if len(zips) == 1:
            entries, odd = entries_of(open_zip(room.read(zips[0])))
    notebooks = _notebooks(entries)
    if not notebooks:
        raise OddError(f"in it there should be a notebook {assignment}.ipynb, and is no notebook")
    notebooks.sort(key=lambda entry: (entry.parts[-1] != f"{assignment}.ipynb", entry.parts))
    taken: dict[str, bytes] = {}
    for entry in notebooks[:MOST_FILES]:
        name = _notebook_name(entry.parts[-1])
        if name in taken:
            name = f"{name.removesuffix('.ipynb')} ({len(taken) + 1}).ipynb"
        taken[name] = room.read(entry)
    odd += ["/".join(entry.parts) for entry in notebooks[MOST_FILES:]]
    notes = [f"left out: {', '.join(odd[:5])}{' ...' if odd[5:] else ''}"] if odd else []
    if len(taken) > 1:
        notes.append(f"{len(taken)} notebooks: the one with most answers will be graded")
    return taken, notes


class Aside:
    """The folder of what is odd, made anew by each collection; `why.txt` in it names all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outcomes: list[Outcome] = []
        self.files, self.room = 0, Room(MOST_ASIDE)
        shutil.rmtree(folder, ignore_errors=True)

    def name(self, outcome: Outcome) -> None:
        """Keep why something is odd."""
        self.outcomes.append(outcome)

    def put(self, upload: Upload, who: str, why: Exception) -> None:
        """Keep also what is odd, where it can be read, as files of plain names."""
        self.name(Outcome(who, "", None, [f"{upload.name}: {why}"]))
        self.folder.mkdir(parents=True, exist_ok=True)
        for entry in upload.entries[:20]:
            self.files += 1
            name = f"{self.files:03}-{_plain('_'.join((upload.name, *entry.parts)))}"
            try:
                (self.folder / name).write_bytes(self.room.read(entry))
            except OddError as error:
                (self.folder / f"{name}.txt").write_text(f"It is not kept: {error}.\n")

    def done(self) -> list[Outcome]:
        """All that was odd."""
        if self.outcomes:
            self.folder.mkdir(parents=True, exist_ok=True)
            lines = [
                f"{on_one_line(o.who)}: {on_one_line(n)}\n" for o in self.outcomes for n in o.notes
            ]
            (self.folder / "why.txt").write_text("".join(lines), encoding="utf-8")
        return self.outcomes


def _uploads(archive: Path, form: Form) -> Iterator[Upload | Outcome]:
    """All that the platform named, in the folder and in its exports there."""
    for path in sorted(archive.iterdir()):
        is_export = path.suffix.lower() == ".zip" and not _is_of_a_student(path.name, form)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            yield Outcome(path.name, "", None, ["it is a link, or no file: it is left where it is"])
        elif path.is_dir():
            yield Upload(path.name, files_in(path), True)
        elif is_export:
            yield from _exported(path)
        else:
            yield Upload(path.name, [_entry_for(path)], False)


def _exported(path: Path) -> Iterator[Upload | Outcome]:
    """What is in a platform's ZIP: of each name, the first part is the platform's."""
    try:
        archive = ZipFile(path)
        entries, odd = entries_of(archive)
    except Exception as error:  # a broken ZIP fails in a dozen ways
        why = f"it is no ZIP that can be opened ({type(error).__name__}: {error})"
        yield Outcome(path.name, "", None, [why])
        return
    for name in odd:
        yield Outcome(
            name, "", None, [f"in {path.name}: its name leads elsewhere, or it is a link"]
        )
    together: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.parts[0] not in OF_OTHERS:
            together.setdefault(entry.parts[0], []).append(entry)
    for name, found in together.items():
        files = [entry for entry in found if len(entry.parts) == 1]
        for entry in files:  # of two with one name each is an upload
            yield Upload(name, [entry._replace(parts=())], False)
        if inside := [e._replace(parts=e.parts[1:]) for e in found if len(e.parts) > 1]:
            yield Upload(name, inside, True)


def _entry_for(path: Path) -> Entry:
    return Entry((), lambda most: first_bytes(path, most))


def _is_of_a_student(name: str, form: Form) -> bool:
    return any(re.match(prefix, name) for prefix in form.prefixes)


def _can_be_of_no_other(named: Named, known: set[str], without_times: bool) -> None:
    """Raise OddError where the name may begin with another student's."""
    student = named.student
    for other in sorted(known - {student}):
        if _folded(other) == _folded(student):
            raise OddError(f"`{student}` and `{other}` are one folder on some systems: rename one")
        if named.time is None and named.upload.name.startswith(f"{other}_"):
            raise OddError(f"is it of `{student}`, or of `{other}`? Rename it")
    if named.time is not None and without_times and "_" in student:
        first = student.partition("_")[0]
        raise OddError(
            f"is it of `{student}`, or has `{first}` put the time there? Other names have none"
        )


def _take(folder: Path, student: str, handed_in: list[Named]) -> Outcome:
    """Write the notebooks of the student's latest upload into the folder. Raises OddError."""
    times = [named.time for named in handed_in]
    latest = max(handed_in, key=lambda named: named.time or datetime.min.replace(tzinfo=UTC))
    if len(handed_in) > 1 and (None in times or times.count(latest.time) > 1):
        raise OddError(f"there are {len(handed_in)} of this student: which is the latest?")
    notebooks, notes = notebooks_in(latest, folder.name, Room())
    if folder.is_symlink() or folder.parent.is_symlink():
        raise OddError("the student's folder in submitted is a link")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name, content in notebooks.items():
        (folder / name).write_bytes(content)
    if latest.time is not None:
        (folder / TIME).write_text(f"{latest.time:%Y-%m-%d %H:%M:%S} UTC\n")
    if len(handed_in) > 1:
        notes.append(f"the latest of {len(handed_in)}")
    return Outcome(student, next(iter(notebooks)), latest.time, notes)


def _notebooks(entries: list[Entry]) -> list[Entry]:
    return [
        entry
        for entry in entries
        if entry.parts[-1].lower().endswith(".ipynb")
        and not entry.parts[-1].startswith("._")
        and not set(OF_OTHERS) & set(entry.parts)
    ]


def _notebook_name(name: str) -> str:
    """A name for the file that is a plain one on any system, and the right one if it was."""
    return f"{_plain(name[: -len('.ipynb')]) or 'notebook'}.ipynb"


def _plain(name: str) -> str:
    return re.sub(r"[^\w .()+@-]", "_", name).lstrip(". ")[:50]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
