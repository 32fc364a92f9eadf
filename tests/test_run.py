"""The folder of a training run, by itself and as `ddpm-tutorial train` uses it."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import first_edition
import pytest
import torch
from command_line import (
    TINY,
    check_same_run,
    contents,
    fifty,
    refused,
    run,
    stop_after,
    train_six_steps,
    use_few_digits,
)
from filelock import Timeout

from ddpm_tutorial import (
    ASSETS,
    LOG_COLUMNS,
    DDPMConfig,
    Digits,
    Run,
    TutorialError,
    cli,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from ddpm_tutorial.io import run as run_module


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    use_few_digits(monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_six_steps(tmp_path_factory.mktemp("runs") / "run")


def record(step):
    """A step of a training whose state is one number."""
    tensors = {"ema.weight": torch.tensor([float(step)]), "generator": torch.zeros(3).byte()}
    return SimpleNamespace(
        step=step,
        loss=1 / (3 * step),
        gradient_norm=1234567.8,
        learning_rate=2e-3,
        seconds=1.23456 * step,
        state=SimpleNamespace(tensors=lambda: tensors),
    )


def save(one, step, settings=None):
    """Have a run note a step and save it."""
    one.note(record(step))
    one.save(DDPMConfig(T=10), record(step), settings or {}, fingerprint(fifty("train")))


# The lock


def test_a_second_holder_is_refused_by_name_and_changes_nothing(tmp_path):
    out = tmp_path / "run"
    with Run(out).locked():
        save(Run(out), 1)
        before = contents(out)
        assert "state.safetensors" in before
        message = re.escape(f"another process is training in {out}: wait until it has ended, or")
        with pytest.raises(TutorialError, match=message), Run(out).locked():
            pytest.fail("both held the folder")
        assert contents(out) == before
    with Run(out).locked():  # freed with the end
        pass
    assert contents(out) == before


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, Timeout("another lock")])
def test_an_exception_frees_the_folder_and_goes_on_its_way(tmp_path, error):
    kind = error if isinstance(error, type) else type(error)
    for _ in "ab":
        with pytest.raises(kind), Run(tmp_path / "run").locked():
            raise error
    with Run(tmp_path / "run").locked():
        pass


def test_two_folders_do_not_lock_each_other(tmp_path):
    with Run(tmp_path / "a").locked(), Run(tmp_path / "b").locked():
        assert (tmp_path / "a" / "samples").is_dir()
        assert (tmp_path / "b" / "samples").is_dir()


HOLDER = """
import sys
from pathlib import Path
from ddpm_tutorial import Run
with Run(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("ends", ["by itself", "killed"])
def test_a_command_is_refused_while_another_process_is_at_the_folder(tmp_path, capsys, ends):
    out = tmp_path / "run"
    again = ["train", "--out", out, "--steps", 1, *TINY]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        try:
            assert other.stdout.readline() == "held\n"
            before = contents(out)
            for more in ([], ["--resume"]):
                assert f"another process is training in {out}" in refused(capsys, *again, *more)
                assert contents(out) == before
            if ends == "by itself":
                other.communicate()
                assert other.returncode == 0
        finally:
            other.kill()
            other.wait()
    assert run(*again) == 0
    assert load_checkpoint(out / "state.safetensors").details["step"] == 1


@pytest.mark.parametrize("ends", ["finished", "stopped", "diverged"])
def test_train_holds_the_folder_from_its_first_step_to_its_last_file(tmp_path, monkeypatch, ends):
    out, original, held = tmp_path / "run", cli.train.train, []

    def try_it(when):
        with pytest.raises(TutorialError, match="another process is training"), Run(out).locked():
            pytest.fail("it was free")
        held.append(when)

    def watched(*arguments, **options):
        for one in original(*arguments, **options):
            try_it(one.step)
            yield one
            if one.step == 2 and ends == "stopped":
                raise KeyboardInterrupt
            if one.step == 2 and ends == "diverged":
                raise TutorialError("the loss is nan")

    def draw(path, images):
        try_it(path.name)

    monkeypatch.setattr(cli.train, "train", watched)
    monkeypatch.setattr(cli.train, "save_sheet", draw)
    status = {"finished": 0, "stopped": 130, "diverged": 2}[ends]
    assert run("train", "--out", out, "--steps", 3, *TINY) == status
    assert held == ([1, 2, 3, "step-000003.png"] if ends == "finished" else [1, 2])
    with Run(out).locked():
        pass


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_run_made_in_the_meantime_is_not_overwritten(tmp_path, capsys, monkeypatch, resume):
    """Another process trains in the folder, and ends, while this one still reads its data."""
    out = tmp_path / "run"

    def slow(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cli.train, "load_mnist", fifty)
            assert run("train", "--out", out, "--steps", 2, *TINY) == 0
            capsys.readouterr()
        found.update(contents(out))
        return fifty("train")

    found = {}
    monkeypatch.setattr(cli.train, "load_mnist", slow)
    message = refused(capsys, "train", "--out", out, "--steps", 5, *TINY, *resume)
    assert f"another process has just trained in {out}: start again with --resume" in message
    assert contents(out) == found
    assert load_checkpoint(out / "state.safetensors").details["step"] == 2


def test_a_folder_that_cannot_be_made_or_locked_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "run" / "lock").mkdir(parents=True)
    for name, reason in [("file", "exists|directory"), ("run", "directory")]:
        message = rf"cannot make or lock {tmp_path / name}: .*({reason})"
        with pytest.raises(TutorialError, match=message), Run(tmp_path / name).locked():
            pytest.fail("it was locked")
    with pytest.raises(TutorialError, match="no does not exist: create it"):
        Run(tmp_path / "no" / "where")


