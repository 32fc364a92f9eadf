"""Students that draw in 8, 4, 2 and 1 steps, beside their teacher: what chapter 18 draws.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/few_steps.py [--runs]

The teacher is the shipped `mnist-labels`, unguided. With each of three seeds a chain of students is
trained on the 60,000 training images: of 8 steps, taught by the teacher's 16, of 4, of 2, and of 1.
With each seed a consistency model is trained as well, for as many steps as a chain in all, along
eight steps of the teacher. It starts from the teacher's weights too, and takes its own guess one
step later for the truth. With more than one step it jumps to x_0 and back to the noise of the next
step.

From each of five starts x_T, which all models share, 2,000 samples, 200 of each digit. Their
distance from the 10,000 test images is taken twice: on the features of the shipped classifier
(`fid`), and on the pixels themselves (`pixels`), where no network has a say. Precision and recall
are taken beside 2,000 of the test images, other ones for each start; `told` is the share of samples
that the classifier reads as the digit that was asked for, `copies` that of samples nearer to a
training image than 99 % of the test images are.

--runs trains and samples. What is done is kept under runs/few_steps, so that a second call goes on,
and calls side by side share the work: three hours of one busy core, where a call without it takes
no time. Both write book/results/few_steps.json and few_steps.png; the student of one step and the
first seed is the one that ships, as `mnist-one-step`.
"""

import argparse
import functools
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _compare import keep_picture, kept_picture, paired_difference, reference
from _consistency import Consistency, jumped
from _results import (
    RESULTS,
    RUNS,
    SAMPLES,
    SEEDS,
    STARTS,
    all_work,
    complete_mnist,
    floor_for,
    name_of_precision,
    share_work,
    with_spread,
    write_work,
)
from _samples import spread_of_each, start_of
from torch import Tensor
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    STUDENTS,
    Checkpoint,
    Distillation,
    TrainingConfig,
    frechet_distance,
    load_checkpoint,
    load_model,
    load_pretrained,
    make_accelerator,
    nearest_neighbours,
    precision_recall,
    pretrained_path,
    sample,
    save_checkpoint,
    train,
)
from ddpm_tutorial.plotting import save_sheet

NAME, TEACHER = "few_steps", "mnist-labels"
STAGES = {8: 100, 4: 300, 2: 500, 1: 1500}  # steps of the student: steps of its training
GRID = 8  # steps of the teacher, along which the consistency model is trained
BATCH, RATE, EMA = 32, 5e-4, 0.995
CHAIN, JUMPS = "progressive", "consistency"
FIGURES = ("fid", "pixels", "precision", "recall", "told", "copies")
ASKED = (1, 2, 4, 8)
TEACHERS = (*ASKED, 50)
SHOWN = 10


def trained(route: str, seed: int) -> str:
    return f"{route}, seed {seed}"


def sampled(name: str, steps: int, seed: int | None) -> str:
    return f"{name}, {steps} steps" + ("" if seed is None else f", seed {seed}")


ROUTES = (CHAIN, JUMPS)
TRAINED = {trained(route, seed): (route, seed) for route in ROUTES for seed in SEEDS}
# The name of a model, its steps, and the seed of its training.
COMPARED = [
    *((route, steps, seed) for route in ROUTES for seed in SEEDS for steps in ASKED),
    *((TEACHER, steps, None) for steps in TEACHERS),
]
SAMPLED = {sampled(*setting): setting for setting in COMPARED}


def main() -> None:
    """Train and sample if asked to, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="train and sample")
    if parser.parse_args().runs:
        torch.set_num_threads(1)
        share_work(NAME, {part: partial(one_training, *TRAINED[part]) for part in TRAINED})
        all_work(NAME, TRAINED)  # the samples need the weights
        share_work(NAME, {part: partial(one_model, *SAMPLED[part]) for part in SAMPLED})
    found = all_work(NAME, [*TRAINED, *SAMPLED])
    first = trained(CHAIN, SEEDS[0])
    write_work(
        NAME,
        collected({part: record["figures"] for part, record in found.items()}),
        found,
        precision=found[first]["figures"]["precision"],
        machine_of=first,
    )
    ship(found[sampled(CHAIN, 1, SEEDS[0])]["figures"]["starts"])
    rows = [kept_picture(NAME, row) for row in SHEET]
    shown = torch.cat([row for row in rows if row is not None])
    save_sheet(RESULTS / f"{NAME}.png", shown, zoom=1, columns=SHOWN)


def weights_of(route: str, seed: int, steps: int) -> Path:
    """The file of a student's weights."""
    return RUNS / NAME / f"{route}-{steps}-seed-{seed}.safetensors"


