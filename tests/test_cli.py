import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_tutorial import cli, files, load_bundled, load_model
from ddpm_tutorial.checkpoint import load_checkpoint
from ddpm_tutorial.data import Digits

TINY = ["--channels", "16", "--batch-size", "4", "--T", "10"]


def run(*arguments):
    """The exit status of `ddpm-tutorial ARGUMENTS`."""
    sys.argv = ["ddpm-tutorial", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    def load(split, root=None):
        return Digits(*(part[:50] for part in load_bundled(split)))

    monkeypatch.setattr(cli, "load_mnist", load)
    monkeypatch.setattr(sys, "argv", [])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of six steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "load_mnist", lambda split, root=None: load_bundled(split))
        patch.setattr(sys, "argv", [])
        assert run("train", "--out", out, "--steps", 6, "--save-every", 4, *TINY) == 0
    return out


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, *arguments):
    """The one message of a command that must fail with status 2 and without a trace."""
    capsys.readouterr()
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    message = captured.err + captured.out
    assert "Traceback" not in message
    return message


def test_train_leaves_weights_state_and_pictures(trained):
    assert sorted(contents(trained)) == [
        "model.safetensors",
        "state.safetensors",
        "step-000006.png",
    ]
    model = load_model(trained / "model.safetensors")
    assert model.schedule.T == 10
    state = load_checkpoint(trained / "state.safetensors")
    assert int(state.tensors["step"]) == state.details["step"] == 6
    for name, value in model.state_dict().items():
        assert torch.equal(value, state.tensors[f"ema.{name}"])


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++"])
def test_sample_writes_an_array_that_the_seed_decides(trained, tmp_path, sampler):
    base = ["sample", "--checkpoint", trained / "model.safetensors", "--sampler", sampler]
    base += ["--n", 6, "--steps", 5]
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        assert run(*base, "--seed", seed, "--out", tmp_path / f"{name}.npz") == 0
    a, b, c = (np.load(tmp_path / f"{name}.npz")["images"] for name in "abc")
    assert a.shape == (6, 28, 28)
    assert a.dtype == np.uint8
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sample_writes_a_sheet(trained, tmp_path):
    out = tmp_path / "sheet.png"
    base = ["sample", "--checkpoint", trained / "model.safetensors"]
    assert run(*base, "--n", 9, "--steps", 2, "--out", out) == 0
    assert Image.open(out).size == (176, 176)


def test_evaluate_prints_and_writes_the_same_figures(trained, tmp_path, capsys):
    out = tmp_path / "figures.json"
    base = ["evaluate", "--checkpoint", trained / "model.safetensors"]
    assert run(*base, "--n", 5, "--json", out) == 0
    printed = capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert figures["n"] == 5
    parts = figures["bits_per_dim"]
    for name, figure in parts.items():
        assert f"{name:15} {figure['mean']:8.4f} +- {figure['standard_error']:.4f}" in printed
    total = sum(parts[name]["mean"] for name in ("prior", "denoising", "reconstruction"))
    assert parts["total"]["mean"] == pytest.approx(total)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--steps", "9"], "already holds a run"),
        (["train", "--resume", "--channels", "32"], "channels = (16,), not (32,)"),
        (["train", "--resume", "--steps", "9"], "steps = 6, not 9"),
        (["train", "--resume", "--predicts", "eps"], "predicts = v, not eps"),
    ],
)
def test_a_run_is_never_overwritten(trained, capsys, arguments, named):
    before = contents(trained)
    assert named in refused(capsys, *arguments, "--out", trained)
    assert contents(trained) == before


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: c[:-1] + b"\x55"])
def test_a_damaged_state_is_named_and_nothing_is_lost(trained, tmp_path, capsys, damage):
    run("train", "--out", tmp_path / "run", "--steps", 1, *TINY)
    state = tmp_path / "run" / "state.safetensors"
    state.write_bytes(damage((trained / "state.safetensors").read_bytes()))
    before = contents(tmp_path / "run")
    assert "state.safetensors is damaged" in refused(
        capsys, "train", "--out", tmp_path / "run", "--resume"
    )
    assert contents(tmp_path / "run") == before


def test_resuming_a_finished_run_changes_nothing(trained, capsys):
    before = contents(trained)
    assert run("train", "--out", trained, "--resume") == 0
    assert "already finished" in capsys.readouterr().err
    assert contents(trained) == before


