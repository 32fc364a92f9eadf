"""What only a GPU can show; on a processor the same checks run, so that they are known to work.

Those marked `gpu` are skipped where there is none. `make bench-gpu` runs them first.
"""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from ddpm_tutorial import (
    DDPM,
    SAMPLERS,
    DDPMConfig,
    TrainingConfig,
    TrainingRecord,
    TransformerConfig,
    UNetConfig,
    load_bundled,
    load_checkpoint,
    load_pretrained,
    sample,
    train,
)

NO_GPU = "there is no GPU here: torch.cuda.is_available() is False"
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)],
    ),
]
on_each_device = pytest.mark.parametrize("device", DEVICES)
IMAGES = load_bundled("train").images[:200]


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Products in full float32, kernels that repeat themselves."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def small_model(seed: int = 0) -> DDPM:
    torch.manual_seed(seed)
    return DDPMConfig(T=50, network=UNetConfig(channels=(16, 32))).build()


def records_on(device: str, resume: dict[str, Tensor] | None = None) -> Iterator[TrainingRecord]:
    """Six steps."""
    config = TrainingConfig(steps=6, batch_size=16, warmup_steps=2)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no")
    return train(small_model(), IMAGES, config, accelerator=accelerator, resume=resume)


@on_each_device
@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_a_sampler_draws_what_it_draws_on_the_processor(device: str, sampler: str) -> None:
    """To 2e-3 of a range of 2: ten steps carry on what the devices round differently."""
    model = load_pretrained()
    drawn = []
    for place in ("cpu", device):
        generator = torch.Generator().manual_seed(0)
        found = sample(model.to(place), 4, sampler, 10, generator)
        assert found.device.type == place
        drawn.append(found.cpu())
    torch.testing.assert_close(*drawn, rtol=0, atol=2e-3)


@on_each_device
@pytest.mark.parametrize("parameterisation", ["eps", "x0", "v", "velocity", "levels"])
@pytest.mark.parametrize(
    "network",
    [UNetConfig(channels=(16, 32)), TransformerConfig(width=64, blocks=2)],
    ids=["unet", "transformer"],
)
def test_loss_and_gradient_are_those_of_the_processor(
    device: str, parameterisation: str, network: UNetConfig | TransformerConfig
) -> None:
    torch.manual_seed(0)
    model = DDPMConfig(T=50, parameterisation=parameterisation, network=network).build()
    t, eps = torch.arange(1, 9), torch.randn(8, 1, 28, 28)
    found = []
    for place in ("cpu", device):
        there = copy.deepcopy(model).to(place)
        loss = there(*(part.to(place) for part in (IMAGES[:8], t, eps))).total.mean()
        loss.backward()
        gradients = [p.grad.flatten().cpu() for p in there.parameters() if p.grad is not None]
        found.append((loss.detach().cpu(), torch.cat(gradients)))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-6)
    largest = float(found[0][1].abs().max())
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-4 * largest)


@on_each_device
def test_a_run_that_goes_on_ends_as_if_it_had_never_stopped(device: str) -> None:
    whole = list(records_on(device))[-1].state.tensors()
    stopped = next(records_on(device)).state.tensors()
    resumed = list(records_on(device, resume=stopped))[-1].state.tensors()
    assert resumed.keys() == whole.keys()
    for name in whole.keys() - {"seconds"}:
        torch.testing.assert_close(resumed[name], whole[name], rtol=0, atol=1e-5, msg=name)


@on_each_device
def test_a_run_goes_on_on_the_processor(device: str) -> None:
    record = next(records_on(device))
    assert next(record.state.model.parameters()).device.type == device
    state = record.state.tensors()
    assert {value.device.type for value in state.values()} == {"cpu"}
    AcceleratorState._reset_state(reset_partial_state=True)
    if device == "cpu":
        last = list(records_on("cpu", resume=state))[-1]
    else:
        with pytest.warns(UserWarning, match="this run was saved on another kind of device"):
            last = list(records_on("cpu", resume=state))[-1]
    assert last.step == 6


WORKER = """
from ddpm_tutorial import cli, load_bundled
cli.train.load_mnist = lambda split, *_: load_bundled(split)
cli.main()
"""


@on_each_device
def test_a_run_that_is_killed_goes_on_from_its_last_save(device: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    sizes = [f"--{name}={n}" for name, n in (("channels", 16), ("batch-size", 8), ("T", 10))]
    words = [f"--out={out}", "--steps=1000000", "--save-every=5", *sizes]
    environment = os.environ | ({"ACCELERATE_USE_CPU": "1"} if device == "cpu" else {})

    def step_when_killed(after: int, *more: str) -> int:
        """Killed as soon as it has saved a step beyond `after`."""
        command = [sys.executable, "-c", WORKER, "train", *words, *more]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 200
        try:
            while saved_step(out) <= after:
                assert process.poll() is None, "it ended by itself"
                assert time.monotonic() < deadline, "it saved nothing"
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
        return saved_step(out)

    step_when_killed(step_when_killed(0), "--resume")


def saved_step(out: Path) -> int:
    state = out / "state.safetensors"
    return load_checkpoint(state).details["step"] if state.exists() else 0


@on_each_device
def test_the_data_are_moved_once(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first step no tensor as large as a picture comes from the processor."""
    records = records_on(device)
    next(records)
    moved, original = [], Tensor.to

    def watched(tensor: Tensor, *arguments: object, **options: object) -> Tensor:
        result = original(tensor, *arguments, **options)
        if result.device != tensor.device:
            moved.append(tuple(tensor.shape))
        return result

    monkeypatch.setattr(Tensor, "to", watched)
    list(records)
    assert [shape for shape in moved if len(shape) == 4] == []
