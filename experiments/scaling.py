"""Measure where the time of training and sampling goes, and what changes it.

    python experiments/scaling.py [--rounds N] [PART ...]

Takes some four minutes of one core. Writes book/results/scaling.json, after each part what there
is so far. Everything runs on one thread, in float32 unless it says otherwise. What is measured is
the time that the process has the processor, so that other programs disturb little. Each figure is
the least of N rounds (5 by default); the cases of a part take turns within a round. Where parts
are named, the others stay as they were measured before.
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
import torchvision.transforms as transforms
from _results import read_figures, write_results
from accelerate import Accelerator
from PIL import Image
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ddpm_tutorial import (
    DDPMConfig,
    GroupNorm,
    SelfAttention,
    TrainingConfig,
    UNet,
    UNetConfig,
    load_bundled,
    sample,
    to_bytes,
    train,
    unet_cost,
)
from ddpm_tutorial.algorithms import training as training_module
from ddpm_tutorial.models import unet as unet_module

SEED = 0
Step = Callable[[], Any]
# Image size, image channels, channels, blocks, batch. The first four settle the constants: the
# smallest and the largest batch, a narrow and a wide network.
SETTINGS = [
    (28, 1, (48, 96), 2, 1),
    (28, 1, (48, 96), 2, 64),
    (28, 1, (32, 64), 2, 32),
    (28, 1, (96, 192), 2, 16),
    (28, 1, (48, 96), 2, 8),
    (28, 1, (48, 96), 2, 32),
    (16, 1, (48, 96), 2, 32),
    (32, 1, (48, 96), 2, 32),
    (32, 3, (48, 96), 2, 32),
    (56, 1, (48, 96), 2, 8),
    (28, 1, (64, 128), 2, 32),
    (28, 1, (48, 96), 1, 32),
    (32, 1, (32, 64, 96), 2, 32),
    (28, 1, (16, 32), 2, 32),
]
FITTED = 4
REST = "data, noise and loss"


def main() -> None:
    """Measure everything, part by part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("parts", nargs="*", help="measure only these parts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started, figures = time.monotonic(), {}
    parts = {
        "profile": measure_profile,
        "switches": measure_switches,
        "data": measure_data,
        "settings": measure_settings,
        "T": measure_diffusion_steps,
        "sampling": measure_sampling,
        "compile": measure_compile,
    }
    for name in tqdm(arguments.parts or parts, unit="part"):
        figures[name] = parts[name](arguments.rounds)
        if arguments.parts:
            figures = read_figures("scaling") | figures
        write_results("scaling", figures, seed=SEED, started=started)


def fastest(cases: dict[str, Step], rounds: int) -> dict[str, float]:
    """Seconds of processor time of each case: the least of `rounds`, taken in turn."""
    best = dict.fromkeys(cases, float("inf"))
    for case in cases.values():
        case()  # warm-up: memory is claimed and kernels are chosen
    for _ in tqdm(range(rounds), unit="round", leave=False):
        for name, case in cases.items():
            start = time.process_time()
            case()
            best[name] = min(best[name], time.process_time() - start)
    return best


def training_step(
    network: UNetConfig | None = None,
    batch: int = 32,
    T: int = 1000,
    change: Callable[[UNet], object] = lambda network: None,
) -> Step:
    """A function that takes one step of `train`, with AdamW; `change` may alter the network before.

    AdamW, because the model of the time has one constant for what does not grow with the batch, and
    what Muon adds grows with the width of the network.
    """
    torch.manual_seed(SEED)
    network = network or UNetConfig()
    model = DDPMConfig(T=T, network=network).build()
    change(model.network)
    data = torch.rand((64, *network.shape), generator=torch.Generator().manual_seed(SEED)) * 2 - 1
    config = TrainingConfig(steps=10**6, batch_size=batch, optimizer="adamw", seed=SEED)
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    records = train(model, data, config, accelerator=accelerator)
    return lambda: next(records)


def in_bfloat16(network: UNet) -> None:
    """As Accelerate does it: products in bfloat16 wherever torch's autocast thinks it right."""
    network.forward = torch.autocast("cpu", torch.bfloat16)(network.forward)


def channels_first(network: UNet) -> None:
    """Undo the layout in which the channels of a pixel lie side by side."""
    network.to(memory_format=torch.contiguous_format)
    network.first.register_forward_pre_hook(lambda layer, inputs: (inputs[0].contiguous(),))


# Where the time goes


def measure_profile(rounds: int) -> dict[str, Any]:
    """Share of each part in a training step of 32 images and in one evaluation for sampling."""
    with labelled_parts():
        step, step_bfloat16 = training_step(), training_step(change=in_bfloat16)
        model = DDPMConfig().build().eval()
        generator = torch.Generator().manual_seed(SEED)
        draw = partial(sample, model, 32, "ddim", 2, generator)
        return {
            "training": profile_of(step, rounds),
            "training_bfloat16": profile_of(step_bfloat16, rounds),
            "sampling": profile_of(draw, rounds),
        }


@contextmanager
def labelled_parts() -> Iterator[None]:
    """Give the profiler a name for each part of the work."""

    def label(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def labelled(*args: Any, **kwargs: Any) -> Any:
            with record_function(f"part: {part}"):
                return function(*args, **kwargs)

        return labelled

    places = [
        (nn.Conv2d, "forward", "convolutions"),
        (GroupNorm, "forward", "normalisation"),
        (SelfAttention, "forward", "attention"),
        (UNet, "forward", "rest of the network"),
        (unet_module.F, "silu", "SiLU"),
        (nn.SiLU, "forward", "SiLU"),
        (training_module, "gradient_step", "optimiser"),
        (training_module, "update_ema", "moving average"),
    ]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(mock.patch.object(owner, name, label(getattr(owner, name), part)))
        yield


def profile_of(step: Step, rounds: int) -> dict[str, float]:
    """Share of each part; for each the least time of several runs."""
    step()
    best: dict[str, float] = defaultdict(lambda: float("inf"))
    for _ in range(2 * rounds):
        with profile(activities=[ProfilerActivity.CPU]) as found, record_function(f"part: {REST}"):
            step()
        for part, seconds in time_by_part(found.events()).items():
            best[part] = min(best[part], seconds)
    total = sum(best.values())
    return {part: best[part] / total for part in sorted(best, key=best.get, reverse=True)}


def time_by_part(events: Any) -> dict[str, float]:
    """Time in each labelled part; a backward operation belongs where its forward one does."""
    forward_part: dict[int, str] = {}
    times: dict[str, float] = defaultdict(float)

    def part_of(event: Any) -> str:
        while event is not None:
            if event.name.startswith("autograd::engine::evaluate_function"):
                if "AccumulateGrad" in event.name:
                    return "optimiser"
                return forward_part.get(event.sequence_nr, REST)
            if event.name.startswith("part: "):
                return event.name.removeprefix("part: ")
            event = event.cpu_parent
        return REST

    for event in sorted(events, key=lambda event: event.time_range.start):
        if event.sequence_nr >= 0 and "Backward" not in event.name:
            forward_part[event.sequence_nr] = part_of(event)
    for event in events:
        times[part_of(event)] += event.self_cpu_time_total
    return times


# What changes it


def measure_switches(rounds: int) -> dict[str, Any]:
    """Milliseconds of a training step with one thing changed at a time."""
    cases = {
        "float32": training_step(),
        "channels_first": training_step(change=channels_first),
        "bfloat16": training_step(change=in_bfloat16),
        "bfloat16_channels_first": training_step(
            change=lambda network: (channels_first(network), in_bfloat16(network))
        ),
    }
    return {name: 1000 * s for name, s in fastest(cases, 2 * rounds).items()}


class Pictures(Dataset):
    """Digits as the usual tutorial keeps them: a picture at a time, converted when asked for."""

    def __init__(self) -> None:
        self.levels = to_bytes(load_bundled("train").images)[:, 0].numpy()
        self.convert = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
        )

    def __len__(self) -> int:
        """How many."""
        return len(self.levels)

    def __getitem__(self, index: int) -> torch.Tensor:
        """One picture, (1, 28, 28) in [-1, 1]."""
        return self.convert(Image.fromarray(self.levels[index]))


def measure_data(rounds: int) -> dict[str, float]:
    """Milliseconds to get a batch of 32 digits, two ways."""
    images = load_bundled("train").images
    generator = torch.Generator().manual_seed(SEED)
    batches = iter(DataLoader(Pictures(), 32, shuffle=True, generator=generator))

    def from_tensor() -> None:
        for _ in range(10):
            images[torch.randint(len(images), (32,), generator=generator)]

    def from_pictures() -> None:
        for _ in range(10):
            next(batches)

    cases = {"tensor": from_tensor, "pictures": from_pictures}
    return {name: 100 * seconds for name, seconds in fastest(cases, rounds).items()}


def measure_compile(rounds: int) -> dict[str, Any]:
    """Milliseconds of a training step with and without torch.compile, and seconds to compile.

    Compiling is timed by the clock, since part of it runs in other processes, and starts with an
    empty cache.
    """
    figures: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as cache,
        mock.patch.dict(os.environ, {"TORCHINDUCTOR_CACHE_DIR": cache}),
    ):
        cases = {"float32": training_step()}
        try:
            cases["compiled"] = training_step(change=lambda network: network.compile())
            start = time.monotonic()
            cases["compiled"]()
            figures["seconds_to_compile"] = time.monotonic() - start
        except Exception as error:  # no C++ compiler, say
            raise SystemExit(f"torch.compile does not work here: {error}") from error
        figures |= {name: 1000 * s for name, s in fastest(cases, 2 * rounds).items()}
    return figures


