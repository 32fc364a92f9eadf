"""What the package says of itself on an index, where it depends on the repository's address.

Hatchling calls this when it builds the wheel. The README is written for the repository, where its
picture and its links are paths; here they become addresses, and the project's own are added. All
start with the address that _config.yml has, else that of the clone's origin, on GitHub; elsewhere,
the README stays as it is. An sdist has its own file of what was found when it was built.
"""

import email
import re
import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)]+)\)")


def with_addresses(text: str, address: str, branch: str) -> str:
    """Markdown in which each path is an address: a picture's own, or a page that shows the file."""

    def absolute(link: re.Match[str]) -> str:
        view = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({address}/{view}/{branch}/{link[3]})"

    return LINK.sub(absolute, text)


def of_clone() -> tuple[str, dict[str, str]]:
    """The README, and the addresses of the project, as an index is to show them."""
    repository = runpy.run_path(str(ROOT / "book" / "_ext" / "repository.py"))
    address, branch = repository["github"](repository["address"]()), repository["BRANCH"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if not address:
        return text, {}
    return with_addresses(text, address, branch), {
        "Source": address,
        "Issues": f"{address}/issues",
        "Changelog": f"{address}/blob/{branch}/CHANGELOG.md",
    }


def of_sdist(pkg_info: str) -> tuple[str, dict[str, str]]:
    """The same, from the file PKG-INFO of an sdist."""
    found = email.message_from_string(pkg_info)
    urls = [line.partition(", ") for line in found.get_all("Project-URL", [])]
    return str(found.get_payload()), {name: address for name, _, address in urls}


class PackageMetadata(MetadataHookInterface):
    """Fills in `readme` and `urls`, which pyproject.toml names as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling."""
        pkg_info = ROOT / "PKG-INFO"
        if pkg_info.exists():
            text, urls = of_sdist(pkg_info.read_text(encoding="utf-8"))
        else:
            text, urls = of_clone()
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = urls
