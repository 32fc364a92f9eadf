"""Measure this package on a GPU: `make bench-gpu`.

    python benchmarks/gpu.py [PART ...] [--data FOLDER_WITH_MNIST]

Runs the tests that need a GPU, then measures the speed of training and sampling, memory, how long
the GPU waits, and quality after a few seconds of training. It takes under eight minutes of one GPU,
and writes benchmarks/gpu.json after each part, so that what was measured stays if time runs out.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from ddpm_tutorial import (
    DDPM,
    DDPMConfig,
    Digits,
    TrainingConfig,
    TrainingRecord,
    classify,
    frechet_distance,
    load_classifier,
    load_mnist,
    make_accelerator,
    sample,
    train,
    write_atomically,
)
from ddpm_tutorial.machine import describe_machine

RESULTS = Path(__file__).parent / "gpu.json"
TESTS = Path(__file__).parent.parent / "tests" / "test_gpu.py"
PROFILED_STEPS = 5  # each is thousands of events, and reading them takes longer than the steps


@dataclass(frozen=True)
class Size:
    """How much is measured. The usual values suit a GPU; a test takes the smallest."""

    batches: tuple[int, ...] = (128, 256, 512, 1024)
    compiled_batches: tuple[int, ...] = (512,)  # compiling takes most of a minute for each
    steps: int = 60
    rounds: int = 3
    budgets: tuple[float, ...] = (10, 30, 60)  # seconds of training from nothing
    quality_batch: int = 512
    samples: int = 1000
    sampling_steps: int = 50
    compiler: str = "inductor"


def main() -> None:
    """Run the tests and every part, or the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[], choices=[[], *PARTS])
    parser.add_argument("--data", default=None)
    arguments = parser.parse_args()
    accelerator = make_accelerator()
    if accelerator.device.type == "cpu":
        raise SystemExit("there is no GPU here: torch.cuda.is_available() is False")
    digits, unseen = (load_mnist(split, arguments.data) for split in ("train", "test"))
    measure(arguments.parts or list(PARTS), digits, unseen, accelerator, Size())


def measure(
    parts: list[str], digits: Digits, unseen: Digits, accelerator: Accelerator, size: Size
) -> None:
    """Measure parts, and keep each in RESULTS as soon as it is there."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in tqdm(parts, unit="part"):
        started = time.monotonic()
        results[part] = PARTS[part](digits, unseen, accelerator, size)
        results[part]["seconds"] = round(time.monotonic() - started, 1)
        results[part]["measured_on"] = describe_machine() | {
            "precision": accelerator.mixed_precision,
            "date": time.strftime("%Y-%m-%d"),
        }
        write_atomically(RESULTS, (json.dumps(results, indent=2) + "\n").encode())


def run_tests(digits: Digits, unseen: Digits, accelerator: Accelerator, size: Size) -> dict:
    """How many of the tests of this package on this device passed, failed or were skipped."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    print(done.stdout, file=sys.stderr)
    return {"passed": done.returncode == 0, "summary": done.stdout.strip().splitlines()[-1]}


def training_speed(digits: Digits, unseen: Digits, accelerator: Accelerator, size: Size) -> dict:
    """Images/s and the most memory taken, by batch, as it is and compiled."""
    figures: dict[str, dict[str, Any]] = {}
    for compiled in (False, True):
        for batch in size.compiled_batches if compiled else size.batches:
            _reset_peak(accelerator.device)
            started = time.monotonic()
            records = _records(digits, accelerator, batch, size.compiler if compiled else None)
            _take(records, 5)
            _wait(accelerator.device)
            first_steps = time.monotonic() - started
            seconds = [
                _seconds(lambda r=records: _take(r, size.steps), accelerator.device)
                for _ in range(size.rounds)
            ]
            name = f"batch {batch}, compiled" if compiled else f"batch {batch}"
            figures[name] = {
                "images_per_second": round(batch * size.steps / statistics.median(seconds), 1),
                "seconds_of_first_five_steps": round(first_steps, 2),
                "peak_memory_mib": _peak_memory(accelerator.device),
            }
    return {"cases": figures, "steps": size.steps, "rounds": size.rounds}


