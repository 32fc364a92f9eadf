"""The first code cell of a chapter, which imports what the rest needs, is folded on its page.

In the notebook it stays as it is.
"""

import json
from typing import Any

from sphinx.application import Sphinx

PROMPT = "What this chapter imports"


def fold(app: Sphinx, page: str, source: list[str]) -> None:
    """Tag the cell before the page is read; the assignments keep theirs open, to be worked on."""
    if app.env.doc2path(page).endswith(".ipynb") and not page.startswith("assignments/"):
        notebook = json.loads(source[0])
        first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
        first["metadata"].setdefault("tags", []).append("hide-input")
        first["metadata"]["mystnb"] = {"code_prompt_show": PROMPT, "code_prompt_hide": PROMPT}
        source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
