"""Measure this package beside its peers on this machine: `make bench`.

    python benchmarks/run.py [speed] [overhead] [quality] [--data FOLDER_WITH_MNIST]

writes what it measured into benchmarks/results.json as it goes, and benchmarks/results.md from it.
Without names it measures all three, which takes an hour and three quarters on two CPU cores.
Nothing else should run meanwhile: a second program on the same cores costs far more than its share.
The part on quality keeps each model that it has trained, and each figure, under runs/bench until
all are measured, so a second call goes on where the first was stopped. It also leaves
benchmarks/after-60-seconds.png, what this package has learned by then.
"""

import argparse
import functools
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from contenders import BATCH, CONTENDERS, Ours, Peer, Trainer
from report import main as write_report
from safetensors import safe_open
from safetensors.torch import save
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from ddpm_tutorial import (
    SAMPLERS,
    DDPMConfig,
    TrainingConfig,
    classify,
    frechet_distance,
    from_bytes,
    load_classifier,
    load_mnist,
    make_accelerator,
    sample,
    to_bytes,
    train,
    write_atomically,
)
from ddpm_tutorial.machine import describe_machine
from ddpm_tutorial.plotting import save_sheet

RESULTS = Path(__file__).parent / "results.json"
SHEET = Path(__file__).parent / "after-60-seconds.png"  # a hundred digits
RUNS = Path(__file__).parent.parent / "runs" / "bench"
ROUNDS = 5  # contenders take turns, so that a slow minute of the machine hits all of them
SEED = 0
DRAW = 250  # samples at a time
SIDE_BY_SIDE = 1000  # samples for the FID
BUDGETS = (60, 240, 600)  # seconds of training
LIBRARIES = ("diffusers", "denoising-diffusion-pytorch", "smalldiffusion", "torchmetrics")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[], choices=[[], *PARTS])
    parser.add_argument("--data", default=None)
    arguments = parser.parse_args()
    digits = load_mnist("train", arguments.data)
    unseen = load_mnist("test", arguments.data)
    accelerator = make_accelerator()
    if accelerator.device.type != "cpu":
        raise SystemExit(
            f"this compares training on a CPU, and found {accelerator.device}: run it with "
            f"CUDA_VISIBLE_DEVICES= or, on a Mac, ACCELERATE_USE_CPU=1"
        )
    versions = {name: version(name) for name in LIBRARIES}
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def keep(part: str, figures: dict[str, Any]) -> None:
        figures["measured_on"] = describe_machine() | {
            "precision": "bfloat16" if accelerator.mixed_precision == "bf16" else "float32",
            "command": shlex.join(["python", "benchmarks/run.py", part]),
            "seed": SEED,
            "date": time.strftime("%Y-%m-%d"),
            "versions": versions,
        }
        results[part] = figures
        write_atomically(RESULTS, (json.dumps(results, indent=2) + "\n").encode())
        write_report()

    for part in arguments.parts or PARTS:
        PARTS[part](digits.images, unseen.images, accelerator, lambda f, part=part: keep(part, f))


def measure_speed(train_images, unseen, accelerator, keep) -> None:
    """Images/s in training and network evaluations/s, contenders in turn."""
    torch.manual_seed(SEED)
    contenders = [make() for make in CONTENDERS]
    ours = _forever(train_images, accelerator)
    trainers = [None, *(Trainer(peer) for peer in contenders[1:])]
    figures: dict[str, dict[str, Any]] = {c.name: {"settings": c.settings} for c in contenders}
    seconds: dict[str, tuple[list[float], list[float]]] = {c.name: ([], []) for c in contenders}
    for turn in tqdm(range(ROUNDS + 1), unit="round", desc="speed"):
        for contender, trainer in zip(contenders, trainers, strict=True):

            def one_step(contender=contender, trainer=trainer) -> None:
                if trainer is None:
                    next(ours)
                else:
                    x0 = train_images[torch.randint(len(train_images), (BATCH,))]
                    trainer.step(x0, accelerator.autocast())

            steps, calls = (40, 8) if trainer is None else (10, 2)
            training = _seconds(one_step, steps) / (steps * BATCH)
            x = torch.randn(DRAW, 1, 28, 28)
            contender.network.eval()
            with torch.no_grad(), accelerator.autocast():
                one = lambda contender=contender, x=x: contender.evaluate(x)  # noqa: E731
                sampling = _seconds(one, calls) / (calls * DRAW)
            contender.network.train()
            if turn:  # the first round warms up
                seconds[contender.name][0].append(training)
                seconds[contender.name][1].append(sampling)
    for contender in contenders:
        training, sampling = (statistics.median(values) for values in seconds[contender.name])
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            contender.evaluate(torch.randn(1, 1, 28, 28))
        figures[contender.name] |= {
            "gflop_per_evaluation": round(counter.get_total_flops() / 1e9, 3),
            "weights": sum(p.numel() for p in contender.network.parameters()),
            "training_images_per_second": round(1 / training, 1),
            "seconds_per_1000_evaluations": round(1000 * sampling, 3),
        }
    keep({"contenders": figures, "batch": BATCH, "batch_sampling": DRAW, "rounds": ROUNDS})


