"""What pip installs: the wheel and the sdist hold all of the package and nothing else."""

import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddpm_tutorial import __version__

ROOT = Path(__file__).parent.parent
NAME = f"ddpm_tutorial-{__version__}"
METADATA = runpy.run_path(str(ROOT / "tools" / "package_metadata.py"))
# What the sdist has beside the package.
AROUND = {
    ".gitignore",
    "CHANGELOG.md",
    "CITATION.cff",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "book/_ext/repository.py",
    "pyproject.toml",
    "tools/package_metadata.py",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with both, built with what is installed, without network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return folder


@pytest.fixture(scope="module")
def package():
    """The files of the package that git knows; in a copy without git, those that are there."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "ddpm_tutorial"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not done.returncode:
        return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}
    files = (path for path in (ROOT / "ddpm_tutorial").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"}


def test_the_wheel_holds_the_package_and_nothing_else(built, package):
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        entry = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert {name for name in names if f"{NAME}.dist-info/" not in name} == package
    assets = {"ddpm_tutorial/assets/mnist_5k.npz", "ddpm_tutorial/assets/mnist.safetensors"}
    assert {"ddpm_tutorial/py.typed", *assets} <= names
    assert "ddpm-tutorial = ddpm_tutorial.__main__:main" in entry
    assert f"{NAME}.dist-info/licenses/LICENSE" in names


def test_the_sdist_holds_what_the_wheel_is_made_of(built, package):
    with tarfile.open(built / f"{NAME}.tar.gz") as sdist:
        names = {name.removeprefix(f"{NAME}/") for name in sdist.getnames()}
    assert names == package | AROUND


def test_an_index_can_show_both(built):
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stdout


def test_paths_of_the_readme_lead_to_files_and_become_addresses_on_an_index():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    paths = [link[3].partition("#")[0] for link in METADATA["LINK"].finditer(text)]
    assert "book/_static/samples.png" in paths
    assert not [path for path in paths if not (ROOT / path).exists()]
    shown = METADATA["with_addresses"](text, "https://github.com/o/r", "main")
    assert "](https://github.com/o/r/raw/main/book/_static/samples.png)" in shown
    assert "](https://github.com/o/r/blob/main/LICENSE)" in shown
    assert not [link[0] for link in re.finditer(r"\]\((?!https://|#)", shown)]


def test_a_wheel_that_is_made_of_the_sdist_says_the_same(monkeypatch):
    shown = METADATA["of_clone"].__globals__
    repository = {"github": lambda _: "https://github.com/o/r", "origin": str, "BRANCH": "main"}
    monkeypatch.setitem(shown, "runpy", SimpleNamespace(run_path=lambda _: repository))
    text, urls = METADATA["of_clone"]()
    assert urls["Issues"] == "https://github.com/o/r/issues"
    head = "".join(f"Project-URL: {name}, {address}\n" for name, address in urls.items())
    assert METADATA["of_sdist"](f"Metadata-Version: 2.4\n{head}\n{text}") == (text, urls)
