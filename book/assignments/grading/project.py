"""The final project: what is handed in, how it is scored, and what a result file has to hold."""

import hashlib
import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple, NoReturn

from ddpm_tutorial.algorithms.sampling import SAMPLERS

from .files import content

FORMAT = "ddpm-tutorial project 1"
N = 2000  # test images for the bound, and samples
RUNS = 3  # trainings with seeds of their own
TRAINING, TEST, TERMS = 60_000, 10_000, 10  # MNIST, and the terms of the bound for each image
MOST_STEPS = 100
LARGEST = 64 * 2**20  # bytes of one file of weights
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,38}[A-Za-z0-9])?")
WEIGHTS = tuple(f"run-{k}.safetensors" for k in range(1, RUNS + 1))
COPIES = 0.05  # of the samples: more than that are not ranked
FLOOR = 0.02  # by that share may the floor of one file differ from that of the class
HOUR = 3600.0  # for one evaluation


class Refused(ValueError):
    """Something that cannot be scored or ranked; the message says why, on one line."""


class Project(NamedTuple):
    """What is handed in beside the weights and the report: project.json."""

    name: str
    command: str
    sampler: str
    steps: int


class Entry(NamedTuple):
    """One line of the leaderboard: a figure for each run, in the order of the seeds."""

    name: str
    sampler: str
    steps: int
    precision: str
    fid: list[float]
    floor: list[float]
    bits: list[float]
    copies: list[float]


Evaluate = Callable[[Path, int, Project], dict[str, Any]]


def strict_json(path: Path, most: int = 2**20) -> Any:
    """The value in a file. No number that is not finite, no name twice. Raises Refused."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise Refused("a name stands twice in one object")
        return dict(pairs)

    def no_constant(word: str) -> NoReturn:
        raise Refused(f"{word} is no figure")

    text = content(path, most + 1)
    if text is None:
        raise Refused("it is missing, or no plain file")
    if len(text) > most:
        raise Refused(f"it has more than {most:,} bytes")
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_constant)
    except Refused:
        raise
    except (ValueError, RecursionError):
        raise Refused("it is not JSON") from None


def read_project(folder: Path) -> Project:
    """What a folder that was handed in says of itself. Raises Refused."""
    found = strict_json(folder / "project.json")
    _keys("project.json", found, Project._fields)
    project = Project(**found)
    if not (isinstance(project.name, str) and NAME.fullmatch(project.name)):
        raise Refused("name: up to 40 letters, digits, spaces, points, _ and -")
    if not (isinstance(project.command, str) and 0 < len(project.command) <= 2000):
        raise Refused("command: give the command that trained, in up to 2,000 characters")
    if not (isinstance(project.sampler, str) and project.sampler in SAMPLERS):
        raise Refused(f"sampler: choose of {', '.join(SAMPLERS)}")
    if not (_whole(project.steps) and 1 <= project.steps <= MOST_STEPS):
        raise Refused(f"steps: choose 1..{MOST_STEPS}")
    return project


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of weights. Raises Refused if one is missing, or two are equal."""
    found = {}
    for name in WEIGHTS:
        weights = content(folder / name, LARGEST + 1)
        if weights is None:
            raise Refused(f"{name} is missing, or no plain file")
        if len(weights) > LARGEST:
            raise Refused(f"{name} has more than {LARGEST // 2**20} MB")
        found[name] = hashlib.sha256(weights).hexdigest()
    if len(set(found.values())) < RUNS:
        raise Refused("two of the files of weights are the same: train with other seeds")
    return found


