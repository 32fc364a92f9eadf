"""The weights of shipped models as scripts, for the live views that draw with them.

A page that lies on a disk may read no file, but it may load a script. So the file of the package
goes into one, as it is, in base64; a server compresses it to about the size of the file.
"""

import base64
import json
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ASSETS = Path(__file__).parents[2] / "ddpm_tutorial" / "assets"
MODELS = ["mnist-labels", "mnist-one-step"]


def write(app: Sphinx, error: Exception | None) -> None:
    """Beside the views, which ask for their models by name."""
    if error or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static" / "live" / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        text = base64.b64encode((ASSETS / f"{name}.safetensors").read_bytes()).decode()
        script = f'(window.liveWeights ??= {{}})[{json.dumps(name)}] = "{text}";\n'
        (folder / f"{name}.js").write_text(script, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
