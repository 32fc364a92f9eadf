"""Measure predictors with and without Langevin correctors, annealed Langevin, and a VAE, on MNIST.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/correctors.py [--samplers] [--vaes]

For the shipped model `mnist`, and for each sampler at 49 network evaluations, it measures the
Frechet distance of 2,000 samples from the 10,000 test images, on the features of the shipped
classifier, from five starts x_T, which are the same for all. The relative step of each Langevin
step is chosen beforehand, from starts of its own, as the one whose samples lie nearest to the last
5,000 training images, which the model was not trained on.

Beside them: a VAE trained for 2,000 steps on the 60,000 training images, with its bound on the test
images; a VAE of the toy mixture of chapter 12; both with three seeds of training; and, for each
kind of model, how far test digits are from what comes back after a way to the latent and back.

--samplers measures the samplers, in a minute on a GPU; --vaes trains the VAEs, in some minutes on
one core of a CPU, on the CPU even where there is a GPU. What is done is kept under runs/correctors,
so that a second call goes on, and calls side by side share the work. Any call writes
book/results/correctors.json once all parts are there.
"""

import argparse
import functools
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch
from _compare import BATCH, paired
from _results import (
    SAMPLES,
    SEEDS,
    STARTS,
    all_work,
    complete_mnist,
    floor_for,
    share_work,
    shared_work,
    write_work,
)
from _samples import Bench, spread_of_each, start_of
from _vaes import VAE_STEPS, root_mean_square, toy_vae, trained_vae, vae_on_test_images
from torch import Tensor

from ddpm_tutorial import (
    DDIM,
    VAE,
    Ancestral,
    Corrected,
    Denoiser,
    SamplePath,
    Sampler,
    annealed_langevin,
    classify,
    ddim_invert,
    filled_like,
    frechet_distance,
    load_classifier,
    q_sample,
    sample,
    timestep_pairs,
    walk,
)

NAME, EVALUATIONS = "correctors", 49
PREDICTORS: dict[str, Sampler] = {"ddpm": Ancestral("small"), "ddim": DDIM()}
LANGEVIN, CORRECTED = "langevin", [f"{name}-corrected" for name in PREDICTORS]
Run = tuple[str, float | None, int]  # its name, its relative step where it has one, its start
Work = dict[str, Callable[[], dict[str, Any]]]  # what does each part
# The relative steps to choose from, the starts to choose by, and the images to choose by.
STEPS, STARTS_OF_CHOICE, HELD_OUT = (0.1, 0.2, 0.4, 0.8), range(100, 102), 5_000
DIFFERENCES = [
    *zip(CORRECTED, PREDICTORS, strict=True),
    ("ddpm", "ddim"),
    tuple(CORRECTED),
    (LANGEVIN, "ddpm"),
]
ROUND_TRIPS = 400  # test digits with each start


def part_of(name: str, step: float | None, start: int) -> str:
    """The name of a part: a run with its relative step, where it has one, and its start."""
    return f"{name} {step or 'plain'}, start {start}"


TO_CHOOSE = {
    part_of(name, step, start): (name, step, start)
    for start in STARTS_OF_CHOICE
    for name in (*CORRECTED, LANGEVIN)
    for step in STEPS
}
PLAIN = {part_of(name, None, start): (name, None, start) for start in STARTS for name in PREDICTORS}
BACK = {f"there and back, start {start}": start for start in STARTS}
VAES = {f"vae, seed {seed}": seed for seed in SEEDS}
TOYS = {f"toy vae, seed {seed}": seed for seed in SEEDS}


