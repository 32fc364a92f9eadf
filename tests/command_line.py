"""The command line as tests call it: on fifty digits, with a tiny network."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ddpm_tutorial import Digits, cli, load_bundled, load_checkpoint

QUICK = ["--n", "2", "--steps", "2", "--terms", "2"]
TINY = ["--channels", "16", "--batch-size", "4", "--T", "10"]


def run(*arguments: object) -> int:
    """The exit status of `ddpm-tutorial ARGUMENTS`."""
    sys.argv = ["ddpm-tutorial", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code
    return 0


def fifty(split: str, root: object = None, dataset: str = "mnist") -> Digits:
    return Digits(*(part[:50] for part in load_bundled(split)))


def use_few_digits(patch: pytest.MonkeyPatch) -> None:
    """Have every command find fifty digits; and forget the arguments in the end."""
    for command in (cli.train, cli.evaluate):
        patch.setattr(command, "load_mnist", fifty)
    patch.setattr(sys, "argv", [])


def train_six_steps(out: Path) -> Path:
    """A finished run of six steps."""
    with pytest.MonkeyPatch.context() as patch:
        use_few_digits(patch)
        assert run("train", "--out", out, "--steps", 6, "--save-every", 4, *TINY) == 0
    return out


def stop_after(step: int, patch: pytest.MonkeyPatch) -> None:
    """Let `train` be stopped by hand after that step."""
    original = cli.train.train

    def stopped(*arguments, **options):
        for record in original(*arguments, **options):
            yield record
            if record.step == step:
                raise KeyboardInterrupt

    patch.setattr(cli.train, "train", stopped)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_same_run(one: Path, other: Path) -> None:
    """Bit for bit, but for the time that it took."""
    for name in ("model.safetensors", "state.safetensors"):
        first, second = (load_checkpoint(folder / name) for folder in (one, other))
        assert first.tensors.keys() == second.tensors.keys()
        for key in first.tensors.keys() - {"seconds"}:
            assert torch.equal(first.tensors[key], second.tensors[key]), key
    first, second = (
        [line.rpartition(",")[0] for line in (folder / "log.csv").read_text().splitlines()]
        for folder in (one, other)
    )
    assert first == second


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """The one message of a command that must fail with status 2 and without a trace."""
    capsys.readouterr()
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert "Traceback" not in captured.err
    *bar, message = captured.err.strip().splitlines()
    assert message.startswith("error: ")
    assert not any("error" in line for line in bar)
    assert len(message) < 600
    return message


def start_processes(count: int, *command: object) -> list[subprocess.Popen]:
    """`python COMMAND`, so often, as the processes of one run: what `accelerate launch` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    everyone = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | everyone | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
