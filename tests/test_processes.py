"""The device to compute on, and several processes that train as one."""

import resource
import signal
import sys
from pathlib import Path

import pytest
import torch
from command_line import TINY, fifty, start_processes

from ddpm_tutorial import (
    Digits,
    Run,
    TutorialError,
    cli,
    fingerprint,
    has_fast_bfloat16,
    in_all_processes,
    load_checkpoint,
    make_accelerator,
)


@pytest.mark.parametrize(
    ("cuda", "mps", "processor", "fast"),
    [
        ((8, 0), False, {}, True),
        ((7, 5), False, {"avx512_bf16": True}, False),
        (None, True, {"avx512_bf16": True}, False),
        (None, False, {"avx512_bf16": True}, True),
        (None, False, {"amx_bf16": True}, True),
        (None, False, {"avx2": True}, False),
        (None, False, None, False),
    ],
)
def test_bfloat16_is_used_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch,
    cuda: tuple[int, int] | None,
    mps: bool,
    processor: dict[str, bool] | None,
    fast: bool,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if processor is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    assert has_fast_bfloat16() is fast


def test_one_process_agrees_with_itself():
    make_accelerator()
    assert in_all_processes(lambda: 3, str) == 3
    with pytest.raises(ValueError, match="mine"):
        in_all_processes(lambda: int("mine"))


def end(workers: list, status: int) -> list[str]:
    """What the processes said, all of which must end with that status."""
    said = [worker.communicate(timeout=100)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [status] * len(workers), said
    return said


def train_with_two(tmp_path: Path, trouble: str, *more: object) -> list:
    arguments = ("train", "--out", tmp_path / "run", "--steps", 500, *TINY, *more)
    return start_processes(2, __file__, trouble, *arguments)


def test_processes_that_found_other_data_all_refuse(tmp_path):
    for said in end(train_with_two(tmp_path, "other data"), 2):
        assert "error: the processes of this run differ in what they found: process 0" in said
        for digits in (fifty("train"), fifty("test")):
            assert fingerprint(digits)["sha256"] in said
    assert not (tmp_path / "run").exists()


def test_where_one_fails_to_load_none_waits(tmp_path):
    first, second = end(train_with_two(tmp_path, "no data"), 2)
    assert "error: process 1 of this run failed: no such folder" in first
    assert "error: no such folder" in second
    assert not (tmp_path / "run").exists()


def test_where_the_folder_is_locked_none_waits(tmp_path):
    with Run(tmp_path / "run").locked():
        first, second = end(train_with_two(tmp_path, "none"), 2)
    assert "error: another process is training in" in first
    assert "error: process 0 of this run failed: another process is training in" in second


def test_ctrl_c_in_one_process_stops_all_at_the_same_step(tmp_path):
    first, second = end(train_with_two(tmp_path, "ctrl-c"), 130)
    assert "saved up to step 3: the same command with --resume goes on" in first
    assert second.endswith("Stopped.\n")
    assert load_checkpoint(tmp_path / "run" / "state.safetensors").details["step"] == 3


def test_where_one_cannot_save_all_end_with_words(tmp_path):
    first, second = end(train_with_two(tmp_path, "full disk", "--save-every", 3), 2)
    assert "error: could not write" in first
    assert "error: process 0 of this run failed: could not write" in second


def work(trouble: str) -> None:
    """One of the two processes of the tests above; the trouble is in the second."""
    torch.set_num_threads(1)
    second = make_accelerator().process_index == 1

    def load(split: str, *_: object) -> Digits:
        if second and trouble == "no data":
            raise TutorialError("no such folder")
        return fifty("test" if second and trouble == "other data" else split)

    original = cli.train.train

    def train(*arguments: object, **options: object):
        for record in original(*arguments, **options):
            if record.step == 3 and second and trouble == "ctrl-c":
                signal.raise_signal(signal.SIGINT)
            yield record

    if trouble == "full disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    cli.train.load_mnist, cli.train.train = load, train
    cli.main()


if __name__ == "__main__":
    work(sys.argv.pop(1))
