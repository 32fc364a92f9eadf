"""The address of the repository, for what has to lead there or to install the package from there.

_config.yml has it, in one place. Where that is empty, the pages of a clone of GitHub lead to where
it came from.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

BRANCH = "main"
ROOT = Path(__file__).parents[2]
SETTING = re.compile(r"^repository:\n(?:(?:  .*|#.*|)\n)*?  url: *[\"']?([^\s\"'#]*)", re.MULTILINE)


def setting(config: str | None = None) -> str:
    """The address that _config.yml has, or this text of it; empty where it has none.

    It is read without a library for YAML, which pip lacks when it builds the package.
    """
    if config is None:
        config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    found = SETTING.search(config)
    return found[1] if found else ""


def address() -> str:
    """The setting, else the origin of this clone."""
    return setting() or origin()


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
