"""The page for teachers against what it speaks of: minutes, order, points, exercises."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent.parent / "book" / "_ext"))

from chapter_map import chapters_of, minutes_of

BOOK = Path(__file__).parent.parent / "book"
PAGE = (BOOK / "teaching.md").read_text(encoding="utf-8")
CHAPTERS = chapters_of(BOOK / "_toc.yml")
MINUTES = {chapter: minutes_of(BOOK / f"{chapter}.ipynb") for chapter in CHAPTERS}


def rows(begin):
    """The cells of each row of the table whose head begins so, one table after another."""
    for table in re.findall(rf"^\| {begin} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.M):
        yield [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]


def chapters_in(cell):
    return re.findall(r"\]\((\d\d-[\w-]+)\.ipynb\)", cell)


def needs():
    """For each chapter those that the map on the first page puts before it."""
    (text,) = re.findall(
        r"```\{chapter-map\}\n(.*?)```", (BOOK / "intro.md").read_text("utf-8"), re.S
    )
    return {chapter: place.get("after", []) for chapter, place in yaml.safe_load(text).items()}


def read_first():
    """For each assignment the chapters that the list of assignments names."""
    lines = (BOOK / "assignments/index.md").read_text("utf-8").splitlines()
    found = [line.split("|") for line in lines if re.match(r"\| \d \|", line)]
    return {re.search(r"student/([\w-]+)", line[2])[1]: chapters_in(line[3].replace("../", ""))
            for line in found}  # fmt: skip


PLANS = [*rows("meeting"), *rows("week")]
LENGTHS = {"two": 6, "five": 5, "twelve": 12}


def test_there_are_three_plans_and_every_chapter_has_its_row():
    assert [len(plan) for plan in PLANS] == [*LENGTHS.values()]
    (goals,) = rows("chapter")
    assert [chapters_in(row[0]) for row in goals] == [[chapter] for chapter in CHAPTERS]
    assert {one for row in PLANS[2] for one in chapters_in(row[1])} >= set(CHAPTERS) - {
        "15-common-mistakes"  # for projects
    }


def test_the_minutes_are_those_of_the_map():
    (goals,) = rows("chapter")
    assert [int(row[1]) for row in goals] == [*MINUTES.values()]
    for plan in PLANS:
        for row in plan:
            each = [MINUTES[chapter] for chapter in chapters_in(row[1])]
            said = f"{min(each)} to {max(each)}" if " or " in row[1] else f"{sum(each)}"
            assert row[2] == said, row


@pytest.mark.parametrize("plan", PLANS, ids=LENGTHS)
def test_nothing_is_read_or_handed_out_before_what_it_needs(plan):
    after, first = needs(), read_first()
    read, given = [], []
    for row in plan:
        for chapter in chapters_in(row[1]):
            if plan is PLANS[0] and chapter.startswith("14"):
                after[chapter] = ["11-fast-sampling"]  # the page says what of 13 is enough
            missing = set(after[chapter]) - set(read)
            assert not missing or " or " in row[1], (chapter, missing)
            read.append(chapter)
        for assignment in re.findall(r"student/([\w-]+)\.ipynb", row[3]):
            assert set(first[assignment]) <= set(read), assignment
            given.append(assignment)
    unread = {one for one, chapters in first.items() if not set(chapters) <= set(read)}
    assert unread == ({"07-evaluation"} if plan is PLANS[0] else set())  # as the page says
    assert sorted(given) == sorted(first.keys() - unread)


def test_the_points_are_those_of_the_assignments():
    (table,) = rows("assignment")
    first = read_first()
    for row in table:
        name = re.search(r"student/([\w-]+)", row[0])[1]
        source = nbformat.read(BOOK / f"assignments/source/{name}/{name}.ipynb", as_version=4)
        graded = [cell.metadata.get("nbgrader", {}) for cell in source.cells]
        graded = [about for about in graded if about.get("grade")]
        assert int(row[2]) == sum(about["points"] for about in graded), name
        assert int(row[3]) == sum(about["points"] for about in graded if about["solution"]), name
        assert [int(each) for each in row[1].split(", ")] == [int(each[:2]) for each in first[name]]


def test_the_goals_are_the_chapters_own_and_the_exercises_are_theirs():
    (goals,) = rows("chapter")
    for chapter, _, goal, exercise in goals:
        (name,) = chapters_in(chapter)
        cells = json.loads((BOOK / f"{name}.ipynb").read_text("utf-8"))["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        label = re.fullmatch(r"\{ref\}`(.*)`", exercise)[1]
        assert f":label: {label}\n" in text, name
        (own,) = re.findall(
            r"After this chapter you will be able to\n\n((?:- .*\n(?:  .*\n)*)+)", text
        )
        verbs = re.findall(r"^- (\w+)|\band (\w+)", own.replace("\n  ", " "), re.M)
        assert goal.split()[0] in {verb for pair in verbs for verb in pair}, (name, goal)
        assert len(re.findall(r"^:label: exercise-", text, re.M)) >= 5, name
