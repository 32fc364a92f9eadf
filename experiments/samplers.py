"""Measure every sampler against the number of network evaluations, on the shipped model `mnist`.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/samplers.py [--runs]

For each sampler and number of evaluations: the Frechet distance of 2,000 samples from the 10,000
test images of MNIST, on the features of the shipped classifier, and the classifier's confidence,
from five starts x_T, which are the same for all samplers; so their differences are taken start by
start. A sampler that draws noise draws other noise for each start. How far that noise alone moves
its figure is measured at one setting, from one start.

Also: how much ink digits have that are made half way between two noises, on the straight line and
on the circle, and how far they are from the test images, beside the digits of the two ends.

--runs samples. What is done is kept under runs/samplers, so that a second call goes on, and calls
side by side share the work: some minutes on a GPU, where a call without it takes no time.
Both write book/results/samplers.json.
"""

import argparse
import functools
import hashlib
import itertools
from typing import Any

import torch
from _compare import BATCH, paired
from _results import (
    SAMPLES,
    STARTS,
    all_work,
    complete_mnist,
    floor_for,
    share_work,
    with_spread,
    write_work,
)
from _samples import Bench, ink_of, spread_of_each, start_of
from torch import Tensor

from ddpm_tutorial import ASSETS, DDIM, Ancestral, DPMSolver, Sampler, sample

NAME = "samplers"
SAMPLERS: dict[str, Sampler] = {
    "ddpm-small": Ancestral("small"),
    "ddim": DDIM(),
    "ddpm-large": Ancestral("large"),
    "dpm++": DPMSolver(),
}
EVALUATIONS = (5, 10, 20, 50, 100)
# One setting from one start, with the noise of other starts.
OWN_NOISE = ("ddpm-small", 50)
INTERPOLATION = ("dpm++", 15)


def part_of(name: str, evaluations: int, start: int, noise: int) -> str:
    return f"{name}, {evaluations} evaluations, start {start}, noise {noise}"


# Dear ones last: sampler, evaluations, start, seed of the noise.
GRID = [
    *((name, n, start, start) for n in EVALUATIONS for start in STARTS for name in SAMPLERS),
    *((*OWN_NOISE, STARTS[0], noise) for noise in STARTS[1:]),
]
PARTS = {part_of(*setting): setting for setting in GRID}
HALF_WAY = {f"half way, start {start}": start for start in STARTS}
REAL = "real"


