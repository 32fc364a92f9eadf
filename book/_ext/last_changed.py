"""Each page says when it last changed, as git knows it: its text, and what of elsewhere it shows.

Without git, in a copy, or in a clone that lacks the older history, it says nothing: the oldest
commit would there seem to have changed everything.
"""

import subprocess
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from repository import ROOT
from sphinx.application import Sphinx


def git(root: Path, *words: str) -> str:
    """What git answers; empty where it cannot."""
    try:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


@cache
def days(root: Path) -> dict[str, str]:
    """For each file of a clone, by its path from `root`, the day of its last commit."""
    if not (root / ".git").exists():
        return {}  # a copy, and perhaps in the repository of something else
    if git(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        return {}
    found: dict[str, str] = {}
    history = git(root, "-c", "core.quotePath=false", "log", "--format=%x00%cs", "--name-only")
    for commit in history.split("\0")[1:]:
        day, *paths = filter(None, commit.split("\n"))
        for path in paths:
            found.setdefault(path, day)
    return found


def in_words(day: str) -> str:
    """2026-01-05 as 5 January 2026."""
    return f"{date.fromisoformat(day):%-d %B %Y}"


def last_changed(app: Sphinx, page: str) -> str:
    """The day on which a page last changed; empty where that is not known."""
    book = Path(app.srcdir).resolve()
    shown = [Path(book, one).resolve() for one in app.env.dependencies[page]]
    paths = [Path(app.env.doc2path(page)), *(one for one in shown if book not in one.parents)]
    inside = [one.relative_to(ROOT).as_posix() for one in paths if ROOT in one.parents]
    return max((days(ROOT)[one] for one in inside if one in days(ROOT)), default="")


def say(
    app: Sphinx, page: str, _: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Tell the foot of the page."""
    if doctree is not None and (day := last_changed(app, page)):
        context["last_updated"] = in_words(day)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", say)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
