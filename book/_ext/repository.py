"""The address of the repository, from the one place that has it: the origin of this clone.

So a course's own copy of the book leads to the course's own repository, and nothing has to be
edited.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

BRANCH = "main"
ROOT = Path(__file__).parents[2]


@cache
def origin() -> str:
    """Where this clone came from, as git says it; empty without git, a clone or an origin."""
    if not (ROOT / ".git").exists():
        return ""  # a copy, and perhaps in the repository of something else
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def github(remote: str) -> str:
    """The address of a GitHub repository for a browser, without names or keys of who cloned it.

    Empty for anything else.
    """
    pattern = r"(?:(?:https|ssh)://)?(?:[^@/]+@)?github\.com[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
    found = re.fullmatch(pattern, remote)
    return f"https://github.com/{found[1]}/{found[2]}" if found else ""