def main() -> None:
    """Measure what is asked for, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samplers", action="store_true", help="choose the steps, and measure")
    parser.add_argument("--vaes", action="store_true", help="train the VAEs, and measure")
    arguments = parser.parse_args()
    if arguments.samplers:
        run_samplers()
    if arguments.vaes:
        run_vaes()
    all_work(NAME, TO_CHOOSE)
    steps = chosen_steps()
    found = all_work(NAME, [*TO_CHOOSE, *PLAIN, *judged_with(steps), *BACK, *VAES, *TOYS])
    of_samplers = next(iter(TO_CHOOSE))
    write_work(
        NAME,
        collected(steps, {part: record["figures"] for part, record in found.items()}),
        found,
        precision=f"{found[of_samplers]['figures']['precision']}; VAEs float32",
        machine_of=of_samplers,
    )


def run_samplers() -> None:
    """Choose the relative steps, then measure with them, all that nobody else has done or is at."""
    bench = Bench("mnist")
    train, test = (digits.images for digits in complete_mnist())
    held_out, references = (bench.classify(part)[0] for part in (train[-HELD_OUT:], test))

    def measured(references: Tensor, name: str, step: float | None, start: int) -> dict[str, Any]:
        images = drawn(bench, start_of(start), name, step, start)
        return {"precision": bench.precision, **bench.figures(images, references)}

    def parts(runs: Mapping[str, Run], references: Tensor) -> Work:
        return {part: functools.partial(measured, references, *run) for part, run in runs.items()}

    share_work(NAME, parts(TO_CHOOSE, held_out))
    share_work(NAME, parts(PLAIN, references))
    steps = chosen_steps()
    if steps:  # else another call is still at one, and will do the rest
        back = functools.partial(there_and_back, bench, test, steps[LANGEVIN])
        share_work(
            NAME,
            parts(judged_with(steps), references)
            | {part: functools.partial(back, start) for part, start in BACK.items()},
        )


def chosen_steps() -> dict[str, float]:
    """For each run with Langevin steps the one that came nearest to the held-out images, if known.

    By the mean over the starts of the choice. Nothing as long as one of them has not been tried.
    """
    found = shared_work(NAME, TO_CHOOSE)
    if len(found) < len(TO_CHOOSE):
        return {}

    def distance(name: str, step: float) -> float:
        parts = (part_of(name, step, start) for start in STARTS_OF_CHOICE)
        return float(statistics.mean(found[part]["figures"]["fid"] for part in parts))

    return {
        name: min(STEPS, key=functools.partial(distance, name)) for name in (*CORRECTED, LANGEVIN)
    }


def judged_with(steps: dict[str, float]) -> dict[str, Run]:
    """The runs with the chosen steps, from the starts by which all are judged."""
    return {
        part_of(name, step, start): (name, step, start)
        for start in STARTS
        for name, step in steps.items()
    }


def drawn(bench: Bench, x_T: Tensor, name: str, step: float | None, start: int) -> Tensor:
    """The digits (N, 1, 28, 28) that a run makes of x_T with 49 evaluations."""
    denoiser, generator, batches = bench.model.denoiser(), bench.noise(2000 + start), []
    with bench.accelerator.autocast():
        for batch in x_T.to(denoiser.like).split(BATCH):
            for _, x_t, _ in path_of(denoiser, batch, name, step, generator):  # noqa: B007
                pass
            batches.append(x_t.float().cpu())
    return torch.cat(batches)


def path_of(
    denoiser: Denoiser, x_T: Tensor, name: str, step: float | None, generator: torch.Generator
) -> SamplePath:
    """The path of a run: a correction is one evaluation more in each step but the last."""
    T = denoiser.schedule.T
    if step is None:
        return walk(denoiser, x_T, timestep_pairs(T, EVALUATIONS), PREDICTORS[name], generator)
    if name == LANGEVIN:  # one evaluation at each level, and one to go from the last to the data
        pairs = timestep_pairs(T, EVALUATIONS - 1)
        return annealed_langevin(denoiser, x_T, pairs, step, generator=generator)
    sampler = Corrected(PREDICTORS[name.removesuffix("-corrected")], step)
    return walk(denoiser, x_T, timestep_pairs(T, (EVALUATIONS + 1) // 2), sampler, generator)


def there_and_back(bench: Bench, test: Tensor, step: float, start: int) -> dict[str, Any]:
    """How far, per pixel, digits are from what comes back from x_T; 49 evaluations each way.

    DDIM finds an x_T for each digit; for the others the digits are noised.
    """
    denoiser = bench.model.denoiser(clip=False)
    digits = digits_of(test, start).to(denoiser.like)
    with bench.accelerator.autocast():
        x_T = ddim_invert(denoiser, digits, EVALUATIONS)
        back = {"ddim": sample(denoiser, len(digits), "ddim", EVALUATIONS, x_T=x_T)}
    noise = start_of(start, samples=len(digits)).to(denoiser.like)
    x_T = q_sample(bench.model.schedule, digits, filled_like(digits, denoiser.schedule.T), noise)
    back["ddpm"] = drawn(bench, x_T, "ddpm", None, start)
    back[LANGEVIN] = drawn(bench, x_T, LANGEVIN, step, start)
    return {
        name: root_mean_square(images.float().cpu() - digits.cpu()) for name, images in back.items()
    }


def digits_of(test: Tensor, start: int) -> Tensor:
    """Test digits of their own for each start."""
    return test[start * ROUND_TRIPS : (start + 1) * ROUND_TRIPS]


def run_vaes() -> None:
    """Train and measure the VAEs that nobody has yet and nobody else is at, on the CPU."""
    torch.set_num_threads(1)
    train, test = (digits.images for digits in complete_mnist())
    classifier = load_classifier()
    references = classify(classifier, test, progress=True)[0]

    def distance(vae: VAE, start: int) -> float:
        images = vae.sample(SAMPLES, torch.Generator().manual_seed(1000 + start))
        return frechet_distance(classify(classifier, images)[0], references)

    def measured(seed: int) -> dict[str, Any]:
        vae = trained_vae(train, seed)
        return vae_on_test_images(vae, test, ROUND_TRIPS * len(STARTS), seed) | {
            "fid": [distance(vae, start) for start in STARTS]
        }

    work: Work = {part: functools.partial(measured, seed) for part, seed in VAES.items()}
    share_work(NAME, work | {part: functools.partial(toy_vae, seed) for part, seed in TOYS.items()})


def collected(steps: dict[str, float], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over starts or seeds of all that there is, and the differences by start."""
    runs: dict[str, list[dict[str, Any]]] = {
        name: [found[part_of(name, steps.get(name), start)] for start in STARTS]
        for name in (*PREDICTORS, *CORRECTED, LANGEVIN)
    }
    vaes = [found[part] | {"fid": statistics.mean(found[part]["fid"])} for part in VAES]
    return {
        "settings": {
            "evaluations": EVALUATIONS,
            "steps": steps,
            "held_out": HELD_OUT,
            "references": 10_000,
            "vae_steps": VAE_STEPS,
            "round_trips": ROUND_TRIPS * len(STARTS),
        },
        "samples": SAMPLES,
        "starts": len(STARTS),
        "floor": floor_for(SAMPLES),
        "choice": {"starts": len(STARTS_OF_CHOICE)}
        | {name: tried(found, name) for name in (*CORRECTED, LANGEVIN)},
        "runs": {name: spread_of_each(runs[name], ("fid", "confidence")) for name in runs},
        "differences": {
            f"{a}-minus-{b}": paired(*([run["fid"] for run in runs[name]] for name in (a, b)))
            for a, b in DIFFERENCES
        },
        "round_trip": spread_of_each([found[part] for part in BACK], (*PREDICTORS, LANGEVIN)),
        "vae": {
            "seeds": len(VAES),
            **spread_of_each(vaes, ("fid", "bits_per_dim", "round_trip")),
        },
        "toy_vae": {
            "seeds": len(TOYS),
            **spread_of_each([found[part] for part in TOYS], ("wasserstein", "gap")),
        },
    }


def tried(found: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """By relative step the distance from the held-out images."""
    return {
        str(step): spread_of_each(
            [found[part_of(name, step, start)] for start in STARTS_OF_CHOICE], ("fid",)
        )
        for step in STEPS
    }


if __name__ == "__main__":
    main()
