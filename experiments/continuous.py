"""Measure how steps are spaced, and what Heun's method is worth, on the shipped model `mnist`.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/continuous.py [--runs]

For DDIM, DPM-Solver++(2M) and Heun, and for steps that are even in t, in ln SNR and as Karras et
al. (2022) have them: the Frechet distance of 2,000 samples from the 10,000 test images of MNIST, on
the features of the shipped classifier, and the classifier's confidence, from five starts x_T, which
are the same for all; so their differences are taken start by start. All are compared at the same
number of evaluations of the network, of which a step of Heun takes two, but for the last.

--runs samples. What is done is kept under runs/continuous, so that a second call goes on, and calls
side by side share the work: a quarter of an hour on two cores that are fast at bfloat16. Both write
book/results/continuous.json.
"""

import argparse
import functools
import hashlib
import itertools
from typing import Any

from _compare import BATCH, paired
from _results import SAMPLES, STARTS, all_work, complete_mnist, floor_for, share_work, write_work
from _samples import Bench, spread_of_each, start_of

from ddpm_tutorial import ASSETS, DDIM, DPMSolver, Heun, Sampler, sample, timestep_pairs

NAME = "continuous"
SAMPLERS: dict[str, Sampler] = {"ddim": DDIM(), "dpm++": DPMSolver(), "heun": Heun()}
SPACINGS = ("trailing", "log-snr", "karras")
FEW, MORE = 7, 15  # evaluations; odd, for Heun takes one less than two for each step
ROWS = {
    FEW: list(itertools.product(SAMPLERS, SPACINGS)),
    MORE: list(itertools.product(("dpm++", "heun"), ("trailing", "log-snr"))),
}


def part_of(evaluations: int, sampler: str, spacing: str, start: int) -> str:
    return f"{sampler}, {spacing}, {evaluations} evaluations, start {start}"


# Dear ones last.
PARTS = {
    part_of(n, sampler, spacing, start): (n, sampler, spacing, start)
    for n, row in ROWS.items()
    for start in STARTS
    for sampler, spacing in row
}


def main() -> None:
    """Measure if asked to, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="sample and measure")
    if parser.parse_args().runs:
        run_all()
    found = all_work(NAME, PARTS)
    first = next(iter(PARTS))
    write_work(
        NAME,
        collected({part: record["figures"] for part, record in found.items()}),
        found,
        precision=found[first]["figures"]["precision"],
        machine_of=first,
    )


def run_all() -> None:
    """Sample and measure what nobody has yet and nobody else is at."""
    bench, test = Bench("mnist"), complete_mnist()[1].images
    references, _ = bench.classify(test)

    def measured(evaluations: int, name: str, spacing: str, start: int) -> dict[str, Any]:
        steps = (evaluations + 1) // 2 if name == "heun" else evaluations
        pairs = timestep_pairs(bench.model.schedule, steps, spacing)
        with bench.accelerator.autocast():
            images = sample(
                bench.model,
                SAMPLES,
                SAMPLERS[name],
                pairs,
                x_T=start_of(start),
                batch_size=BATCH,
            )
        figures = bench.figures(images.float().cpu(), references)
        return {"precision": bench.precision, **figures}

    share_work(NAME, {part: functools.partial(measured, *PARTS[part]) for part in PARTS})


def collected(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over starts of all that there is, and the differences start by start."""

    def runs(n: int, sampler: str, spacing: str) -> list[dict[str, float]]:
        return [found[part_of(n, sampler, spacing, start)] for start in STARTS]

    def less(n: int, one: tuple[str, str], other: tuple[str, str]) -> dict[str, Any]:
        fids = ([run["fid"] for run in runs(n, *cell)] for cell in (one, other))
        return paired(*fids)

    return {
        "settings": {
            "weights": hashlib.sha256((ASSETS / "mnist.safetensors").read_bytes()).hexdigest()[:12],
            "references": 10_000,
            "batch": BATCH,
        },
        "samples": SAMPLES,
        "starts": len(STARTS),
        "floor": floor_for(SAMPLES),
        "found": {
            str(n): {
                ":".join(cell): spread_of_each(runs(n, *cell), ("fid", "confidence"))
                for cell in row
            }
            for n, row in ROWS.items()
        },
        "differences": {
            str(n): {
                f"{':'.join(one)}-minus-{':'.join(other)}": less(n, one, other)
                for one, other in itertools.combinations(row, 2)
            }
            for n, row in ROWS.items()
        },
    }


if __name__ == "__main__":
    main()