# The training data


def test_the_fingerprint_tells_images_labels_order_and_number_apart():
    digits = fifty("train")
    mark = fingerprint(digits)
    assert fingerprint(fifty("train")) == mark
    assert json.loads(json.dumps(mark)) == mark
    assert mark["images"] == 50
    one_level = digits.images.clone()
    one_level[7, 0, 14, 14] += 2 / 255 if one_level[7, 0, 14, 14] < 0 else -2 / 255
    labels = digits.labels.clone()
    labels[49] = (labels[49] + 1) % 10
    others = [
        Digits(one_level, digits.labels),
        Digits(digits.images, labels),
        Digits(*(part.flip(0) for part in digits)),
        Digits(*(part[:49] for part in digits)),
        fifty("test"),
    ]
    marks = [fingerprint(other) for other in others]
    assert len({other["sha256"] for other in [mark, *marks]}) == 6
    assert marks[3]["images"] == 49


@pytest.mark.parametrize("other", ["images", "number"])
def test_a_run_does_not_go_on_with_other_data(tmp_path, capsys, monkeypatch, other):
    out, original = tmp_path / "run", cli.train.train
    stop_after(5, monkeypatch)
    assert run("train", "--out", out, "--steps", 6, "--save-every", 4, *TINY) == 130
    monkeypatch.setattr(cli.train, "train", original)
    found = fifty("test") if other == "images" else Digits(*(part[:48] for part in fifty("train")))
    monkeypatch.setattr(cli.train, "load_mnist", lambda *_: found)
    begun, now = fingerprint(fifty("train")), fingerprint(found)
    before = contents(out)
    message = refused(capsys, "train", "--out", out, "--resume")
    assert f"the run in {out} was begun on 50 images with checksum {begun['sha256']}" in message
    number = 50 if other == "images" else 48
    assert f"and these are {number} with {now['sha256']}: name the data" in message
    assert contents(out) == before
    # With its own data, whatever folder they are read from, it goes on.
    monkeypatch.setattr(cli.train, "load_mnist", fifty)
    assert run("train", "--out", out, "--resume", "--data", tmp_path) == 0