def measure_overhead(train_images, unseen, accelerator, keep) -> None:
    """What our step and sampler add to the bare network, and how near it comes to the peak."""
    torch.manual_seed(SEED)
    ours = _forever(train_images, accelerator)
    model = DDPMConfig().build()
    network = model.network
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    x = torch.randn(BATCH, 1, 28, 28)
    t = torch.full((BATCH,), 500)

    def bare_step() -> None:
        with accelerator.autocast():
            loss = (network(x, t) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    many, at = torch.randn(DRAW, 1, 28, 28), torch.full((DRAW,), 500)

    few = 10  # short runs, often in turn: the speed of a machine drifts

    def bare_calls(count: int) -> None:
        with torch.no_grad(), accelerator.autocast():
            for _ in range(count):
                network(many, at)

    def sampler(name: str) -> Callable[[], object]:
        def run() -> None:
            with accelerator.autocast():
                sample(model, DRAW, name, few)

        return run

    def evaluations(run: Callable[[], object]) -> int:
        seen: list[object] = []
        handle = model.network.register_forward_hook(lambda *_: seen.append(1))
        run()
        handle.remove()
        return len(seen)

    _seconds(bare_step, 10), _seconds(lambda: next(ours), 10)
    pairs = [
        (_seconds(lambda: next(ours), few), _seconds(bare_step, few))
        for _ in tqdm(range(6 * ROUNDS), unit="round", desc="overhead of a training step")
    ]
    bare = statistics.median(seconds for _, seconds in pairs) / few
    step = statistics.median(full / seconds for full, seconds in pairs) - 1
    model.eval()
    of_samplers = {}
    for name in SAMPLERS:
        count = evaluations(sampler(name))
        calls_of_run = functools.partial(bare_calls, count)
        runs = [
            (_seconds(sampler(name), 1), _seconds(calls_of_run, 1))
            for _ in tqdm(range(2 * ROUNDS), unit="round", desc=f"overhead of {name}")
        ]
        of_samplers[name] = statistics.median(full / seconds for full, seconds in runs) - 1
        calls = statistics.median(seconds for _, seconds in runs) / count

    model.train()
    with FlopCounterMode(display=False) as counter:
        bare_step()
    training_flops = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(many, at)
    sampling_flops = counter.get_total_flops()
    peak = _matmul_peak(torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32)
    keep(
        {
            "training_step": round(step, 4),
            "samplers": {name: round(value, 4) for name, value in of_samplers.items()},
            "peak_gflops": round(peak / 1e9, 1),
            "training_gflops": round(training_flops / bare / 1e9, 1),
            "sampling_gflops": round(sampling_flops / calls / 1e9, 1),
            "training_of_peak": round(training_flops / bare / peak, 3),
            "sampling_of_peak": round(sampling_flops / calls / peak, 3),
        }
    )


def measure_quality(train_images, unseen, accelerator, keep) -> None:
    """FID of models trained from nothing for the same time."""
    RUNS.mkdir(parents=True, exist_ok=True)
    makers = {make.name: make for make in CONTENDERS}
    runs = [(name, budget) for name in makers for budget in BUDGETS]
    for name, budget in runs:  # all training first: its time counts, and that of sampling does not
        if not _kept(name, budget).exists():
            torch.manual_seed(SEED)
            network, steps = _trained(makers[name](), budget, train_images, accelerator)
            weights = {key: value.contiguous() for key, value in network.state_dict().items()}
            write_atomically(_kept(name, budget), save(weights, {"steps": str(steps)}))
    classifier = load_classifier()
    unseen_features, _ = classify(classifier, unseen)
    order = torch.randperm(len(train_images), generator=torch.Generator().manual_seed(SEED))
    real, _ = classify(classifier, train_images[order[:SIDE_BY_SIDE]])
    figures: dict[str, Any] = {
        "references": len(unseen),
        "floor": round(frechet_distance(real, unseen_features), 3),
        "side_by_side": SIDE_BY_SIDE,
        "contenders": {name: {} for name in makers},
    }
    for name, budget in runs:
        measured = _kept(name, budget).with_suffix(".json")
        if not measured.exists():
            images, steps = _drawn(makers[name](), budget, accelerator)
            if (name, budget) == (Ours.name, BUDGETS[0]):
                save_sheet(SHEET, images[:100])
            features, _ = classify(classifier, images)
            fid = round(frechet_distance(features, unseen_features), 3)
            write_atomically(measured, json.dumps({"steps": steps, "fid": fid}).encode())
        figures["contenders"][name][str(budget)] = json.loads(measured.read_text())
    keep(figures)
    for name, budget in runs:
        _kept(name, budget).unlink()
        _kept(name, budget).with_suffix(".json").unlink()


def _kept(name: str, budget: int) -> Path:
    """Where the weights of a contender wait until all are measured; its figures lie beside it."""
    return RUNS / f"{name}-{budget}.safetensors"


def _drawn(contender: Peer, budget: int, accelerator) -> tuple[torch.Tensor, int]:
    """Samples of a contender as it was kept, and the steps that it was trained for."""
    with safe_open(_kept(contender.name, budget), "pt") as file:
        steps, keys = int(file.metadata()["steps"]), file.keys()
        contender.network.load_state_dict({key: file.get_tensor(key) for key in keys})
    contender.network.eval()
    torch.manual_seed(SEED)
    parts, unit = [], f"batch, {contender.name} at {budget} s"
    for _ in tqdm(range(SIDE_BY_SIDE // DRAW), "sampling", unit=unit):
        with torch.no_grad(), accelerator.autocast():
            parts.append(contender.draw(contender.network, DRAW))
    # Through bytes, as pictures are kept: no contender is measured on values beyond them.
    return from_bytes(to_bytes(torch.cat(parts))), steps


def _trained(contender: Peer, budget: int, images, accelerator) -> tuple[nn.Module, int]:
    """The network with averaged weights after `budget` seconds from nothing, and the steps done."""
    with tqdm(total=budget, unit="s", desc=f"training {contender.name} for {budget} s") as bar:
        if isinstance(contender, Ours):
            settings = TrainingConfig(minutes=budget / 60, batch_size=BATCH, seed=SEED)
            for record in train(contender.network, images, settings, accelerator=accelerator):
                bar.update(min(int(record.seconds), budget) - bar.n)
            return record.ema, record.step
        trainer, spent = Trainer(contender), 0.0
        while spent < budget:
            began = time.monotonic()
            x0 = images[torch.randint(len(images), (BATCH,))]
            trainer.step(x0, accelerator.autocast(), spent / budget)
            spent += time.monotonic() - began
            bar.update(min(int(spent), budget) - bar.n)
        return trainer.ema, trainer.step_number


def _forever(images, accelerator):
    torch.manual_seed(SEED)
    settings = TrainingConfig(steps=10**9, batch_size=BATCH, seed=SEED)
    return train(DDPMConfig().build(), images, settings, accelerator=accelerator)


def _seconds(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - began


def _matmul_peak(dtype: torch.dtype, size: int = 2048) -> float:
    """The best rate of a large square matrix product, in FLOP/s."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    return 2 * size**3 / min(_seconds(lambda: a @ b, 1) for _ in range(30))


PARTS = {"speed": measure_speed, "overhead": measure_overhead, "quality": measure_quality}

if __name__ == "__main__":
    sys.exit(main())
