"""Results files under book/results, and what several experiments share to make them.

A results file holds what an experiment measured, and what it takes to measure it again. The
chapters draw the figures, and quote them: a number in the text that comes from a results file is
followed by a comment, `<!-- file:path/in/the/file -->`, and a test compares the two.
"""

import json
import re
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from filelock import FileLock, Timeout
from tqdm import tqdm

from ddpm_tutorial import Digits, load_mnist, write_atomically
from ddpm_tutorial.machine import describe_machine

RESULTS = Path(__file__).parent.parent / "book" / "results"
RUNS = Path(__file__).parent.parent / "runs"
# What every comparison rests on (chapter 13): starts x_T, samples of each, seeds of training.
STARTS, SAMPLES, SEEDS = range(5), 2_000, range(3)


def write_results(
    name: str,
    figures: dict[str, Any],
    *,
    seed: int,
    started: float,
    precision: str = "float32",
    measured_on: dict[str, Any] | None = None,
) -> None:
    """Write book/results/NAME.json; `started` is what time.monotonic() gave at the start.

    The command is kept without the folder of the data: where it lies differs from reader to reader.
    `measured_on` is this machine unless another one is named.
    """
    words = list(sys.argv[1:])
    if "--data" in words:
        words[words.index("--data") + 1] = "FOLDER_WITH_MNIST"
    record = {
        "command": shlex.join(["python", f"experiments/{name}.py", *words]),
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
        "precision": precision,
        "measured_on": measured_on or this_machine(),
        "date": time.strftime("%Y-%m-%d"),
        "figures": figures,
    }
    write_atomically(RESULTS / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())


def this_machine() -> dict[str, Any]:
    """What stands in a results file as `measured_on`."""
    return describe_machine() | {"torchmetrics": version("torchmetrics")}


def share_work(name: str, parts: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
    """Do the parts of an experiment that nobody has done and nobody else is at.

    What each finds is kept in runs/NAME/PART.json, with its seconds and the machine. So a second
    call goes on where the first was stopped, and calls side by side share the work.
    """
    folder = RUNS / name
    folder.mkdir(parents=True, exist_ok=True)
    for part, do in tqdm(parts.items(), name, unit="part"):
        done = folder / f"{file_name(part)}.json"
        try:
            with FileLock(done.with_suffix(".lock"), timeout=0):
                if done.exists():
                    continue
                started = time.monotonic()
                record = {"figures": do(), "seconds": round(time.monotonic() - started, 1)}
                record["measured_on"] = this_machine()
                write_atomically(done, (json.dumps(record) + "\n").encode())
        except Timeout:
            continue


def shared_work(name: str, parts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """By part what `share_work` kept (`figures`, `seconds`, `measured_on`); without what lacks."""
    files = {part: RUNS / name / f"{file_name(part)}.json" for part in parts}
    return {
        part: json.loads(file.read_text(encoding="utf-8"))
        for part, file in files.items()
        if file.exists()
    }


def all_work(name: str, parts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`shared_work` where all parts are done; SystemExit as long as they are not."""
    wanted = list(parts)
    found = shared_work(name, wanted)
    if len(found) < len(wanted):
        raise SystemExit(f"{name}: {len(wanted) - len(found)} parts are still to be done")
    return found


def write_work(
    name: str,
    figures: dict[str, Any],
    found: dict[str, dict[str, Any]],
    *,
    precision: str,
    machine_of: str,
) -> None:
    """`write_results` of what was found in parts: the seconds of all, wherever they were done.

    `machine_of` is the part whose machine stands in the file.
    """
    seconds = sum(record["seconds"] for record in found.values())
    write_results(
        name,
        figures,
        seed=SEEDS[0],
        started=time.monotonic() - seconds,
        precision=precision,
        measured_on=found[machine_of]["measured_on"],
    )


def file_name(words: str) -> str:
    """Words as the name of a file: "Muon, batches of 64" is "Muon-batches-of-64"."""
    return re.sub(r"[^\w.+]+", "-", words)


def with_spread(values: Sequence[float], digits: int = 5) -> dict[str, Any]:
    """Mean and standard deviation of one figure over starts or seeds, and the values."""
    return {
        "mean": round(statistics.mean(values), digits),
        "standard_deviation": round(statistics.stdev(values), digits) if values[1:] else None,
        "values": [round(value, digits) for value in values],
    }


def floor_for(samples: int) -> dict[str, Any]:
    """The FID of so many training images from the test images: one floor for all experiments.

    It was measured once, on disjoint sets, by experiments/fid.py. KeyError for another number.
    """
    rows = {row["n"]: row["fid"] for row in read_figures("fid")["rows"]}
    return with_spread(rows[samples])


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


def name_of_precision(accelerator: Accelerator) -> str:
    """What an Accelerator computes products in, as torch calls it."""
    return {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}[accelerator.mixed_precision]
