"""Train the same network with two optimisers and two ways to draw t, and measure all alike.

    DDPM_TUTORIAL_DATA=FOLDER_WITH_MNIST python experiments/optimizers.py [--runs] [--speed]

Each case is trained three times, from other weights and with other batches and noise, on the first
50,000 training images of MNIST. The last 10,000 are held out: on them the loss is taken, always at
the same t and noise, and with them the samples are compared. So the test set was not looked at when
the default was chosen. The cases differ in the optimiser, the learning rate, how t is drawn, the
batch and the warm-up; all see as many images. The decay of the average is no case: in so few steps
its warm start keeps it below 0.995, so that 0.998 and 0.999 are the same.

Each model is measured from the same five starts x_T.

--runs trains and measures in the precision of this machine, on one thread and on the GPU where
there is one. What is done is kept under runs/optimizers, so that a second call goes on, and calls
side by side share the work: a run takes eight minutes on one core that is fast at bfloat16, and
half an hour on one that is not. --speed takes the time of a step, also on one thread, in the
precision of this machine: the time that the process has the processor, the least of several rounds
in turn. Each call writes book/results/optimizers.json from what there is.
"""

import argparse
import functools
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from _compare import draw, paired_difference, read
from _results import (
    SAMPLES,
    SEEDS,
    STARTS,
    complete_mnist,
    floor_for,
    name_of_precision,
    share_work,
    shared_work,
    with_spread,
    write_work,
)
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    DDPMConfig,
    TrainingConfig,
    frechet_distance,
    full_float32,
    load_classifier,
    load_mnist,
    make_accelerator,
    stratified_integers,
    train,
)

NAME, SPEED = "optimizers", "speed"
IMAGES = 48_000  # seen in training, in each case
HELD_OUT = 10_000
LOSS_IMAGES, SAMPLER, SAMPLING_STEPS = 5_000, "dpm++", 10
ROUNDS, BATCHES = 4, (32, 64)


