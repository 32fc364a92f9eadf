"""What pip installs: the wheel holds the package and nothing else, the sdist the repository."""

import os
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
# What the chapters read, beside the package in a clone and inside it in the wheel.
READ = ("benchmarks/gpu.json", "benchmarks/mnist.json", "benchmarks/mnist-bound.json")
READ += ("book/results", "book/texts")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with both, built with what is installed, without network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return folder


def files_of(*places):
    """The files there that git knows; in a copy without git, those that are there."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not done.returncode:
        return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}
    paths = (path for place in places for path in [ROOT / place, *(ROOT / place).rglob("*")])
    paths = (path for path in paths if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(ROOT)) for path in paths}


@pytest.fixture(scope="module")
def package():
    return files_of("ddpm_tutorial")


@pytest.fixture(scope="module")
def read():
    return files_of(*READ)


def test_the_wheel_holds_the_package_what_chapters_read_and_nothing_else(built, package, read):
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        entry = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    inside = {f"ddpm_tutorial/{name}" for name in read}
    assert {name for name in names if f"{NAME}.dist-info/" not in name} == package | inside
    assets = {"ddpm_tutorial/assets/mnist_5k.npz", "ddpm_tutorial/assets/mnist.safetensors"}
    assert {"ddpm_tutorial/py.typed", *assets} <= names
    assert "ddpm-tutorial = ddpm_tutorial.__main__:main" in entry
    assert f"{NAME}.dist-info/licenses/LICENSE" in names


def test_the_sdist_holds_the_whole_repository(built, package, read):
    """So the book is built, and the tests are run, from it as from a clone."""
    with tarfile.open(built / f"{NAME}.tar.gz") as sdist:
        names = {name.removeprefix(f"{NAME}/") for name in sdist.getnames()}
    assert package | read | {"PKG-INFO", "Makefile", "_config.yml", "book/_toc.yml"} <= names
    if (ROOT / ".git").exists():  # else nothing tells what belongs
        assert names == files_of(".") | {"PKG-INFO"}


def test_an_installed_package_has_what_the_chapters_read(built, read, tmp_path):
    """In a folder outside of any clone, with the package of the wheel."""
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        wheel.extractall(tmp_path / "installed")
    folder = tmp_path / "notebook"
    folder.mkdir()
    names = [os.path.relpath(name, "book") for name in sorted(read)]
    code = f"from ddpm_tutorial import book_file\nfor name in {names}:\n    print(book_file(name))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    for name, path in zip(sorted(read), done.stdout.splitlines(), strict=True):
        assert Path(path).is_relative_to(tmp_path / "installed" / "ddpm_tutorial")
        assert Path(path).read_bytes() == (ROOT / name).read_bytes()


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
    repository = {"github": lambda _: "https://github.com/o/r", "address": str, "BRANCH": "main"}
    monkeypatch.setitem(shown, "runpy", SimpleNamespace(run_path=lambda _: repository))
    text, urls = METADATA["of_clone"]()
    assert urls["Issues"] == "https://github.com/o/r/issues"
    head = "".join(f"Project-URL: {name}, {address}\n" for name, address in urls.items())
    assert METADATA["of_sdist"](f"Metadata-Version: 2.4\n{head}\n{text}") == (text, urls)
