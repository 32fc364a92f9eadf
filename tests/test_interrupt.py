"""Ctrl-C: the first one saves, the second one ends at once, and what is said of it is true."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from command_line import TINY, check_same_run, run, train_six_steps, use_few_digits

from ddpm_tutorial import cli, load_checkpoint, save_checkpoint
from ddpm_tutorial.cli.interrupt import SAME_KEY_PRESS, StopRequest


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    use_few_digits(monkeypatch)


def send(wish=signal.SIGINT):
    os.kill(os.getpid(), wish)
    time.sleep(0.01)  # Python handles it between two instructions


def send_after(monkeypatch, step, *waits, wish=signal.SIGINT):
    """Have the wish come in the middle of the step after `step`; and again, after each wait."""
    original = cli.train.train

    def interrupted(*arguments, **options):
        if step == 0:
            send(wish)
        for record in original(*arguments, **options):
            yield record
            if record.step == step:
                send(wish)
                for wait in waits:
                    time.sleep(wait)
                    send(wish)

    monkeypatch.setattr(cli.train, "train", interrupted)


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_is_noted_and_the_second_ends(wish, capfd):
    before = signal.getsignal(wish)
    with StopRequest() as stop:
        assert not stop.asked
        send(wish)
        assert stop.asked
        assert "Ctrl-C again stops at once" in capfd.readouterr().err
        send(wish)  # the same key press, handed on by another program
        time.sleep(SAME_KEY_PRESS)
        with pytest.raises(KeyboardInterrupt):
            send(wish)
    assert signal.getsignal(wish) is before


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGHUP])
def test_what_was_to_be_ignored_stays_ignored(wish):
    """As `nohup` and a shell's background jobs have it."""
    before = signal.signal(wish, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            send(wish)
            assert not stop.asked
        assert signal.getsignal(wish) is signal.SIG_IGN
    finally:
        signal.signal(wish, before)


def test_a_run_in_a_thread_is_trained(tmp_path):
    """As a web page's or a notebook's: no signal arrives there."""
    command = ("train", "--out", tmp_path / "run", "--steps", 1, *TINY)
    with ThreadPoolExecutor() as pool:
        assert pool.submit(run, *command).result() == 0
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_saved_where_it_stopped_and_goes_on_to_the_same_bits(
    tmp_path, capsys, monkeypatch, wish
):
    whole = train_six_steps(tmp_path / "whole")
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        send_after(patch, 2, wish=wish)
        assert run("train", "--out", out, "--steps", 6, "--save-every", 4, *TINY) == 130
    message = "Stopped. The run is saved up to step 3: the same command with --resume goes on.\n"
    assert capsys.readouterr().err.endswith(message)
    assert load_checkpoint(out / "state.safetensors").details["step"] == 3
    assert run("train", "--out", out, "--resume") == 0
    check_same_run(whole, out)


def test_before_the_first_step_there_is_one_more_and_it_is_saved(tmp_path, capsys, monkeypatch):
    send_after(monkeypatch, 0)
    assert run("train", "--out", tmp_path / "run", "--steps", 6, *TINY) == 130
    assert "saved up to step 1" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "run" / "state.safetensors").details["step"] == 1


@pytest.mark.parametrize(
    ("save_every", "message"),
    [(100, "Stopped before a step was saved.\n"), (1, "saved up to step 2: the same command")],
)
def test_a_second_one_ends_at_once_and_promises_no_more_than_there_is(
    tmp_path, capsys, monkeypatch, save_every, message
):
    out = tmp_path / "run"
    send_after(monkeypatch, 2, SAME_KEY_PRESS + 0.1)
    assert (
        run("train", "--out", out, "--steps", 6, "--save-every", save_every, *TINY, "--T", 20)
        == 130
    )
    assert message in capsys.readouterr().err
    assert (out / "state.safetensors").exists() == (save_every == 1)
    if save_every == 1:
        assert load_checkpoint(out / "state.safetensors").details["step"] == 2


def test_in_the_last_step_it_changes_nothing(tmp_path, capsys, monkeypatch):
    whole = train_six_steps(tmp_path / "whole")
    send_after(monkeypatch, 5)
    assert run("train", "--out", tmp_path / "run", "--steps", 6, "--save-every", 4, *TINY) == 0
    assert "Trained for 6 steps" in capsys.readouterr().out
    check_same_run(whole, tmp_path / "run")


def test_before_the_training_nothing_is_promised(tmp_path, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "load_mnist", stopped)
    assert run("train", "--out", tmp_path / "run", "--steps", 6, *TINY) == 130
    assert capsys.readouterr().err == "Stopped.\n"


# The other kind of device


@pytest.mark.filterwarnings("default")
def test_a_run_of_a_gpu_goes_on_here_and_says_that_its_numbers_differ(tmp_path, capsys):
    """A stopped run, in whose state the generator has the 16 bytes of one on a GPU."""
    whole = train_six_steps(tmp_path / "whole")
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        send_after(patch, 3)
        assert run("train", "--out", out, "--steps", 6, *TINY) == 130
    state = load_checkpoint(out / "state.safetensors")
    state.tensors["generator"] = torch.zeros(16, dtype=torch.uint8)
    save_checkpoint(out / "state.safetensors", state)
    capsys.readouterr()
    copies = []
    for name in "ab":
        copy = tmp_path / name
        copy.mkdir()
        for file in out.iterdir():
            if file.is_file():
                (copy / file.name).write_bytes(file.read_bytes())
        assert run("train", "--out", copy, "--resume") == 0
        errors = capsys.readouterr().err
        assert "warning: this run was saved on another kind of device than cpu: it goes" in errors
        assert "from step 4 with other random numbers" in errors
        assert "UserWarning" not in errors
        copies.append(load_checkpoint(copy / "model.safetensors"))
    assert copies[0].details["step"] == 6
    same = load_checkpoint(whole / "model.safetensors").tensors
    for name, value in copies[0].tensors.items():
        assert torch.equal(value, copies[1].tensors[name])  # other numbers, but the same ones again
    assert any(not torch.equal(value, same[name]) for name, value in copies[0].tensors.items())