@dataclass(frozen=True)
class Case:
    """The settings of `TrainingConfig` in which the cases differ."""

    optimizer: str = "muon"
    stratified: bool = True
    learning_rate: float = 2e-3
    batch_size: int = 32
    warmup_steps: int = 100

    def config(self, seed: int) -> TrainingConfig:
        """With as many steps as it takes to see IMAGES."""
        return TrainingConfig(steps=IMAGES // self.batch_size, seed=seed, **asdict(self))


CASES = {
    "AdamW, each t drawn alone": Case("adamw", stratified=False),
    "AdamW": Case("adamw"),
    "Muon, each t drawn alone": Case(stratified=False),
    "Muon": Case(),
    "Muon, half the rate": Case(learning_rate=1e-3),
    "Muon, twice the rate": Case(learning_rate=4e-3),
    "AdamW, half the rate": Case("adamw", learning_rate=1e-3),
    "AdamW, twice the rate": Case("adamw", learning_rate=4e-3),
    "Muon, batches of 64": Case(batch_size=64),
    "Muon, warm-up of 300": Case(warmup_steps=300),
}

# First each optimiser with each way to draw t, then both at other rates: these belong together.
_NAMES = list(CASES)
PARTS = {
    f"{name} {seed}": (name, seed)
    for names in (_NAMES[:4], _NAMES[4:8], _NAMES[8:])
    for seed in SEEDS
    for name in names
}
# What is compared with what, seed by seed: the same seed gives the same initial weights and, where
# t is drawn in the same way, the same images and noise.
PAIRS = [
    ("Muon", "AdamW"),
    ("Muon, each t drawn alone", "AdamW, each t drawn alone"),
    ("AdamW", "AdamW, each t drawn alone"),
    ("Muon", "Muon, each t drawn alone"),
    *((name, name.partition(",")[0]) for name in _NAMES[4:]),
]


def main() -> None:
    """Measure what is asked for, and write all that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", action="store_true", help="train and measure the cases")
    parser.add_argument("--speed", action="store_true", help="take the time of a step")
    arguments = parser.parse_args()
    if arguments.runs:
        run_all()
    if arguments.speed:
        share_work(NAME, {SPEED: measure_speed})
    found = shared_work(NAME, [*PARTS, SPEED])
    if not found:
        raise SystemExit(f"nothing was measured yet: {parser.format_usage()}")
    cases = collected(found)
    speed = found[SPEED]["figures"] if SPEED in found else {}
    figures = {
        "images": IMAGES,
        "seeds": list(SEEDS),
        "starts": len(STARTS),
        "samples": SAMPLES,
        "floor": floor_for(SAMPLES),
        "sampler": SAMPLER,
        "sampling_steps": SAMPLING_STEPS,
        "held_out": HELD_OUT,
        "loss_images": LOSS_IMAGES,
        "cases": cases,
        "differences": differences(cases),
        "milliseconds": speed.get("milliseconds", {}),
    }
    first = next(iter(found))
    write_work(
        NAME, figures, found, precision=found[first]["figures"]["precision"], machine_of=first
    )


def run_all() -> None:
    """Train and measure what nobody has yet and nobody else is at."""
    torch.set_num_threads(1)
    images = complete_mnist()[0].images
    seen, held_out = images[:-HELD_OUT], images[-HELD_OUT:]
    classifier = load_classifier().to(make_accelerator().device)
    features, _ = read(classifier, held_out)

    def measured(name: str, seed: int) -> dict[str, Any]:
        model = trained(CASES[name], seed, seen, f"{name}, seed {seed}")
        return {
            "loss": held_out_loss(model, held_out[:LOSS_IMAGES]),
            "fid": [fid(model, start, classifier, features) for start in STARTS],
            "precision": name_of_precision(make_accelerator()),
        }

    share_work(NAME, {part: functools.partial(measured, *PARTS[part]) for part in PARTS})


def trained(case: Case, seed: int, images: torch.Tensor, name: str) -> DDPM:
    """The averaged model."""
    torch.manual_seed(seed)
    accelerator = make_accelerator()
    records = train(DDPMConfig().build(), images, case.config(seed), accelerator=accelerator)
    *_, record = tqdm(records, name, IMAGES // case.batch_size, mininterval=10)
    ema: DDPM = record.ema
    return ema


@torch.no_grad()
def held_out_loss(model: DDPM, images: torch.Tensor) -> float:
    """The training loss on images that were not trained on, with t spread evenly."""
    generator, device = torch.Generator().manual_seed(0), next(model.parameters()).device
    losses = []
    for x0 in images.split(250):
        t = stratified_integers(1, model.schedule.T + 1, len(x0), generator)
        eps = torch.randn(x0.shape, generator=generator)
        with full_float32():
            losses.append(model(*(each.to(device) for each in (x0, t, eps))).total)
    return float(torch.cat(losses).mean())


def fid(model: DDPM, start: int, classifier: Any, features: torch.Tensor) -> float:
    """The distance of samples from the held-out images; all models get the same starts."""
    samples = draw(model, start, SAMPLER, SAMPLING_STEPS)
    return frechet_distance(read(classifier, samples)[0], features)


def collected(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """For each case its settings, and mean and spread over its seeds, once it has all."""
    cases = {}
    for name, case in CASES.items():
        runs = [
            found[part]["figures"] for part in PARTS if PARTS[part][0] == name and part in found
        ]
        if len(runs) == len(SEEDS):
            cases[name] = {
                "settings": asdict(case),
                "runs": len(runs),
                "precision": sorted({run["precision"] for run in runs}),
                "loss": with_spread([run["loss"] for run in runs]),
                "fid": with_spread([statistics.mean(run["fid"]) for run in runs]),
                # How far the figure of one model moves from start to start.
                "fid_over_starts": statistics.mean(statistics.stdev(run["fid"]) for run in runs),
            }
    return cases


def differences(cases: dict[str, Any]) -> dict[str, Any]:
    """How much larger loss and FID of the first are, seed by seed, for the pairs that are there."""
    return {
        f"{first} - {second}": {
            "runs": len(SEEDS),
            **{
                what: paired_difference(cases[first][what]["values"], cases[second][what]["values"])
                for what in ("loss", "fid")
            },
        }
        for first, second in PAIRS
        if first in cases and second in cases
    }


def measure_speed() -> dict[str, Any]:
    """Milliseconds of processor time for a step with each optimiser, by batch.

    The least of several rounds in turn.
    """
    accelerator = make_accelerator()
    torch.set_num_threads(1)
    images = load_mnist("train").images[:2000]
    found: dict[str, dict[str, float]] = {}
    for batch in BATCHES:
        runs = {}
        for optimizer in ("adamw", "muon"):
            config = TrainingConfig(steps=10**6, batch_size=batch, optimizer=optimizer)
            runs[optimizer] = train(DDPMConfig().build(), images, config, accelerator=accelerator)
            for _ in range(5):
                next(runs[optimizer])  # memory is claimed and kernels are chosen
        seconds: dict[str, list[float]] = {optimizer: [] for optimizer in runs}
        for _ in range(ROUNDS):
            for optimizer, records in runs.items():
                start = time.process_time()
                for _ in range(10):
                    next(records)
                seconds[optimizer].append((time.process_time() - start) / 10)
        found[str(batch)] = {name: round(1000 * min(values), 1) for name, values in seconds.items()}
    return {"precision": name_of_precision(accelerator), "milliseconds": found}


if __name__ == "__main__":
    main()
