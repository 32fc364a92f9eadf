"""Measure every sampler against the number of network evaluations, on the shipped model `mnist`.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/samplers.py [--runs]

For each sampler and number of evaluations: the Frechet distance of 2,000 samples from the 10,000
test images of MNIST, on the features of the shipped classifier, and the classifier's confidence,
from five starts x_T, which are the same for all samplers; so their differences are taken start by
start. At 1,000 evaluations there are two starts. A sampler that draws noise draws other noise for
each start. How far that noise alone moves its figure is measured at one setting, from one start.

Also: how much ink digits have that are made half way between two noises, on the straight line and
on the circle, beside those of the two ends, and their distance from the test images.

--runs samples. What is done is kept under runs/samplers, so that a second call goes on, and calls
side by side share the work: some three minutes on a GPU, where a call without it takes no time.
Both write book/results/samplers.json from what there is.
"""

import argparse
import functools
import hashlib
import itertools
import time
from typing import Any

import torch
from _results import (
    SAMPLES,
    STARTS,
    complete_mnist,
    floor_for,
    share_work,
    shared_work,
    with_spread,
    write_results,
)
from _samples import BATCH, Bench, ink_of, paired, spread_of_each, start_of
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
MANY, STARTS_OF_MANY = 1000, range(2)
# One setting from one start, with the noise of other starts.
OWN_NOISE = ("ddpm-small", 50)
INTERPOLATION = ("dpm++", 15)


def part_of(name: str, evaluations: int, start: int, noise: int) -> str:
    return f"{name}, {evaluations} evaluations, start {start}, noise {noise}"


# Dear ones last: sampler, evaluations, start, seed of the noise.
GRID = [
    *((name, n, start, start) for n in EVALUATIONS for start in STARTS for name in SAMPLERS),
    *((*OWN_NOISE, STARTS[0], noise) for noise in STARTS[1:]),
    *((name, MANY, start, start) for name in SAMPLERS for start in STARTS_OF_MANY),
]
PARTS = {part_of(*setting): setting for setting in GRID}
HALF_WAY = {f"half way, start {start}": start for start in STARTS}
REAL = "real"


def main() -> None:
    """Measure if asked to, and write all that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="sample and measure")
    if parser.parse_args().runs:
        run_all()
    found = shared_work(NAME, [REAL, *HALF_WAY, *PARTS])
    # The duration is that of all parts together, wherever they were done.
    seconds = sum(record["seconds"] for record in found.values())
    write_results(
        NAME,
        collected({part: record["figures"] for part, record in found.items()}),
        seed=STARTS[0],
        started=time.monotonic() - seconds,
        precision=found[REAL]["figures"]["precision"],
        measured_on=found[REAL]["measured_on"],
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
    own = [found.get(part_of(*OWN_NOISE, STARTS[0], noise)) for noise in STARTS]
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
        "differences": {str(n): between_samplers(found, n) for n in (*EVALUATIONS, MANY)},
        "gains": {name: to_more_evaluations(found, name) for name in SAMPLERS},
        "own_noise": {
            "sampler": OWN_NOISE[0],
            "evaluations": OWN_NOISE[1],
            **spread_of_each([run for run in own if run], ("fid", "confidence")),
        },
        "half_way": half_way([found[part] for part in HALF_WAY if part in found]),
    }


def runs_of(found: dict[str, Any], name: str, evaluations: int) -> dict[int, dict[str, float]]:
    """By start what was found for a sampler at a number of evaluations."""
    parts = {start: part_of(name, evaluations, start, start) for start in STARTS}
    return {start: found[part] for start, part in parts.items() if part in found}


def by_evaluations(found: dict[str, Any], name: str) -> dict[str, Any]:
    """The row of a sampler; each cell says how many starts it rests on."""
    row = {}
    for evaluations in (*EVALUATIONS, MANY):
        runs = list(runs_of(found, name, evaluations).values())
        if len(runs) > 1:
            row[str(evaluations)] = {
                "starts": len(runs),
                **spread_of_each(runs, ("fid", "confidence")),
            }
    return row


def between_samplers(found: dict[str, Any], evaluations: int) -> dict[str, Any]:
    """FID of one sampler less that of another at as many evaluations."""
    runs = {name: runs_of(found, name, evaluations) for name in SAMPLERS}
    pairs = {
        f"{a}-minus-{b}": compared(runs[a], runs[b]) for a, b in itertools.combinations(SAMPLERS, 2)
    }
    return {name: difference for name, difference in pairs.items() if difference}


def to_more_evaluations(found: dict[str, Any], name: str) -> dict[str, Any]:
    """FID of a sampler less its own with the next larger number of evaluations."""
    numbers = (*EVALUATIONS, MANY)
    pairs = {
        f"{n}-minus-{more}": compared(runs_of(found, name, n), runs_of(found, name, more))
        for n, more in [*itertools.pairwise(numbers), (20, 100)]
    }
    return {pair: difference for pair, difference in pairs.items() if difference}


def compared(
    first: dict[int, dict[str, float]], second: dict[int, dict[str, float]]
) -> dict[str, Any] | None:
    """`paired` over the starts that both have; None where these are fewer than two."""
    starts = sorted(first.keys() & second.keys())
    if len(starts) < 2:
        return None
    fids = ([runs[start]["fid"] for start in starts] for runs in (first, second))
    return {"starts": len(starts), **paired(*fids)}


def half_way(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Ink and FID of the ends and of what lies between; ink less that of the ends, by start."""
    ends = [(run["one"]["ink"] + run["other"]["ink"]) / 2 for run in runs]
    places = {
        place: spread_of_each([run[place] for run in runs], ("fid", "ink", "confidence"))
        for place in ("one", "line", "circle")
    }
    sampler, evaluations = INTERPOLATION
    return {
        "sampler": sampler,
        "evaluations": evaluations,
        **places,
        "ink-of-ends": with_spread(ends),
        "lost": {
            place: paired([run[place]["ink"] for run in runs], ends) for place in ("line", "circle")
        },
    }


if __name__ == "__main__":
    main()