def waiting(digits: Digits, unseen: Digits, accelerator: Accelerator, size: Size) -> dict:
    """From a profile of training: how busy the device is, and what is copied to it in a step."""
    figures = {}
    on_gpu = accelerator.device.type == "cuda"
    activities = [ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]
    for batch in size.batches:
        records = _records(digits, accelerator, batch, None)
        _take(records, 5)
        _wait(accelerator.device)
        with profile(activities=activities) as found:
            seconds = _seconds(lambda r=records: _take(r, PROFILED_STEPS), accelerator.device)
        kernels = [e for e in found.events() if e.device_type == torch.autograd.DeviceType.CUDA]
        busy = sum(event.time_range.elapsed_us() for event in kernels) / 1e6
        copies = sum("HtoD" in event.name for event in kernels)
        figures[f"batch {batch}"] = {
            "busy": round(busy / seconds, 3),
            "copies_to_the_device_in_a_step": round(copies / PROFILED_STEPS, 2),
            "milliseconds_a_step": round(1000 * seconds / PROFILED_STEPS, 3),
        }
    return {"cases": figures, "steps": PROFILED_STEPS}


def sampling_speed(digits: Digits, unseen: Digits, accelerator: Accelerator, size: Size) -> dict:
    """Samples a second of the default model, in DDIM steps."""
    model = DDPMConfig().build().to(accelerator.device).eval()

    def draw() -> None:
        with accelerator.autocast():
            sample(model, size.samples, "ddim", size.sampling_steps, batch_size=size.samples)

    draw()
    seconds = [_seconds(draw, accelerator.device) for _ in range(size.rounds)]
    rate = size.samples / statistics.median(seconds)
    return {"samples_per_second": round(rate, 1), "sampling_steps": size.sampling_steps}


def quality(digits: Digits, unseen: Digits, accelerator: Accelerator, size: Size) -> dict:
    """FID of models trained from nothing for a few seconds."""
    classifier = load_classifier().to(accelerator.device)

    def features(images: Tensor) -> Tensor:
        return classify(classifier, images.to(accelerator.device))[0]

    of_unseen, figures = features(unseen.images), {}
    for budget in size.budgets:
        torch.manual_seed(0)
        config = TrainingConfig(minutes=budget / 60, batch_size=size.quality_batch)
        model = DDPMConfig().build()
        *_, record = train(model, digits.images, config, accelerator=accelerator)
        with accelerator.autocast():
            samples = sample(record.ema, size.samples, "ddim", size.sampling_steps)
        figures[f"{budget:g} s"] = {
            "steps": record.step,
            "fid": round(frechet_distance(features(samples), of_unseen), 3),
        }
    floor = frechet_distance(features(digits.images[: size.samples]), of_unseen)
    return {
        "cases": figures,
        "samples": size.samples,
        "sampling_steps": size.sampling_steps,
        "floor": round(floor, 3),
        "batch": size.quality_batch,
    }


def _records(
    digits: Digits, accelerator: Accelerator, batch: int, compiler: str | None
) -> Iterator[TrainingRecord]:
    torch.manual_seed(0)
    model: DDPM = DDPMConfig().build()
    if compiler is not None:
        torch.compiler.reset()
        model.network.compile(backend=compiler)
    config = TrainingConfig(steps=10**9, batch_size=batch)
    return train(model, digits.images, config, accelerator=accelerator)


def _take(records: Iterator[TrainingRecord], count: int) -> None:
    for _ in range(count):
        next(records)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak_memory(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) // 2**20 if device.type == "cuda" else None


PARTS: dict[str, Callable[[Digits, Digits, Accelerator, Size], dict[str, Any]]] = {
    "tests": run_tests,
    "training": training_speed,
    "waiting": waiting,
    "sampling": sampling_speed,
    "quality": quality,
}

if __name__ == "__main__":
    main()
