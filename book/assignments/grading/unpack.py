"""What is in a ZIP that a student or a platform made, read with bounds and written nowhere.

A student chose every byte of it: the names, the sizes that it claims, and how it is packed. So a
name is only compared, a size is counted while unpacking, and what is odd is said.
"""

import stat
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

LARGEST = 50 * 2**20  # bytes of one file
MOST_BYTES = 100 * 2**20  # that are unpacked for one student
MOST_ENTRIES = 10_000


class OddError(Exception):
    """Why something handed in cannot be taken, in words for people."""


class Room:
    """How much may still be unpacked for one student."""

    def __init__(self, left: int = MOST_BYTES) -> None:
        self.all = self.left = left

    def read(self, entry: "Entry") -> bytes:
        """The content of an entry; what was unpacked counts, also where it is too much."""
        most = min(LARGEST, self.left)
        content = entry.read(most + 1)
        self.left = max(0, self.left - len(content))
        if len(content) > most:
            which = f"{self.all // 2**20} MB in all" if most < LARGEST else f"{LARGEST // 2**20} MB"
            raise OddError(f"it has more than {which}")
        return content


class Entry(NamedTuple):
    """A file in a folder or in a ZIP: the parts of its name, and its first so many bytes."""

    parts: tuple[str, ...]
    read: Callable[[int], bytes]


def files_in(folder: Path) -> list[Entry]:
    """The plain files below a folder, links left out."""
    found = list[Entry]()
    for path in sorted(folder.rglob("*")):
        if stat.S_ISREG(path.lstat().st_mode) and len(found) < MOST_ENTRIES:
            found.append(Entry(path.relative_to(folder).parts, partial(first_bytes, path)))
    return found


def first_bytes(path: Path, most: int) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(most)


def entries_of(archive: ZipFile) -> tuple[list[Entry], list[str]]:
    """The files of a ZIP, and the names of those that lead elsewhere or are no plain files."""
    good, odd = [], []
    for info in archive.infolist():
        if info.is_dir():
            continue
        parts = tuple(info.filename.replace("\\", "/").split("/"))
        mode = stat.S_IFMT(info.external_attr >> 16)
        leads_away = any(part in ("", ".", "..") for part in parts) or parts[0][1:2] == ":"
        if leads_away or mode not in (0, stat.S_IFREG):
            odd.append(info.filename)
        else:
            good.append(Entry(parts, partial(_unpacked, archive, info)))
    return good, odd


def open_zip(content: bytes) -> ZipFile:
    """A student's ZIP. Raises OddError for what is none."""
    if content.count(b"PK\x01\x02") > MOST_ENTRIES:  # the mark before each entry's name
        raise OddError(f"the ZIP has more than {MOST_ENTRIES} entries")
    try:
        return ZipFile(BytesIO(content))
    except Exception as error:  # a broken ZIP fails in a dozen ways
        raise OddError(f"it is no ZIP that can be opened ({_first_line(error)})") from None


def _unpacked(archive: ZipFile, info: ZipInfo, most: int) -> bytes:
    if info.flag_bits & 1:
        raise OddError("it is locked with a password")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # others unpack without a bound
        raise OddError("it is packed in an unusual way")
    try:
        with archive.open(info) as file:
            return file.read(most)
    except Exception as error:  # a broken ZIP fails in a dozen ways
        raise OddError(f"it cannot be unpacked ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"
