import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "book/assignments"
MADE = (
    "release",
    "downloaded",
    "submitted",
    "autograded",
    "feedback",
    "gradebook.db",
    "__pycache__",
)
sys.path.insert(0, str(COURSE))


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder of the course as an instructor has it, in a place of its own."""
    folder = tmp_path_factory.mktemp("course") / "assignments"
    shutil.copytree(COURSE, folder, ignore=shutil.ignore_patterns(*MADE))
    return folder


@pytest.fixture(scope="module")
def run(course):
    """Run a command in the folder of the course; what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}

    def run(command):
        done = subprocess.run(
            command, shell=True, cwd=course, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
