"""constraints.txt: what `make` installs where pyproject.toml leaves a choice."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKED = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def wanted() -> list[Requirement]:
    """All that the package and its extras ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for lines in lists for line in lines]


def versions(name: str) -> list[str]:
    """Those that are locked, on one system and Python or another."""
    of_it = [each for each in LOCKED if canonicalize_name(each.name) == canonicalize_name(name)]
    return [spec.version for each in of_it for spec in each.specifier]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_all_that_is_asked_for_is_locked_within_its_range(requirement: Requirement) -> None:
    locked = versions(requirement.name)
    assert locked, f"{requirement.name} is not in constraints.txt: make lock"
    for each in locked:
        assert each in requirement.specifier, f"{requirement} does not admit {each}: make lock"


def test_every_entry_is_one_version_and_no_address() -> None:
    for each in LOCKED:
        assert each.url is None
        assert [spec.operator for spec in each.specifier] == ["=="], each
