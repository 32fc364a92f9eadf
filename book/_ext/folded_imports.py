"""What is folded on a page says what it is: a chapter's imports, the tests of an assignment.

In the notebook the imports stay as they are.
"""

import json
from typing import Any

from sphinx.application import Sphinx

IMPORTS = "What this chapter imports"
TEST = "The test of this answer"


def fold(app: Sphinx, page: str, source: list[str]) -> None:
    """Fold the first cell that a chapter shows, and name what an assignment folds."""
    if not app.env.doc2path(page).endswith(".ipynb"):
        return
    notebook = json.loads(source[0])
    cells = [cell["metadata"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    cells = [cell for cell in cells if "remove-cell" not in cell.get("tags", [])]
    if page.startswith("assignments/"):
        folded = [cell for cell in cells if "hide-input" in cell.get("tags", [])]
        name = TEST
    else:
        folded, name = cells[:1], IMPORTS
        folded[0].setdefault("tags", []).append("hide-input")
    for cell in folded:
        cell["mystnb"] = {"code_prompt_show": name, "code_prompt_hide": name}
    source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