def main() -> None:
    """Measure if asked to, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="sample and measure")
    if parser.parse_args().runs:
        run_all()
    found = all_work(NAME, [REAL, *HALF_WAY, *PARTS])
    write_work(
        NAME,
        collected({part: record["figures"] for part, record in found.items()}),
        found,
        precision=found[REAL]["figures"]["precision"],
        machine_of=REAL,
    )


def run_all() -> None:
    """Sample and measure what nobody has yet and nobody else is at."""
    bench, test = Bench("mnist"), complete_mnist()[1].images
    references, confidence = bench.classify(test)

    def measured(name: str, evaluations: int, start: int, noise: int) -> dict[str, Any]:
        images = drawn(bench, start_of(start), SAMPLERS[name], evaluations, noise)
        return {"precision": bench.precision, **bench.figures(images, references)}

    def between(start: int) -> dict[str, Any]:
        a, b = start_of(start, (2, 1, 28, 28)).unbind(1)
        name, evaluations = INTERPOLATION
        found: dict[str, Any] = {"precision": bench.precision}
        for place, x_T in {
            "one": a,
            "other": b,
            "line": (a + b) / 2,
            "circle": circle(a, b),
        }.items():
            images = drawn(bench, x_T, SAMPLERS[name], evaluations, start)
            found[place] = {"ink": ink_of(images), **bench.figures(images, references)}
        return found

    def real() -> dict[str, Any]:
        sets = confidence.amax(1).split(SAMPLES)
        return {"precision": bench.precision, "confidence": [float(part.mean()) for part in sets]}

    share_work(
        NAME,
        {REAL: real}
        | {part: functools.partial(between, start) for part, start in HALF_WAY.items()}
        | {part: functools.partial(measured, *PARTS[part]) for part in PARTS},
    )


def drawn(bench: Bench, x_T: Tensor, sampler: Sampler, evaluations: int, noise: int) -> Tensor:
    """The digits that a sampler makes of x_T, (N, 1, 28, 28)."""
    generator = bench.noise(2000 + noise)
    with bench.accelerator.autocast():
        images = sample(
            bench.model, len(x_T), sampler, evaluations, generator, x_T, batch_size=BATCH
        )
    return images.float().cpu()


def circle(a: Tensor, b: Tensor) -> Tensor:
    """Half way from a to b along the circle, for a batch of pairs."""
    cosine = torch.cosine_similarity(a.flatten(1), b.flatten(1))
    half = torch.arccos(cosine)[:, None, None, None] / 2
    return (a + b) / (2 * torch.cos(half))  # sin(theta/2) / sin(theta) is 1 / (2 cos(theta/2))


def collected(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over starts of all that there is, and the differences start by start."""
    own = [found[part_of(*OWN_NOISE, STARTS[0], noise)] for noise in STARTS]
    return {
        "settings": {
            "weights": hashlib.sha256((ASSETS / "mnist.safetensors").read_bytes()).hexdigest()[:12],
            "references": 10_000,
            "batch": BATCH,
        },
        "samples": SAMPLES,
        "starts": len(STARTS),
        "floor": floor_for(SAMPLES),
        "real": {"confidence": with_spread(found[REAL]["confidence"])},
        "samplers": {name: by_evaluations(found, name) for name in SAMPLERS},
        "differences": {str(n): between_samplers(found, n) for n in EVALUATIONS},
        "gains": {name: to_more_evaluations(found, name) for name in SAMPLERS},
        "own_noise": {
            "sampler": OWN_NOISE[0],
            "evaluations": OWN_NOISE[1],
            **spread_of_each(own, ("fid", "confidence")),
        },
        "half_way": half_way([found[part] for part in HALF_WAY]),
    }


def runs_of(found: dict[str, Any], name: str, evaluations: int) -> list[dict[str, float]]:
    """What was found from each start for a sampler at a number of evaluations."""
    return [found[part_of(name, evaluations, start, start)] for start in STARTS]


def fids_of(found: dict[str, Any], name: str, evaluations: int) -> list[float]:
    """FID from each start."""
    return [run["fid"] for run in runs_of(found, name, evaluations)]


def by_evaluations(found: dict[str, Any], name: str) -> dict[str, Any]:
    """The row of a sampler."""
    return {
        str(n): spread_of_each(runs_of(found, name, n), ("fid", "confidence")) for n in EVALUATIONS
    }


def between_samplers(found: dict[str, Any], evaluations: int) -> dict[str, Any]:
    """FID of one sampler less that of another at as many evaluations."""
    fids = {name: fids_of(found, name, evaluations) for name in SAMPLERS}
    return {f"{a}-minus-{b}": paired(fids[a], fids[b]) for a, b in itertools.combinations(fids, 2)}


def to_more_evaluations(found: dict[str, Any], name: str) -> dict[str, Any]:
    """FID of a sampler less its own with the next larger number of evaluations."""
    fids = {n: fids_of(found, name, n) for n in EVALUATIONS}
    pairs = [*itertools.pairwise(EVALUATIONS), (20, 100)]
    return {f"{n}-minus-{more}": paired(fids[n], fids[more]) for n, more in pairs}


def half_way(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Ink and FID of an end and of what lies between; how they differ from both ends, by start."""
    places = {
        place: spread_of_each([run[place] for run in runs], ("fid", "ink", "confidence"))
        for place in ("one", "line", "circle")
    }
    ends = {
        figure: [(run["one"][figure] + run["other"][figure]) / 2 for run in runs]
        for figure in ("ink", "fid")
    }
    less_ends = {
        figure: {
            place: paired([run[place][figure] for run in runs], ends[figure])
            for place in ("line", "circle")
        }
        for figure in ends
    }
    sampler, evaluations = INTERPOLATION
    return {
        "sampler": sampler,
        "evaluations": evaluations,
        **places,
        "ink-of-ends": with_spread(ends["ink"]),
        "lost": less_ends["ink"],
        "farther": less_ends["fid"],
    }


if __name__ == "__main__":
    main()
