"""What `make` says before it installs: what is wrong with this Python or this machine."""

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
obstacle = runpy.run_path(str(ROOT / "tools" / "check_python.py"))["obstacle"]
FINE = {
    "version": (3, 11),
    "system": "Linux",
    "machine": "x86_64",
    "release": "",
    "parts": True,
    "free": 50.0,
    "cpu": False,
}
MAC = {"system": "Darwin", "machine": "arm64", "release": "14.2"}


@pytest.mark.parametrize(
    "changes", [{}, {"version": (3, 14)}, MAC, {"free": 5.0, "cpu": True}, MAC | {"free": 5.0}]
)
def test_nothing_is_said_where_nothing_is_wrong(changes):
    assert obstacle(**FINE | changes) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": (3, 10)}, "Python 3.10, and 3.11 or newer"),
        ({"version": (2, 7), "parts": False, "free": 0.0}, "Python 2.7"),
        ({"parts": False}, "apt install python3-venv"),
        (MAC | {"machine": "x86_64"}, "Intel"),
        (MAC | {"release": "13.6.1"}, "macOS 14 or newer, and this is 13.6.1"),
        ({"free": 5.0}, "TORCH=cpu"),
        ({"free": 1.0, "cpu": True}, "1.0 GB are free"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(changes, said):
    assert said in obstacle(**FINE | changes)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_a_python_that_does_not_exist_is_not_called_old(tmp_path):
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    command = ["make", "book", "PYTHON=python4", "UV="]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode
    assert "there is no python4 here" in done.stderr
    assert "older" not in done.stderr
