"""Results files under book/results, and what several experiments share to make them.

A results file holds what an experiment measured, and what it takes to measure it again. The
chapters draw the figures, and quote them: a number in the text that comes from a results file is
followed by a comment, `<!-- file:path/in/the/file -->`, and a test compares the two.
"""

import json
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ddpm_tutorial import (
    DigitClassifier,
    Digits,
    classify,
    frechet_distance,
    load_mnist,
    write_atomically,
)
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
        "command": shlex.join(["python", f"experiments/{name}.py", *words]),
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "precision": precision,
        "measured_on": describe_machine() | {"torchmetrics": version("torchmetrics")},
        "date": time.strftime("%Y-%m-%d"),
        "figures": figures,
    }
    write_atomically(RESULTS / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())


def read_figures(name: str) -> dict[str, Any]:
    """The figures of book/results/NAME.json; none if there is no such file."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return figures


def figures_so_far(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The figures of book/results/NAME.json, if they were measured with these settings."""
    figures = read_figures(name)
    return figures if figures.get("settings") == settings else {"settings": settings}


def complete_mnist(folder: str | None = None) -> tuple[Digits, Digits]:
    """The training and the test set of MNIST; SystemExit where the bundled digits stand in."""
    train, test = load_mnist("train", folder), load_mnist("test", folder)
    if len(train.images) != 60_000:
        raise SystemExit("this needs the complete MNIST: name its folder in DDPM_TUTORIAL_DATA")
    return train, test


def floor_of_fid(
    classifier: DigitClassifier,
    train: Tensor,
    test_features: Tensor,
    *,
    samples: int,
    draws: int,
    seed: int,
) -> tuple[float, float]:
    """The FID of as many training images as there are samples, to set that of samples beside.

    Mean and standard deviation over several draws, which share no image.
    """
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    features, _ = classify(classifier, train[order[: draws * samples]], progress=True)
    distances = torch.tensor(
        [frechet_distance(part, test_features) for part in features.split(samples)]
    )
    return float(distances.mean()), float(distances.std())


def name_of_precision(accelerator: Accelerator) -> str:
    """What an Accelerator computes products in, as torch calls it."""
    return {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}[accelerator.mixed_precision]