def test_resume_with_nothing_to_resume_starts_and_says_so(tmp_path, capsys):
    out = tmp_path / "new"
    assert run("train", "--out", out, "--resume", "--steps", 1, *TINY) == 0
    assert "Nothing to resume" in capsys.readouterr().err
    assert (out / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("train --out {tmp}/no/where", "no does not exist: create it"),
        ("train --out {tmp}/a --steps 5 --minutes 1", "steps = 5, minutes = 1.0"),
        ("train --out {tmp}/a --steps 0", "steps = 0"),
        ("train --out {tmp}/a --channels 12", "channels = (12,)"),
        ("train --out {tmp}/a --save-every 0", "save_every = 0"),
        ("train --out {tmp}/a --learning-rate -1", "learning_rate = -1.0"),
        ("sample --checkpoint {run} --out {tmp}/a.jpg", "must end in .png or .npz"),
        ("sample --checkpoint {run} --out {tmp}/no/a.png", "no does not exist"),
        ("sample --checkpoint {tmp}/missing --out {tmp}/a.png", "missing does not exist"),
        ("sample --checkpoint {run} --out {tmp}/a.png --digit 3", "digit = 3"),
        ("sample --checkpoint {run} --out {tmp}/a.png --n 0", "n = 0"),
        ("sample --checkpoint {run} --out {tmp}/a.png --steps 11", "steps = 11"),
        ("sample --checkpoint {run} --out {tmp}/a.png --steps 5 --eta 2", "eta = 2.0"),
        ("evaluate --checkpoint {run} --n 5000", "n = 5000"),
        ("evaluate --checkpoint {run} --json {tmp}/no/a.json", "no does not exist"),
    ],
)
def test_bad_input_gets_one_clear_message(trained, tmp_path, capsys, arguments, named):
    filled = arguments.format(tmp=tmp_path, run=trained / "model.safetensors")
    assert named in refused(capsys, *filled.split())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_labels_from_training_to_sampling(tmp_path, capsys):
    out = tmp_path / "run"
    assert run("train", "--out", out, "--steps", 2, "--with-labels", *TINY) == 0
    model = out / "model.safetensors"
    base = ["sample", "--checkpoint", model, "--n", 10, "--steps", 2]
    assert run(*base, "--out", tmp_path / "all.npz") == 0
    assert run(*base, "--out", tmp_path / "seven.npz", "--digit", 7) == 0
    assert "takes 0..9" in refused(capsys, *base, "--out", tmp_path / "x.npz", "--digit", 10)
    network = load_model(model)
    assert cli._labels(network, 12, None).tolist() == [*range(10), 0, 1]
    assert cli._labels(network, 3, 7).tolist() == [7, 7, 7]


def test_a_full_disk_keeps_the_last_good_save(tmp_path, capsys, monkeypatch):
    out, good = tmp_path / "run", {}

    def fill(descriptor):
        if (out / "state.safetensors").exists():
            good.update(contents(out))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", fill)
    message = refused(capsys, "train", "--out", out, "--steps", 6, "--save-every", 2, *TINY)
    assert "No space left" in message
    after = contents(out)
    assert after == {name: good[name] for name in after}
    assert load_checkpoint(out / "state.safetensors").details["step"] == 2
    load_model(out / "model.safetensors")


def test_a_diverging_run_stops_and_keeps_the_last_good_save(tmp_path, capsys, monkeypatch):
    original, calls = cli.train, []

    def poisoned(model, data, config, **options):
        for record in original(model, data, config, **options):
            calls.append(record.step)
            yield record
            if record.step == 5:
                with torch.no_grad():
                    next(model.parameters()).fill_(float("nan"))

    monkeypatch.setattr(cli, "train", poisoned)
    out = tmp_path / "run"
    message = refused(capsys, "train", "--out", out, "--steps", 9, "--save-every", 4, *TINY)
    assert "step 6: the loss is nan" in message
    assert calls == [1, 2, 3, 4, 5]
    saved = load_checkpoint(out / "state.safetensors")
    assert saved.details["step"] == 4
    assert all(value.isfinite().all() for value in saved.tensors.values())


@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_help_names_every_option(command, capsys):
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    fields = {"train": cli.Train, "sample": cli.Sample, "evaluate": cli.Evaluate}[command]
    for name in fields.__dataclass_fields__:
        option = "T" if name == "diffusion_steps" else name.replace("_", "-")
        assert f"--{option}" in text


WORKER = """
import sys
import torch
from ddpm_tutorial import cli, load_bundled
torch.set_num_threads(1)
cli.load_mnist = lambda split, root=None: load_bundled(split)
cli.main()
"""


def test_killed_and_resumed_ends_with_the_same_bits(tmp_path):
    """SIGKILL, again and again, each time some way past the last save."""
    settings = ["--steps", "60", "--save-every", "7", "--seed", "3", *TINY]

    def start(out, *more):
        command = [sys.executable, "-c", WORKER, "train", "--out", str(out), *settings, *more]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start(tmp_path / "whole").wait(timeout=300) == 0
    out, random = tmp_path / "killed", np.random.default_rng(0)
    state = Path(out, "state.safetensors")
    kills = 0
    while True:
        saved = state.stat().st_mtime_ns if state.exists() else None
        process = start(out, "--resume")
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if state.exists() and state.stat().st_mtime_ns != saved and kills < 3:
                time.sleep(random.uniform(0, 0.1))
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        if process.wait(timeout=300) == 0:
            break
    assert kills == 3
    for name in ("model.safetensors", "state.safetensors"):
        whole, resumed = (load_checkpoint(tmp_path / run / name) for run in ("whole", "killed"))
        assert whole.tensors.keys() == resumed.tensors.keys()
        for key in whole.tensors.keys() - {"seconds"}:
            assert torch.equal(whole.tensors[key], resumed.tensors[key]), key