def test_many_images_are_named_in_thousands(tmp_path):
    saved = SimpleNamespace(details={"data": {"images": 60_000, "sha256": "abc"}})
    with pytest.raises(TutorialError, match="begun on 60,000 images with checksum abc, and these"):
        Run(tmp_path / "run").check_data(saved, fifty("train"))


@pytest.mark.parametrize(
    "kind",
    [
        [],
        ["--learned-variance", "--with-labels"],
        ["--predicts", "levels", "--schedule", "log-snr"],
    ],
    ids=["v", "learned variance", "levels"],
)
def test_a_run_of_the_first_edition_goes_on(tmp_path, monkeypatch, kind):
    """Bit by bit as if it had never stopped; and from then on its data are noted."""
    settings = ["--steps", 6, "--save-every", 4, *TINY, *kind, *first_edition.AS_IT_TRAINED]
    assert run("train", "--out", tmp_path / "whole", *settings) == 0
    out, original = tmp_path / "cut", cli.train.train
    stop_after(5, monkeypatch)
    assert run("train", "--out", out, *settings) == 130
    monkeypatch.setattr(cli.train, "train", original)
    for name in ("state.safetensors", "model.safetensors"):
        first_edition.turn_back(out / name)
        config, details = first_edition.header_of(out / name)
        assert "unet" in config
        assert "data" not in details
    assert run("train", "--out", out, "--resume") == 0
    check_same_run(tmp_path / "whole", out)
    _, details = first_edition.header_of(out / "state.safetensors")
    assert details["data"] == fingerprint(fifty("train"))
    assert details["settings"]["optimizer"] == "adamw"
    assert details["settings"]["stratified"] is False


def test_a_finished_run_of_the_first_edition_is_left_as_it_is(tmp_path, capsys):
    out = tmp_path / "run"
    settings = ["--steps", 2, *TINY, *first_edition.AS_IT_TRAINED]
    assert run("train", "--out", out, *settings) == 0
    (out / "samples/step-000002.png").unlink()
    for name in ("state.safetensors", "model.safetensors"):
        first_edition.turn_back(out / name)
    before = contents(out)
    assert run("train", "--out", out, "--resume") == 0
    assert "already finished" in capsys.readouterr().err
    assert contents(out) == before | {"lock": b""}


# Settings

USUAL = {"steps": None, "batch_size": 32, "channels": (48, 96), "diffusion_steps": 1000}
BEGUN = {"steps": 6, "batch_size": 4, "channels": [16], "diffusion_steps": 1000}


def settings_of(tmp_path, begun, insisted=(), **given):
    saved = SimpleNamespace(details={"settings": begun})
    return Run(tmp_path / "run").settings_of(saved, USUAL | given, USUAL, insisted)


def test_the_settings_of_a_run_are_taken_over(tmp_path):
    taken = {**BEGUN, "channels": (16,)}  # a file holds a list
    assert settings_of(tmp_path, BEGUN) == taken
    assert settings_of(tmp_path, BEGUN, ["steps"], steps=6) == taken
    # A setting that there was not yet was as is usual, and one that there is no more is forgotten.
    older = {"steps": 6, "batch_size": 4, "colour": "blue"}
    assert settings_of(tmp_path, older) == USUAL | {"steps": 6, "batch_size": 4}


@pytest.mark.parametrize(
    ("insisted", "given", "message"),
    [
        ("steps", {"steps": 9}, "--steps: the run in {out} has 6, not 9. Leave --steps out"),
        ("batch_size", {}, "--batch-size: the run in {out} has 4, not 32. Leave --batch-size out"),
        ("channels", {"channels": (8,)}, "has (16,), not (8,). Leave --channels out"),
        ("diffusion_steps", {"diffusion_steps": 7}, "--T: the run in {out} has 1000, not 7."),
        ("minutes", {"minutes": 3.0}, "--minutes: the run in {out} has none, not 3.0."),
    ],
)
def test_a_setting_that_the_run_does_not_have_is_refused(tmp_path, insisted, given, message):
    message = message.format(out=tmp_path / "run")
    usual = USUAL | {"minutes": None}
    saved = SimpleNamespace(details={"settings": BEGUN})
    with pytest.raises(TutorialError, match=re.escape(message)):
        Run(tmp_path / "run").settings_of(saved, usual | given, usual, [insisted])


