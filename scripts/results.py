"""Results files under book/results: what a script measured, and what it takes to measure it again.

The chapters draw them, and quote them: a number in the text that comes from a results file is
followed by a comment, `<!-- file:path/in/the/file -->`, and a test compares the two.
"""

import json
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ddpm_tutorial.files import write_atomically
from ddpm_tutorial.machine import describe_machine

RESULTS = Path(__file__).parent.parent / "book" / "results"


def write_results(
    name: str, figures: dict[str, Any], *, seed: int, started: float, precision: str = "float32"
) -> None:
    """Write book/results/NAME.json; `started` is what time.monotonic() gave at the start.

    The command is kept without the folder of the data: where it lies differs from reader to reader.
    """
    words = list(sys.argv[1:])
    if "--data" in words:
        words[words.index("--data") + 1] = "FOLDER_WITH_MNIST"
    record = {
        "command": shlex.join(["python", f"scripts/{Path(sys.argv[0]).name}", *words]),
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "precision": precision,
        "measured_on": describe_machine() | {"torchmetrics": version("torchmetrics")},
        "date": time.strftime("%Y-%m-%d"),
        "figures": figures,
    }
    write_atomically(RESULTS / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())


def figures_so_far(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The figures of book/results/NAME.json, if they were measured with these settings."""
    path = RESULTS / f"{name}.json"
    if path.exists():
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["figures"]
        if figures["settings"] == settings:
            return figures
    return {"settings": settings}