# Cost against size


def measure_settings(rounds: int) -> list[dict[str, Any]]:
    """Milliseconds of a training step at each setting, and its FLOP by hand."""
    settings = []
    cases = {}
    for size, image_channels, channels, blocks, batch in SETTINGS:
        unet = UNetConfig(image_channels, size, channels, blocks)
        name = f"{size}/{image_channels}/{channels}/{blocks}/{batch}"
        cases[name] = training_step(unet, batch)
        settings.append(
            {
                "image_size": size,
                "image_channels": image_channels,
                "channels": list(channels),
                "blocks": blocks,
                "batch": batch,
                "fitted": len(settings) < FITTED,
                "flop": batch * unet_cost(unet).training,
            }
        )
    times = fastest(cases, rounds)
    for setting, seconds in zip(settings, times.values(), strict=True):
        setting["milliseconds"] = 1000 * seconds
    return settings


def measure_diffusion_steps(rounds: int) -> dict[str, float]:
    """Milliseconds of a training step at three numbers T of diffusion steps."""
    cases = {str(T): training_step(T=T) for T in (100, 1000, 4000)}
    return {name: 1000 * seconds for name, seconds in fastest(cases, 2 * rounds).items()}


def measure_sampling(rounds: int) -> dict[str, float]:
    """Seconds to draw 16 digits in so many steps of DDIM."""
    model = DDPMConfig().build().eval()
    generator = torch.Generator().manual_seed(SEED)
    cases = {
        str(steps): partial(sample, model, 16, "ddim", steps, generator)
        for steps in (5, 10, 20, 40)
    }
    return fastest(cases, rounds)


if __name__ == "__main__":
    main()