def test_a_setting_that_an_older_run_did_not_write_down_is_held_against_it(
    trained, tmp_path, capsys
):
    """In the state of a run from before there was --label-dropout, it was as is usual now."""
    out = tmp_path / "run"
    out.mkdir()
    state = load_checkpoint(trained / "state.safetensors")
    del state.details["settings"]["label_dropout"]
    save_checkpoint(out / "state.safetensors", state)
    before = contents(out)
    message = refused(capsys, "train", "--out", out, "--resume", "--label-dropout", 0.3)
    assert "has 0.1, not 0.3. Leave --label-dropout out" in message
    assert contents(out) == before
    assert run("train", "--out", out, "--resume") == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--steps", "9"], "already holds a run"),
        (["train", "--resume", "--channels", "32"], "has (16,), not (32,). Leave --channels out"),
        (["train", "--resume", "--steps", "9"], "has 6, not 9. Leave --steps out"),
        (["train", "--resume", "--predicts", "eps"], "has v, not eps"),
        (["train", "--resume", "--minutes", "3"], "has none, not 3.0. Leave --minutes out"),
        # The default, if the user writes it, is as good a contradiction as any other value.
        (["train", "--resume", "--T", "1000"], "has 10, not 1000. Leave --T out"),
        (["train", "--resume", "--batch_size=32"], "has 4, not 32. Leave --batch-size out"),
    ],
)
def test_a_run_is_never_overwritten(trained, capsys, arguments, named):
    before = contents(trained)
    assert named in refused(capsys, *arguments, "--out", trained)
    assert contents(trained) == before


# State and weights


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


@pytest.mark.parametrize("other", ["model.safetensors", "shipped"])
def test_a_file_that_is_no_state_is_refused(trained, tmp_path, capsys, other):
    (tmp_path / "run").mkdir()
    source = ASSETS / "mnist.safetensors" if other == "shipped" else trained / other
    (tmp_path / "run" / "state.safetensors").write_bytes(source.read_bytes())
    before = contents(tmp_path / "run")
    assert "is no training state" in refused(capsys, "train", "--out", tmp_path / "run", "--resume")
    assert contents(tmp_path / "run") == before


