"""What a page says of itself: when it last changed, the version, how to cite and install."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ddpm_tutorial import __version__

ROOT = Path(__file__).parent.parent
EXTENSIONS = ROOT / "book" / "_ext"
CFF = (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.fixture
def extension(monkeypatch):
    """Loads an extension of the book by its name."""
    monkeypatch.syspath_prepend(EXTENSIONS)

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def git(folder, *words, day="2026-01-01"):
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(folder)]
    moment = f"{day}T12:00:00+0000"
    said = os.environ | {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
    subprocess.run([*command, *words], check=True, capture_output=True, env=said)


@pytest.fixture
def clone(tmp_path):
    """A repository with two commits, a week apart, of which the second changes one file."""
    folder = tmp_path / "whole"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for day, names in (("2026-01-05", ["old.md", "new.md"]), ("2026-01-12", ["new.md"])):
        for name in names:
            (folder / name).write_text(f"{day}\n", encoding="utf-8")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", day, day=day)
    return folder


def test_a_file_last_changed_on_the_day_of_its_last_commit(extension, clone):
    found = extension("last_changed").days(clone)
    assert found == {"old.md": "2026-01-05", "new.md": "2026-01-12"}


def test_a_shallow_clone_and_a_copy_say_nothing(extension, clone, tmp_path):
    days = extension("last_changed").days
    shallow, copy = tmp_path / "shallow", clone / "copy"
    git(tmp_path, "clone", "--quiet", "--depth", "1", clone.as_uri(), str(shallow))
    assert (shallow / "old.md").exists()
    assert days(shallow) == {}
    copy.mkdir()  # as an unpacked archive, here within the repository of something else
    assert days(copy) == {}


def test_without_git_nothing_is_said(extension, clone, monkeypatch):
    module = extension("last_changed")
    monkeypatch.setenv("PATH", "")
    assert module.days(clone) == {}


def test_a_page_changes_with_what_it_shows_of_elsewhere(extension, monkeypatch):
    module = extension("last_changed")
    days = {"book/a.md": "2026-01-05", "CHANGELOG.md": "2026-01-12", "book/b.ipynb": "2026-01-20"}
    monkeypatch.setattr(module, "days", lambda _: days)

    def page(*shown):
        env = SimpleNamespace(
            doc2path=lambda name: str(ROOT / "book" / f"{name}.md"), dependencies={"a": shown}
        )
        return SimpleNamespace(srcdir=str(ROOT / "book"), env=env)

    assert module.last_changed(page(), "a") == "2026-01-05"
    assert module.last_changed(page("../CHANGELOG.md", "/usr/share/x"), "a") == "2026-01-12"
    assert module.last_changed(page("b.ipynb"), "a") == "2026-01-05"  # has a page of its own
    context = {}
    module.say(page(), "a", "", context, object())
    assert context == {"last_updated": "5 January 2026"}


def test_the_citation_is_that_of_the_file(extension):
    says = yaml.safe_load(CFF)
    entry = extension("colophon").bibtex(CFF, "2026", "")
    for said in (says["title"], says["authors"][0]["name"], f"Version {__version__}", "{2026}"):
        assert said in entry
    assert "url" not in entry
    assert "https://github.com/o/r" in extension("colophon").bibtex(
        CFF, "2026", "https://github.com/o/r"
    )


def test_a_person_is_cited_by_name(extension):
    cff = "title: A\nversion: 1\nauthors: [{family-names: B, given-names: C}, {name: The D}]"
    assert "author = {B, C and {The D}}" in extension("colophon").bibtex(cff, "2026", "")


def test_the_line_that_installs_names_the_repository_where_it_is_known(extension):
    line = extension("colophon").install_line
    assert line("https://github.com/o/r").endswith('"ddpm-tutorial @ git+https://github.com/o/r"')
    assert line("") == "$ pip install ."


@pytest.mark.parametrize("address", ["https://github.com/o/r", ""])
def test_the_foot_of_a_page_has_version_changes_and_citation(extension, monkeypatch, address):
    module = extension("colophon")
    monkeypatch.setattr(module, "github", lambda _: address)
    app = SimpleNamespace(builder=SimpleNamespace(format="html"))
    context = {"theme_extra_footer": "Licence.", "pathto": lambda name: f"../{name}.html"}
    module.sign(app, "a/b", "", context, None)
    foot = context["theme_extra_footer"]
    assert f"Version {__version__}" in foot
    assert 'href="../changelog.html"' in foot
    assert 'href="../intro.html#licence-and-citation"' in foot
    assert ("Repository" in foot) == bool(address)
    assert "Licence." in foot


def test_the_options_on_the_page_are_those_of_the_command(extension):
    from ddpm_tutorial.cli import Train

    module = extension("command_line")
    lines = "\n".join(module.options(Train))
    assert ".. option:: --out PATH" in lines
    assert ".. option:: --T INT" in lines
    assert ".. option:: --dataset {mnist,fashion-mnist}" in lines
    assert ".. option:: --resume, --no-resume" in lines
    assert "Default: 0.002." in lines.replace("\\", "")
    assert "``--steps``" in lines  # in a text too, with both dashes
