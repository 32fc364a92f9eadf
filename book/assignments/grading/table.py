"""A table in a CSV file from elsewhere: read whole or refused, with the line that is wrong."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from .feedback import on_one_line

LARGEST = 10 * 2**20  # bytes
MOST_ROWS = 20_000
DELIMITERS = ",;\t"  # spreadsheets write the second where a comma stands in numbers


class TableError(ValueError):
    """What is wrong with a table, where, and what to do: one line for a terminal."""


class Row(NamedTuple):
    """A row, with the line of the file on which it begins; it has as many cells as the header."""

    line: int
    cells: list[str]


class Table(NamedTuple):
    """A header and its rows."""

    name: str
    header: list[str]
    rows: list[Row]
    delimiter: str

    def error(self, row: Row | None, what: str) -> TableError:
        """What to raise about a row, or about the header."""
        return _error(self.name, row.line if row else 1, what)

    def column(self, name: str) -> int:
        """The place of a column, whatever the case of its letters. Raises TableError."""
        folded = [each.strip().casefold() for each in self.header]
        wanted = name.strip().casefold()
        if folded.count(wanted) == 1:
            return folded.index(wanted)
        listed = ", ".join(repr(each.strip()) for each in self.header if each.strip())
        many = "no" if wanted not in folded else "more than one"
        raise self.error(None, f"{many} column is called {name!r}; there are {listed}")


def read_table(path: Path) -> Table:
    """The table in a file, in UTF-8. Raises TableError, also where there is no such file."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise TableError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise TableError(f"{path.name} has more than {LARGEST // 2**20} MB: it is no such table")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _error(path.name, line, "this is not UTF-8: save it as CSV UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    rows, at = list[Row](), 1
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            rows.append(Row(at, cells))
            at = reader.line_num + 1
            if len(rows) > MOST_ROWS:
                raise _error(path.name, at, f"there are more than {MOST_ROWS} rows")
    except csv.Error as error:
        what = f"{error}: write a quote inside a cell twice, and close every quote"
        raise _error(path.name, at, what) from None
    rows = [row for row in rows if any(cell.strip() for cell in row.cells)]
    if len(rows) < 1:
        raise TableError(f"{path.name} is empty: its first line should name the columns")
    header = rows[0].cells
    return Table(path.name, header, [_full(path.name, row, header) for row in rows[1:]], delimiter)


def write_table(path: Path, table: Table) -> None:
    """Write a table with the delimiter that it was read with."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=table.delimiter, lineterminator="\n")
        writer.writerows([table.header, *(row.cells for row in table.rows)])


def _full(name: str, row: Row, header: list[str]) -> Row:
    """The row with the cells at its end that a spreadsheet leaves out when they are empty."""
    cells = row.cells
    while len(cells) > len(header) and not cells[-1].strip():
        cells = cells[:-1]
    if len(cells) > len(header):
        what = f"{len(cells)} cells under {len(header)} columns: put a cell with a comma in quotes"
        raise _error(name, row.line, what)
    if bad := next((c for cell in cells for c in cell if c < " " and c not in "\t\r\n"), None):
        raise _error(name, row.line, f"there is a control character, {bad!r}: take it out")
    return Row(row.line, cells + [""] * (len(header) - len(cells)))


def _error(name: str, line: int, what: str) -> TableError:
    return TableError(on_one_line(f"{name}, line {line}: {what}")[:600])