def score(folder: Path, seeds: Sequence[int], evaluate: Evaluate) -> dict[str, Any]:
    """The result file of one project: each run measured with the seed of its place.

    Raises Refused.
    """
    check_seeds(seeds)
    project, weights = read_project(folder), digests(folder)
    runs = []
    for name, seed in zip(WEIGHTS, seeds, strict=True):
        record = evaluate(folder / name, seed, project)
        runs.append({**record, "checkpoint": name, "command": "ddpm-tutorial evaluate"})
    return {"format": FORMAT, **project._asdict(), "weights": weights, "runs": runs}


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise Refused unless there is one for each run, all different."""
    if len(set(seeds)) != RUNS or len(seeds) != RUNS:
        raise Refused(f"give {RUNS} seeds, all different: there is one for each run")


def measured(data: Path | None, n: int = N) -> Evaluate:
    """`ddpm-tutorial evaluate`, in a process of its own with an hour's time. It raises Refused.

    Weights are safetensors: reading them executes nothing.
    """

    def evaluate(weights: Path, seed: int, project: Project) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "record.json"
            words = ["--checkpoint", weights, "--n", n, "--samples", n, "--seed", seed]
            words += ["--sampler", project.sampler, "--steps", project.steps, "--json", out]
            words += ["--data", data] if data else []
            command = [sys.executable, "-m", "ddpm_tutorial", "evaluate", *map(str, words)]
            try:
                done = subprocess.run(
                    command, stdout=subprocess.PIPE, timeout=HOUR, check=False, text=True
                )
            except subprocess.TimeoutExpired:
                raise Refused(f"{weights.name}: measuring it took more than an hour") from None
            if done.returncode != 0:
                raise Refused(f"{weights.name}: it cannot be measured, see above")
            record: dict[str, Any] = strict_json(out)
            return record

    return evaluate


def read_result(path: Path, seeds: Sequence[int], n: int = N) -> Entry:
    """A result file, if all in it is what the leaderboard compares. Raises Refused."""
    found = strict_json(path)
    _keys("the file", found, ("format", *Project._fields, "weights", "runs"))
    if found["format"] != FORMAT:
        raise Refused("it is of another format: score the project again")
    if not (isinstance(found["name"], str) and NAME.fullmatch(found["name"])):
        raise Refused("its name is none that a project can have")
    weights = found["weights"]
    if not isinstance(weights, dict) or set(weights) != set(WEIGHTS):
        raise Refused("it does not name the weights of all runs")
    if len({str(each) for each in weights.values()}) < RUNS:
        raise Refused("two of its runs have the same weights")
    runs = found["runs"]
    if not isinstance(runs, list) or len(runs) != len(seeds):
        raise Refused(f"it does not have {len(seeds)} runs")
    same = {"dataset": "mnist", "n": n, "terms_per_image": TERMS, "training_images": TRAINING}
    same |= {"sampler": found["sampler"], "steps": found["steps"]}
    for seed, run in zip(seeds, runs, strict=True):
        for key, value in {**same, "seed": seed}.items():
            if (there := _at(run, key)) != value:
                raise Refused(f"{key} is {there!r:.40} where the class has {value!r:.40}")
        for key, value in {"samples/samples": n, "samples/references": TEST}.items():
            if (there := _at(run, key)) != value:
                raise Refused(f"{key} is {there!r:.40} where the class has {value}")
    precisions = {str(_at(run, "sampling_precision")) for run in runs}
    if len(precisions) != 1:
        raise Refused("its runs were drawn in different precisions")
    known = isinstance(found["sampler"], str) and found["sampler"] in SAMPLERS
    if not known or not _whole(found["steps"]):
        raise Refused("its sampler is none that we know")
    return Entry(
        found["name"],
        found["sampler"],
        found["steps"],
        precisions.pop()[:20],
        fid=[_figure(run, "samples/fid", 0, 1e6) for run in runs],
        floor=[_figure(run, "samples/fid_floor", 1e-6, 1e3) for run in runs],
        bits=[_figure(run, "bits_per_dim/total/mean", 1e-6, 1e6) for run in runs],
        copies=[
            max(_figure(run, f"samples/{kind}/copies", 0, 1) for kind in ("pixels", "features"))
            for run in runs
        ],
    )


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation over the runs."""
    return fmean(values), stdev(values)


def _keys(what: str, found: Any, keys: Sequence[str]) -> None:
    if not isinstance(found, dict):
        raise Refused(f"{what} holds no object")
    if missing := [key for key in keys if key not in found]:
        raise Refused(f"{what} lacks {', '.join(missing)}")
    if more := [key for key in found if key not in keys]:
        raise Refused(f"{what} has more than is asked for: {', '.join(more)[:100]}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at(run: Any, path: str) -> Any:
    for key in path.split("/"):
        run = run.get(key) if isinstance(run, dict) else None
    return run


def _figure(run: Any, path: str, least: float, most: float) -> float:
    value = _at(run, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{path} is missing")
    if not (math.isfinite(value) and least <= value <= most):
        raise Refused(f"{path} is {value:g}, which it cannot be")
    return float(value)
