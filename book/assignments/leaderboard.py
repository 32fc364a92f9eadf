"""Make the leaderboard of the final project from the result files of a class.

    python leaderboard.py results/*.json --seeds A B C --out FOLDER [--n 2000]

writes leaderboard.md and leaderboard.html. A file that cannot be compared with the others (other
seeds or N, no floor, a floor of its own, no figure) is not ranked, and named with the reason. So is
a project whose samples lie nearer to training images than new ones would.
"""

import argparse
import html
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from grading.feedback import legible, on_one_line
from grading.project import COPIES, FLOOR, Entry, N, Refused, check_seeds, read_result, spread

from ddpm_tutorial.io.files import write_atomically

HEAD = ("place", "project", "FID", "floor", "bits per dimension", "copies", "sampler")


class Board(NamedTuple):
    """The entries in order, each with its place, and what is not ranked, with the reason."""

    ranked: list[tuple[int, Entry]]
    refused: dict[str, str]


def board(paths: Iterable[Path], seeds: Sequence[int], n: int = N) -> Board:
    """Read all files and put them in order: by FID, as it is printed, and then by its spread."""
    check_seeds(seeds)
    entries, refused = dict[str, Entry](), dict[str, str]()
    for path in sorted(paths):
        try:
            entries[path.name] = read_result(path, seeds, n)
        except Refused as error:
            refused[path.name] = str(error)
    floors = [median(entry.floor[k] for entry in entries.values()) for k in range(len(seeds))]
    names = [entry.name.casefold() for entry in entries.values()]
    precisions = [entry.precision for entry in entries.values()]
    for file, entry in list(entries.items()):
        if reason := _against_the_class(entry, floors, names, precisions):
            refused[file] = f"{entry.name}: {reason}"
            del entries[file]
    order = sorted(entries.values(), key=lambda entry: (*_key(entry), entry.name.casefold()))
    places = [1 + sum(_key(other) < _key(entry) for other in order) for entry in order]
    return Board(list(zip(places, order, strict=True)), dict(sorted(refused.items())))


def _against_the_class(
    entry: Entry, floors: Sequence[float], names: Sequence[str], precisions: Sequence[str]
) -> str:
    """Why an entry is not ranked beside the others; empty if it is."""
    for own, of_class in zip(entry.floor, floors, strict=True):
        if abs(own - of_class) > FLOOR * of_class:
            return f"its floor is {own:.3f}, that of the class {of_class:.3f}: were the data others"
    if names.count(entry.name.casefold()) > 1:
        return "another file has the same name"
    if precisions.count(entry.precision) * 2 < len(precisions):
        return f"it was drawn in precision {entry.precision!r:.20}, most of the class in another"
    if (share := max(entry.copies)) > COPIES:
        return f"{share:.0%} of the samples of a run are as near to training images as copies"
    return ""


def _key(entry: Entry) -> tuple[float, float]:
    mean, deviation = spread(entry.fid)
    return round(mean, 2), round(deviation, 2)


def rows(found: Board) -> list[tuple[str, ...]]:
    """The cells of the table, one row for each project that is ranked."""

    def pair(values: Sequence[float]) -> str:
        mean, deviation = spread(values)
        return f"{mean:.2f} ± {deviation:.2f}"

    return [
        (
            f"{place}",
            entry.name,
            pair(entry.fid),
            f"{fmean(entry.floor):.2f}",
            pair(entry.bits),
            f"{max(entry.copies):.1%}",
            f"{entry.sampler}, {entry.steps}",
        )
        for place, entry in found.ranked
    ]


def _said(text: str) -> str:
    """On one line, for a table or a list: file names are the students' own."""
    return on_one_line(legible(text, 300))


def about(seeds: Sequence[int], n: int) -> str:
    """What the figures are."""
    return (
        f"Mean and standard deviation over {len(seeds)} trainings, of {n:,} samples each, with "
        f"the seeds {', '.join(map(str, seeds))}. The FID is that from MNIST's 10,000 test images, "
        f"on the features of the book's classifier; the floor is that of as many training images. "
        f"Places go by the FID, and where it is equal as printed, by its spread."
    )


def as_markdown(found: Board, seeds: Sequence[int], n: int = N) -> str:
    """The leaderboard as Markdown."""
    lines = ["# Leaderboard", "", about(seeds, n), ""]
    lines += [f"| {' | '.join(HEAD)} |", f"|{'--:|' + '---|' + '--:|' * 4}---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows(found)]
    if found.refused:
        lines += ["", "## Not ranked", ""]
        quoted: Mapping[str, str] = {
            _said(file).replace("`", "'"): _said(why).translate(_MARKS)
            for file, why in found.refused.items()
        }
        lines += [f"- `{file}`: {why}." for file, why in quoted.items()]
    return "\n".join([*lines, ""])


_MARKS = {ord(mark): f"\\{mark}" for mark in "\\`*_[]<>|"}


def as_html(found: Board, seeds: Sequence[int], n: int = N) -> str:
    """The leaderboard as one page that needs nothing else."""

    def cells(words: Iterable[str], tag: str) -> str:
        inside = "".join(f"<{tag}>{html.escape(word)}</{tag}>" for word in words)
        return f"<tr>{inside}</tr>"

    refused = "".join(
        f"<li><code>{html.escape(_said(file))}</code>: {html.escape(_said(why))}.</li>"
        for file, why in found.refused.items()
    )
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width"><title>Leaderboard</title>',
            "<style>:root{color-scheme:light dark}body{font:1rem sans-serif;margin:2rem auto;"
            "max-width:60rem;padding:0 1rem}div{overflow-x:auto}table{border-collapse:collapse}"
            "td,th{padding:.3rem .8rem;text-align:right;border-bottom:1px solid;white-space:nowrap}"
            "td:nth-child(2),th:nth-child(2){text-align:left}</style>",
            f"<h1>Leaderboard</h1><p>{html.escape(about(seeds, n))}</p>",
            f"<div><table><thead>{cells(HEAD, 'th')}</thead><tbody>",
            *(cells(row, "td") for row in rows(found)),
            "</tbody></table></div>",
            f"<h2>Not ranked</h2><ul>{refused}</ul>" if refused else "",
            "</html>",
            "",
        ]
    )


def main(words: Sequence[str] | None = None) -> int:
    """Read the files, write the leaderboard twice, and print who is not on it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="RESULT")
    parser.add_argument("--seeds", type=int, nargs=3, required=True, help="those of the class")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--n", type=int, default=N)
    arguments = parser.parse_args(words)
    seeds, n = arguments.seeds, arguments.n
    try:
        found = board(arguments.files, seeds, n)
    except Refused as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_atomically(arguments.out / "leaderboard.md", as_markdown(found, seeds, n).encode())
    write_atomically(arguments.out / "leaderboard.html", as_html(found, seeds, n).encode())
    print(f"{len(found.ranked)} ranked, {len(found.refused)} not")
    for file, why in found.refused.items():
        print(f"  {_said(file)}: {_said(why)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
