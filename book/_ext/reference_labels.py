"""The bibliography names an entry as the text does: authors and year."""

from collections.abc import Iterable, Iterator
from typing import Any

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx


class Labels(BaseLabelStyle):
    """One label for each entry, such as Ho et al., 2020."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        """Called by pybtex."""
        for entry in sorted_entries:
            people = entry.persons["author"]
            names = [
                " ".join(str(part) for part in (*one.rich_prelast_names, *one.rich_last_names))
                for one in people
            ]
            authors = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
            yield f"{authors}, {entry.fields['year']}"


class Style(Unsorted):
    """Entries in the order of their labels."""

    default_sorting_style = "author_year_title"
    default_label_style = Labels


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    register_plugin("pybtex.style.formatting", "as_cited", Style)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