def one_training(route: str, seed: int) -> dict[str, Any]:
    """Train the students of a route, one after the other, and keep the weights of each."""
    figures: dict[str, Any] = {"precision": name_of_precision(make_accelerator()), "loss": {}}
    model = load_pretrained(TEACHER)
    if route == JUMPS:
        plan = {GRID: (Consistency, sum(STAGES.values()))}
    else:
        plan = {steps: (Distillation, length) for steps, length in STAGES.items()}
    for steps, (kind, length) in plan.items():
        file = weights_of(route, seed, steps)
        if not file.exists():
            figures["loss"][steps] = one_student(kind(model, steps), length, seed, file)
        model = load_model(file)
    return figures


def one_student(distillation: Distillation, length: int, seed: int, file: Path) -> dict[str, float]:
    """Train a student; keep its averaged weights, in half precision. Its loss, first and last."""
    digits, _ = complete_mnist()
    config = TrainingConfig(
        steps=length,
        batch_size=BATCH,
        learning_rate=RATE,
        ema_decay=EMA,
        label_dropout=0.0,
        seed=seed,
    )
    losses = []
    steps = train(distillation, digits.images, config, labels=digits.labels)
    for record in tqdm(steps, file.stem, total=length, mininterval=10):
        losses.append(record.loss)
    details = {
        "made by": "experiments/few_steps.py --runs",
        "taught by": TEACHER,
        "draws in": {"sampler": "ddim", "steps": (len(distillation.times) - 1) // 2},
        "training": {"stages": STAGES, "batch_size": BATCH, "learning_rate": RATE, "seed": seed},
    }
    student = record.ema.student
    config_of_teacher = load_checkpoint(pretrained_path(TEACHER)).config
    half = {name: value.half() for name, value in student.state_dict().items()}
    save_checkpoint(file, Checkpoint(config_of_teacher, half, details))
    return {"first": statistics.mean(losses[:50]), "last": statistics.mean(losses[-50:])}


def one_model(name: str, steps: int, seed: int | None) -> dict[str, Any]:
    """The figures of a model's samples from each start, drawn in so many steps."""
    if seed is None:
        model = load_pretrained(TEACHER)
    else:
        model = load_model(weights_of(name, seed, GRID if name == JUMPS else steps))
    found = []
    for start in STARTS:
        images = drawn(model, steps, start, jumps=name == JUMPS)
        found.append(figures_of(images, start))
        if start == STARTS[0] and seed in (None, SEEDS[0]):
            keep_picture(NAME, sampled(name, steps, seed), images[:SHOWN])
    return {"starts": found}


def drawn(model: DDPM, steps: int, start: int, jumps: bool) -> Tensor:
    """SAMPLES digits from a start, 0 to 9 in turn: by DDIM, or by jumps to x_0 and back."""
    x_T, label = start_of(start), digits_asked_for()
    with make_accelerator().autocast():
        if jumps:
            return jumped(model, x_T, label, steps, start)
        return sample(model.denoiser(label), SAMPLES, "ddim", steps, x_T=x_T).float()


def digits_asked_for() -> Tensor:
    return torch.arange(SAMPLES) % 10


def figures_of(images: Tensor, start: int) -> dict[str, float]:
    """The figures of SAMPLES images."""
    known = reference()
    features, probabilities = known.read(images)
    order = torch.randperm(len(known.test), generator=torch.Generator().manual_seed(0))
    precision, recall = precision_recall(known.features[order.split(SAMPLES)[start]], features)
    distance, _ = nearest_neighbours(images.flatten(1), known.train.flatten(1))
    return {
        "fid": frechet_distance(features, known.features),
        "pixels": frechet_distance(images.flatten(1), known.test.flatten(1)),
        "precision": precision,
        "recall": recall,
        "told": float((probabilities.argmax(1) == digits_asked_for()).double().mean()),
        "copies": float((distance < usual_distance()).double().mean()),
    }


@functools.cache
def usual_distance() -> float:
    """From a training image, which 99 % of the test images exceed, by pixels."""
    known = reference()
    distance, _ = nearest_neighbours(known.test.flatten(1), known.train.flatten(1))
    return float(distance.quantile(0.01))


def ship(starts: list[dict[str, float]]) -> None:
    """Put the student of one step into the package, with what its samples scored in the header."""
    checkpoint = load_checkpoint(weights_of(CHAIN, SEEDS[0], 1))
    measured = {"samples": SAMPLES, **spread_of_each(starts, FIGURES)}
    details = checkpoint.details | {"evaluation": measured}
    (name,) = STUDENTS
    save_checkpoint(pretrained_path(name), checkpoint._replace(details=details))


# Rows of the sheet: all from one start, the digits 0 to 9.
SHEET = [
    *(sampled(TEACHER, steps, None) for steps in (50, 4, 2, 1)),
    *(sampled(CHAIN, steps, SEEDS[0]) for steps in (4, 2, 1)),
]


def collected(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread: of one model over starts, of students over seeds."""
    teacher = {str(steps): over_starts(found, TEACHER, steps, None) for steps in TEACHERS}
    best = teacher["50"]["fid"]["mean"]
    return {
        "settings": {
            "teacher": TEACHER,
            "stages": {str(steps): length for steps, length in STAGES.items()},
            "grid": GRID,
            "batch_size": BATCH,
            "learning_rate": RATE,
            "ema_decay": EMA,
        },
        "samples": SAMPLES,
        "starts": len(STARTS),
        "seeds": list(SEEDS),
        "floor": floor_for(SAMPLES),
        "floor_of_pixels": with_spread([pixels_of_real(start) for start in STARTS]),
        "teacher": teacher,
        "students": {str(steps): over_seeds(found, CHAIN, steps) for steps in ASKED},
        JUMPS: {str(steps): over_seeds(found, JUMPS, steps) for steps in ASKED},
        "consistency-minus-students": {"seeds": list(SEEDS)}
        | {
            str(steps): {
                "fid": paired_difference(
                    *(of_seeds(found, route, steps, "fid") for route in (JUMPS, CHAIN))
                )
            }
            for steps in ASKED
        },
        "students-minus-teacher": {"starts": len(STARTS)}
        | {str(steps): {"fid": less_teacher(found, steps)} for steps in ASKED},
        "times_the_teachers_50": {"seeds": list(SEEDS)}
        | {
            str(steps): with_spread([fid / best for fid in of_seeds(found, CHAIN, steps, "fid")])
            for steps in ASKED
        },
    }


def pixels_of_real(start: int) -> float:
    """What as many training images score by pixels: disjoint sets, one for each start."""
    known = reference()
    order = torch.randperm(len(known.train), generator=torch.Generator().manual_seed(0))
    images = known.train[order.split(SAMPLES)[start]]
    return frechet_distance(images.flatten(1), known.test.flatten(1))


def over_starts(
    found: dict[str, dict[str, Any]], name: str, steps: int, seed: int | None
) -> dict[str, Any]:
    """The figures of one model in so many steps."""
    starts = found[sampled(name, steps, seed)]["starts"]
    return {"starts": len(STARTS)} | spread_of_each(starts, FIGURES)


def over_seeds(found: dict[str, dict[str, Any]], route: str, steps: int) -> dict[str, Any]:
    """The figures of a route's students of so many steps."""
    return {"seeds": list(SEEDS)} | {
        figure: with_spread(of_seeds(found, route, steps, figure)) for figure in FIGURES
    }


def of_seeds(found: dict[str, dict[str, Any]], route: str, steps: int, figure: str) -> list[float]:
    """Of each seed the mean of a figure over the starts."""
    return [
        statistics.mean(start[figure] for start in found[sampled(route, steps, seed)]["starts"])
        for seed in SEEDS
    ]


def less_teacher(found: dict[str, dict[str, Any]], steps: int) -> dict[str, Any]:
    """FID of the students, on average over seeds, less that of their teacher, start by start."""
    students = [found[sampled(CHAIN, steps, seed)]["starts"] for seed in SEEDS]
    by_start = [statistics.mean(one["fid"] for one in each) for each in zip(*students, strict=True)]
    teacher = [start["fid"] for start in found[sampled(TEACHER, steps, None)]["starts"]]
    return paired_difference(by_start, teacher)


if __name__ == "__main__":
    main()