def test_weights_without_a_state_are_not_overwritten(trained, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    weights = (trained / "model.safetensors").read_bytes()
    (tmp_path / "run" / "model.safetensors").write_bytes(weights)
    again = ["train", "--out", tmp_path / "run", "--resume", "--steps", 1, *TINY]
    message = refused(capsys, *again)
    assert "no state.safetensors to go on from" in message
    assert contents(tmp_path / "run") == {"model.safetensors": weights}


@pytest.mark.parametrize("old", [True, False])
def test_a_run_killed_between_the_files_of_its_last_save_gets_its_weights(trained, tmp_path, old):
    out = tmp_path / "run"
    if old:
        assert run("train", "--out", out, "--steps", 1, *TINY) == 0
    else:
        out.mkdir()
    for name in ("log.csv", "state.safetensors"):
        (out / name).write_bytes((trained / name).read_bytes())
    assert run("train", "--out", out, "--resume") == 0
    check_same_run(trained, out)
    assert load_checkpoint(out / "model.safetensors").details["step"] == 6


def test_a_save_holds_what_the_run_was_begun_with(tmp_path):
    out = tmp_path / "run"
    with Run(out).locked():
        save(Run(out), 3, {"steps": 6, "channels": (16,)})
    state, model = (load_checkpoint(getattr(Run(out), name)) for name in ("state", "model"))
    assert state.config == model.config == DDPMConfig(T=10)
    assert state.details == model.details
    assert state.details == {
        "settings": {"steps": 6, "channels": [16]},
        "step": 3,
        "seconds": 3.7,
        "torch": torch.__version__,
        "data": fingerprint(fifty("train")),
    }
    assert state.tensors.keys() == {"ema.weight", "generator"}
    assert list(model.tensors) == ["weight"]
    assert float(model.tensors["weight"]) == 3


# The log


def test_the_log_is_cut_at_the_state(tmp_path):
    """Steps that were noted and not saved, and a log that is ahead of its state, are dropped."""
    out = tmp_path / "run"
    one = Run(out)
    with one.locked():
        for step in (1, 2, 3):
            one.note(record(step))
        assert not one.log.exists()
        save(one, 4)
    written = one.log.read_text()
    assert written.splitlines()[0] == LOG_COLUMNS
    assert written.splitlines()[1] == "1,0.333333,1.23457e+06,0.002,1.23"
    one.log.write_text(written + "5,1,1,1,1\n10,1,1,1,1\n")
    again = Run(out)
    saved = again.saved(resume=True)
    assert saved.details["step"] == 4
    with again.locked():
        again.note(record(5))
        save(again, 6)
    text = one.log.read_text()
    assert text.startswith(written)
    assert [line.split(",")[0] for line in text.splitlines()] == ["step", *"123456"]
    assert text.splitlines()[5] == "5,0.0666667,1.23457e+06,0.002,6.17"


def test_the_log_of_a_resumed_run_begins_where_it_was_saved(trained, tmp_path, monkeypatch):
    """Killed after the log of a save and before its state: what is beyond the state is dropped."""
    out, original = tmp_path / "run", run_module.save_checkpoint
    logged = []

    def killed(path, checkpoint):
        logged.append((out / "log.csv").read_text().count("\n") - 1)
        if checkpoint.details["step"] == 4:
            raise KeyboardInterrupt
        original(path, checkpoint)

    monkeypatch.setattr(run_module, "save_checkpoint", killed)
    assert run("train", "--out", out, "--steps", 6, "--save-every", 2, *TINY) == 130
    assert logged == [2, 2, 4]  # the state and the weights of step 2, the state of step 4
    monkeypatch.setattr(run_module, "save_checkpoint", original)
    assert run("train", "--out", out, "--resume") == 0
    check_same_run(trained, out)


def test_a_log_left_without_a_state_is_begun_anew(trained, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "log.csv").write_bytes((trained / "log.csv").read_bytes())
    again = ["--resume", "--steps", 6, "--save-every", 4]
    assert run("train", "--out", out, *again, *TINY) == 0
    check_same_run(trained, out)


def test_a_run_whose_log_is_gone_goes_on_with_a_new_one(tmp_path, monkeypatch):
    out, original = tmp_path / "run", cli.train.train
    stop_after(5, monkeypatch)
    assert run("train", "--out", out, "--steps", 6, "--save-every", 4, *TINY) == 130
    monkeypatch.setattr(cli.train, "train", original)
    (out / "log.csv").unlink()
    assert run("train", "--out", out, "--resume") == 0
    assert [line.split(",")[0] for line in (out / "log.csv").read_text().splitlines()] == [
        "step",
        "5",
        "6",
    ]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "HEADER\nx,1,1,1,1\n"])
def test_a_log_that_train_did_not_write_is_kept(trained, tmp_path, capsys, text):
    out = tmp_path / "run"
    out.mkdir()
    (out / "state.safetensors").write_bytes((trained / "state.safetensors").read_bytes())
    (out / "log.csv").write_text(text.replace("HEADER", LOG_COLUMNS))
    before = contents(out)
    message = refused(capsys, "train", "--out", out, "--resume")
    assert "log.csv is no log that train wrote" in message
    assert contents(out) == before
