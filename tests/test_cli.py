import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from command_line import (
    QUICK,
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
from PIL import Image

import ddpm_tutorial
from ddpm_tutorial import (
    TutorialError,
    __main__,
    cli,
    load_bundled,
    load_checkpoint,
    load_model,
    measure_bound,
    save_checkpoint,
    to_bytes,
)
from ddpm_tutorial.algorithms import evaluation
from ddpm_tutorial.cli.words import labels_for
from ddpm_tutorial.io import files
from ddpm_tutorial.io import run as run_module


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    use_few_digits(monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_six_steps(tmp_path_factory.mktemp("runs") / "run")


def test_train_leaves_weights_state_and_pictures(trained):
    assert sorted(contents(trained)) == [
        "lock",
        "log.csv",
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


def test_train_logs_every_step(tmp_path, monkeypatch):
    original, records = cli.train.train, []

    def watched(*arguments, **options):
        for record in original(*arguments, **options):
            records.append(record)
            yield record

    monkeypatch.setattr(cli.train, "train", watched)
    out = tmp_path / "run"
    assert run("train", "--out", out, "--steps", 5, "--save-every", 2, *TINY) == 0
    header, *lines = (out / "log.csv").read_text().splitlines()
    names = header.split(",")
    assert names == ["step", "loss", "gradient_norm", "learning_rate", "seconds"]
    assert [line.split(",")[0] for line in lines] == ["1", "2", "3", "4", "5"]
    for line, record in zip(lines, records, strict=True):
        for name, value in zip(names, line.split(","), strict=True):
            # Six digits of each, and hundredths of a second.
            rounding = {"abs": 0.005001} if name == "seconds" else {"rel": 5.001e-6, "abs": 0}
            assert float(value) == pytest.approx(getattr(record, name), **rounding), name
    assert len({line.split(",")[1] for line in lines}) == 5


def test_saves_and_draws_as_often_as_asked(tmp_path, monkeypatch):
    out, saved = tmp_path / "run", []
    original = run_module.save_checkpoint

    def save(path, checkpoint):
        original(path, checkpoint)
        saved.append((path.name, checkpoint.details["step"]))

    monkeypatch.setattr(run_module, "save_checkpoint", save)
    often = ["--save-every", 2, "--sample-every", 3]
    assert run("train", "--out", out, "--steps", 5, *often, *TINY) == 0
    steps = {step for _, step in saved}
    assert steps == {2, 4, 5}
    assert saved.count(("state.safetensors", 4)) == saved.count(("model.safetensors", 4)) == 1
    assert sorted(path.name for path in (out / "samples").iterdir()) == [
        "step-000003.png",
        "step-000005.png",
    ]


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++", "heun"])
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


def test_sample_takes_the_variance_it_is_asked_for(trained, tmp_path):
    base = ["sample", "--checkpoint", trained / "model.safetensors", "--sampler", "ddpm"]
    base += ["--n", 3, "--steps", 5, "--out"]
    assert run(*base, tmp_path / "usual.npz") == 0
    for word in ("small", "large"):
        assert run(*base, tmp_path / f"{word}.npz", "--variance", word) == 0
    usual, small, large = (
        np.load(tmp_path / f"{name}.npz")["images"] for name in ("usual", "small", "large")
    )
    assert np.array_equal(usual, small)
    assert not np.array_equal(small, large)


def test_sample_writes_a_sheet(trained, tmp_path):
    out = tmp_path / "sheet.png"
    base = ["sample", "--checkpoint", trained / "model.safetensors"]
    assert run(*base, "--n", 9, "--steps", 2, "--out", out) == 0
    assert Image.open(out).size == (176, 176)
    picture = np.asarray(Image.open(out))[::2, ::2]
    assert run(*base, "--n", 9, "--steps", 2, "--out", tmp_path / "array.npz") == 0
    array = np.load(tmp_path / "array.npz")["images"]
    assert np.array_equal(picture[30:58, 60:88], array[5])  # second row, third column


def test_evaluate_prints_and_writes_the_same_figures(trained, tmp_path, capsys):
    out = tmp_path / "figures.json"
    base = ["evaluate", "--checkpoint", trained / "model.safetensors", "--n", 20, "--terms", 9]
    assert run(*base, "--steps", 3, "--json", out) == 0
    printed = capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert (figures["n"], figures["steps"], figures["sampler"]) == (20, 3, "ddim")
    assert figures["command"] == f"ddpm-tutorial {' '.join(map(str, base))} --steps 3 --json {out}"
    assert figures["machine"]["torch"] == torch.__version__
    parts = figures["bits_per_dim"]
    lines = printed.splitlines()
    for name in ("total", "prior", "denoising", "reconstruction"):
        figure = f"{parts[name]['mean']:8.4f} ± {parts[name]['standard_error']:.4f}"
        assert f"  {name:20} {figure}" in lines
    total = sum(parts[name]["mean"] for name in ("prior", "denoising", "reconstruction"))
    assert parts["total"]["mean"] == pytest.approx(total)
    assert [row[:2] for row in parts["by_t"]] == [[t, t] for t in range(2, 11)]
    shares = sum(share["mean"] for _, _, share in parts["by_t"])
    assert shares == pytest.approx(parts["denoising"]["mean"])
    assert "    t = 10..10 " in printed
    samples = figures["samples"]
    assert (samples["samples"], samples["references"], sum(samples["classes"])) == (20, 50, 20)
    assert f"FID {samples['fid']:.3f}; of as many training images, the floor, " in printed
    assert f"{samples['fid_floor']:.3f}" in printed
    assert "Drawn with ddim in 3 steps: 20 samples beside 50 test images" in printed
    assert f"{samples['pixels']['copies']:.2%}" in printed
    assert run(*base, "--steps", 3) == 0
    assert capsys.readouterr().out == printed
    assert run(*base, "--steps", 3, "--seed", 1) == 0
    assert capsys.readouterr().out != printed
    assert run(*base[:3], "--steps", 3) == 0  # all there is, where that is less than usual
    everything = capsys.readouterr().out
    assert "Bound on 50 test images" in everything
    assert "Drawn with ddim in 3 steps: 50 samples " in everything
    assert run(*base, "--steps", 3, "--samples", 7) == 0
    seven = "Drawn with ddim in 3 steps: 7 samples beside 50 test images"
    assert seven in capsys.readouterr().out


def test_evaluate_draws_the_nearest_training_images(trained, tmp_path):
    out = tmp_path / "nearest.png"
    base = ["evaluate", "--checkpoint", trained / "model.safetensors", *QUICK]
    assert run(*base, "--neighbours", out) == 0
    picture = np.asarray(Image.open(out))[::2, ::2]
    assert picture.shape == (10 * 30 - 2, 15 * 30 - 2)
    rows = [picture[30 * k : 30 * k + 28] for k in range(10)]
    cells = [row[:, 30 * j : 30 * j + 28].astype(float) for row in rows for j in range(15)]
    triples = [cells[k : k + 3] for k in range(0, 150, 3)]
    drawn = [triple for triple in triples if triple[0].any()]
    assert len(drawn) == 2  # the two samples, in the rows of the digits they are read as
    training = to_bytes(load_bundled("train").images[:50, 0]).numpy()
    for sample, by_pixels, by_features in drawn:
        distances = [np.square(sample - image).sum() for image in training]
        assert np.array_equal(by_pixels, training[np.argmin(distances)])
        assert any(np.array_equal(by_features, image) for image in training)


def test_evaluate_reads_and_searches_each_set_of_images_once(
    trained, tmp_path, monkeypatch, capsys
):
    calls = []

    def count(name):
        original = getattr(evaluation, name)

        def counted(*arguments, **options):
            calls.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(evaluation, name, counted)

    count("classify")
    count("nearest_neighbours")
    base = ["evaluate", "--checkpoint", trained / "model.safetensors", *QUICK]
    assert run(*base, "--neighbours", tmp_path / "nearest.png") == 0
    # Samples, training and test images; samples and test images, by pixels and by features.
    assert (calls.count("classify"), calls.count("nearest_neighbours")) == (3, 4)
    bars = capsys.readouterr().err.split("\n")  # a slow one shows its end twice, in one line
    ended = [sum(f"{name}: 100%" in bar for bar in bars) for name in ("features", "nearest")]
    assert ended == [3, 4]


def test_a_model_of_levels_is_trained_drawn_and_evaluated(tmp_path, capsys):
    out = tmp_path / "run"
    levels = ["--predicts", "levels", "--schedule", "log-snr"]
    assert run("train", "--out", out, "--steps", 2, *levels, *TINY) == 0
    model = load_model(out / "model.safetensors")
    words = model.parameterisation.name, model.reverse_variance.name
    assert words == ("levels", "matched")
    base = ["sample", "--checkpoint", out / "model.safetensors", "--n", 2]
    for sampler in ("ddpm", "ddim", "dpm++", "heun"):
        assert run(*base, "--sampler", sampler, "--out", tmp_path / f"{sampler}.png") == 0
    assert run("evaluate", "--checkpoint", out / "model.safetensors", *QUICK) == 0
    assert "reconstruction" in capsys.readouterr().out


def test_evaluate_draws_its_images_from_all(trained, monkeypatch):
    """Not the first n: data sets are often sorted."""
    seen = []

    def measure(model, images, *arguments, **options):
        seen.append(images)
        return measure_bound(model, images, *arguments, **options)

    monkeypatch.setattr(cli.evaluate, "measure_bound", measure)
    base = ["evaluate", "--checkpoint", trained / "model.safetensors"]
    assert run(*base, "--n", 20, "--steps", 1, "--terms", 1) == 0
    images = load_bundled("test").images[:50]
    found = [int((images == row).flatten(1).all(1).nonzero()[0]) for row in seen[0]]
    assert len(set(found)) == 20
    assert max(found) >= 20


def test_stopped_by_hand_and_resumed_ends_with_the_same_bits(
    trained, tmp_path, capsys, monkeypatch
):
    original = cli.train.train
    stop_after(5, monkeypatch)
    out = tmp_path / "run"
    assert run("train", "--out", out, "--steps", 6, "--save-every", 4, *TINY) == 130
    message = "Stopped. The run is saved up to step 4: the same command with --resume goes on.\n"
    assert capsys.readouterr().err.endswith(message)
    state = load_checkpoint(out / "state.safetensors")
    assert state.details["step"] == 4
    # As if it had taken an hour so far.
    state.tensors["seconds"] += 3600
    save_checkpoint(out / "state.safetensors", state)
    logged = (out / "log.csv").read_text()
    monkeypatch.setattr(cli.train, "train", original)
    # The same digits as `trained` has; no setting is given again.
    assert run("train", "--out", out, "--resume") == 0
    check_same_run(trained, out)
    text = (out / "log.csv").read_text()
    assert text.startswith(logged)
    seconds = [float(line.split(",")[-1]) for line in text.splitlines()[1:]]
    assert seconds[3] < 3600 <= seconds[4] <= seconds[5]


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
        ("train --out {tmp}/no/where --steps 1", "no does not exist: create it"),
        ("train --out {tmp}/a --steps 5 --minutes 1", "steps = 5, minutes = 1.0"),
        ("train --out {tmp}/a --steps 0", "steps = 0"),
        ("train --out {tmp}/a --minutes nan", "minutes = nan"),
        ("train --out {tmp}/a --minutes inf", "minutes = inf"),
        ("train --out {tmp}/a --T 1", "T = 1"),
        ("train --out {run} --steps 1", "cannot make"),
        ("train --out {tmp}/a --channels 12", "channels = (12,)"),
        ("train --out {tmp}/a --save-every 0", "save_every = 0"),
        ("train --out {tmp}/a --learning-rate -1", "learning_rate = -1.0"),
        ("sample --checkpoint {run} --out {tmp}/a.jpg", "must end in .png or .npz"),
        ("sample --checkpoint {run} --out {tmp}/no/a.png", "no does not exist"),
        ("sample --checkpoint {run} --out {tmp}/sub.png", "sub.png is a folder"),
        ("sample --checkpoint {tmp} --out {tmp}/a.png", "is a folder: name a file in it"),
        ("sample --checkpoint {state} --out {tmp}/a.png", "serves to --resume only"),
        ("sample --checkpoint {run} --out {tmp}/a.png --sampler ddpm --eta 1", "eta = 1.0 goes"),
        ("sample --checkpoint {run} --out {tmp}/a.png --variance small", 'variance = "small" goes'),
        (
            "sample --checkpoint {run} --out {tmp}/a.png --sampler ddpm --variance learned",
            'the variance "learned" needs a model that was trained with it',
        ),
        (
            "sample --checkpoint {run} --out {tmp}/a.png --sampler ddpm --variance matched",
            'the variance "matched" needs a prediction of x_0',
        ),
        ("sample --checkpoint {tmp}/missing --out {tmp}/a.png", "missing does not exist"),
        ("sample --checkpoint {run} --out {tmp}/a.png --digit 3", "digit = 3"),
        ("sample --checkpoint {run} --out {tmp}/a.png --n 0", "n = 0"),
        ("sample --checkpoint {run} --out {tmp}/a.png --steps 11", "steps = 11"),
        ("sample --checkpoint {run} --out {tmp}/a.png --steps 5 --eta 2", "eta = 2.0"),
        ("evaluate --checkpoint {run} --n 51", "n = 51: choose 2..50"),
        ("evaluate --checkpoint {run} --n 1", "n = 1: choose 2..50"),
        ("evaluate --checkpoint {run} --n 2 --samples 51", "samples = 51: choose 2..50"),
        ("evaluate --checkpoint {run} --n 2 --samples 1", "samples = 1: choose 2..50"),
        ("evaluate --checkpoint {run} --n 2 --terms 0", "terms = 0: choose 1..9"),
        ("evaluate --checkpoint {run} --n 2 --terms 10", "terms = 10: choose 1..9"),
        ("evaluate --checkpoint {run} --n 2 --steps 11", "steps = 11"),
        ("evaluate --checkpoint {run} --n 2 --neighbours {tmp}/a.jpg", "must end in .png"),
        ("evaluate --checkpoint {run} --n 2 --neighbours {tmp}/no/a.png", "no does not exist"),
        ("evaluate --checkpoint pretrained:cifar --n 2", 'name = "cifar": choose one of mnist'),
        ("evaluate --checkpoint {run} --n 1 --json {tmp}/sub.png", "sub.png is a folder"),
        ("evaluate --checkpoint {run} --n 1 --json {run}", "that is the checkpoint"),
        ("evaluate --checkpoint {run} --json {tmp}/no/a.json", "no does not exist"),
        ("evaluate --checkpoint {run} --json {tmp}/a.png --neighbours {tmp}/a.png", "a file each"),
        ("sample --checkpoint {tmp}/w.npz --out {tmp}/w.npz", "that is the checkpoint"),
        ("train --out {tmp}/\udcff --steps 1", "cannot use the name"),
        ("sample --checkpoint {tmp}/\udcff --out {tmp}/a.png", "cannot use the name"),
        ("train --out {tmp}/{long} --steps 1", "xxx: File name too long"),
        ("train --out {tmp}/a\0b --steps 1", "no name may hold the character 0"),
        ("sample --checkpoint {run} --out {tmp}/{long}.png", "xxx.png: File name too long"),
        ("sample --checkpoint {long} --out {tmp}/a.png", "xxx: File name too long"),
        ("evaluate --checkpoint {run} --json {tmp}/{long}", "xxx: File name too long"),
        ("train --out {tmp}/a --steps 1 --seed 18446744073709551616", "choose 0..2^64 - 1"),
        ("train --out {tmp}/a --steps 1 --seed -1", "seed = -1: choose 0..2^64 - 1"),
        ("sample --checkpoint {run} --out {tmp}/a.png --seed 18446744073709551616", "choose 0..2"),
        ("evaluate --checkpoint {run} --seed -1", "seed = -1: choose 0..2^64 - 1"),
        ("sample --checkpoint pretrained:mnist-labels --out {tmp}/a.png --n -1", "n = -1: ask for"),
        ("sample --checkpoint pretrained:mnist-labels --out {tmp}/a.png --n 0", "n = 0: ask for"),
    ],
)
def test_bad_input_gets_one_clear_message(trained, tmp_path, capsys, arguments, named):
    (tmp_path / "sub.png").mkdir()
    run, state = trained / "model.safetensors", trained / "state.safetensors"
    before = contents(trained)
    names = {"tmp": tmp_path, "run": run, "state": state, "long": 400 * "x"}
    command, *options = arguments.format(**names).split()
    tiny = TINY if command == "train" else []
    assert named in refused(capsys, command, *tiny, *options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("train --steps 5", "--out PATH"),
        ("train --out {tmp}/a --steps many", "--steps"),
        ("train --out {tmp}/a --schedule square", "--schedule"),
        ("sample --checkpoint pretrained --out {tmp}/a.png --sampler euler", "--sampler"),
        ("draw --n 3", "train, sample, evaluate"),
    ],
)
def test_a_command_that_cannot_be_read_names_the_option(tmp_path, capsys, arguments, named):
    assert run(*arguments.format(tmp=tmp_path).split()) == 2
    captured = capsys.readouterr()
    assert named in captured.err
    assert not captured.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "command_and_remedy"),
    [
        (MemoryError(), ("train", "lower --batch-size or --channels")),
        (torch.OutOfMemoryError("CUDA out of memory."), ("sample", "lower --n")),
        (torch.OutOfMemoryError("CUDA out of memory."), ("evaluate", "lower --n and --samples")),
        (RuntimeError("MPS backend out of memory (...)"), ("sample", "lower --n")),
        ("really", ("sample", "lower --n")),
    ],
)
def test_out_of_memory_says_what_to_lower(
    trained, tmp_path, capsys, monkeypatch, error, command_and_remedy
):
    command, remedy = command_and_remedy

    def full(*_, **__):
        if error == "really":
            torch.empty(2**60)
        raise error

    name = {"train": "train", "sample": "sample", "evaluate": "measure_bound"}[command]
    monkeypatch.setattr(getattr(cli, command), name, full)
    model = trained / "model.safetensors"
    arguments = {
        "train": ["--out", tmp_path / "run", "--steps", 1, *TINY],
        "sample": ["--checkpoint", model, "--out", tmp_path / "a.png"],
        "evaluate": ["--checkpoint", model, *QUICK],
    }[command]
    message = f"error: out of memory: {remedy}. What was saved before is intact"
    assert refused(capsys, command, *arguments) == message


def test_another_failure_of_torch_keeps_its_trace(trained, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(cli.sample, "sample", broken)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        run("sample", "--checkpoint", trained / "model.safetensors", "--out", tmp_path / "a.png")


@contextmanager
def as_an_ordinary_user():
    """Root may read anything: inside, nobody's rights hold."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def shared():
    """A folder that others may look into, as those of pytest are not."""
    with TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


def test_a_file_that_may_not_be_read_is_not_called_damaged(trained, shared, capsys):
    model = shared / "model.safetensors"
    model.write_bytes((trained / "model.safetensors").read_bytes())
    model.chmod(0)
    with as_an_ordinary_user():
        message = refused(capsys, "sample", "--checkpoint", model, "--out", shared / "a.png")
    assert f"cannot read {model}: Permission denied. Ask for the right to read it" in message
    assert "damaged" not in message


@pytest.mark.parametrize("mode", [0o000, 0o555], ids=["closed", "not to be written"])
def test_the_folder_of_another_user_is_named(trained, shared, capsys, mode):
    folder = shared / "theirs"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((trained / "model.safetensors").read_bytes())
    folder.chmod(mode)
    commands = [
        ["train", "--out", folder, "--steps", 1, *TINY],
        ["train", "--out", folder / "run", "--steps", 1, *TINY],
        ["train", "--out", folder, "--resume", "--steps", 1, *TINY],
        ["sample", "--checkpoint", "pretrained", "--out", folder / "a.png"],
        ["evaluate", "--checkpoint", "pretrained", "--json", folder / "a.json"],
    ]
    if mode == 0:
        commands.append(["sample", "--checkpoint", folder / "model.safetensors"])
        commands[-1] += ["--out", shared / "a.png"]
    with as_an_ordinary_user():
        for command in commands:
            assert str(folder) in refused(capsys, *command)


SCREEN = """
import sys
from command_line import fifty
from ddpm_tutorial import cli
cli.evaluate.load_mnist = cli.train.load_mnist = fifty
cli.main()
"""


def on_a_screen(*arguments, encoding="ascii", **options):
    """A command as a process of its own, on a screen that knows few signs."""
    settings = {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(
        [sys.executable, "-c", SCREEN, *map(str, arguments)],
        env=os.environ | settings,
        capture_output=True,
        timeout=100,
        **options,
    )


def test_a_sign_that_the_screen_does_not_know_ends_nothing(trained, tmp_path):
    out = tmp_path / "Zahlen für Ö.json"
    base = ["evaluate", "--checkpoint", trained / "model.safetensors", *QUICK]
    done = on_a_screen(*base, "--json", out)
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["samples"]["samples"] == 2
    assert rb"\N{PLUS-MINUS SIGN}" in done.stdout
    picture = tmp_path / "Bild \N{SNOWMAN}.png"
    done = on_a_screen("sample", *base[1:3], "--n", 1, "--steps", 1, "--out", picture)
    assert done.returncode == 0, done.stderr
    assert picture.exists()


def test_whoever_reads_the_first_line_alone_gets_no_trace(trained, tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, "-c", SCREEN, "evaluate", "--checkpoint"]
    command += [str(trained / "model.safetensors"), *QUICK, "--json", str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()  # as `| head` does
        errors = process.stderr.read()
    assert process.wait() == 141, errors
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


WITHOUT_A_SCREEN = ["1>&-", "2>&-", ">&- 2>&-", "2>/dev/full", "2> >(true)"]


@pytest.mark.parametrize("screen", WITHOUT_A_SCREEN)
def test_work_is_done_where_nobody_can_read_of_it(trained, tmp_path, screen):
    """Streams that are closed, full, or whose reader is gone."""
    picture, model = tmp_path / "a.png", tmp_path / "run" / "model.safetensors"
    base = f"{sys.executable} -c '{SCREEN}'"
    sample_one = f"sample --checkpoint {trained}/model.safetensors --n 1 --steps 1 --out {picture}"
    train_one = f"train --out {tmp_path}/run --steps 3 --save-every 1 {' '.join(TINY)}"
    for command, file in ((sample_one, picture), (train_one, model)):
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        line = ["bash", "-c", f"{base} {command} {screen}"]
        subprocess.run(line, env=environment, timeout=100, check=False)
        assert file.exists(), command


def test_ctrl_c_saves_though_the_reader_of_the_screen_dies_of_it_too(tmp_path):
    """`train 2>&1 | tee log`: the terminal sends Ctrl-C to both, and tee ends at once."""
    command = [sys.executable, "-c", SCREEN, "train", "--out", str(tmp_path / "run")]
    command += ["--steps", "100000", "--save-every", "100000", *TINY]
    with subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        seen = b""
        while b"loss" not in seen:  # the bar: it trains
            more = process.stdout.read1()
            assert more, seen
            seen += more
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=100)
    saved = load_checkpoint(tmp_path / "run" / "state.safetensors")
    assert saved.details["step"] > 0


def test_evaluate_shows_what_it_cannot_write(trained, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise TutorialError("could not write: No space left on device")

    monkeypatch.setattr(cli.evaluate, "write_atomically", full)
    base = ["evaluate", "--checkpoint", trained / "model.safetensors", *QUICK]
    assert run(*base, "--json", tmp_path / "a.json") == 2
    captured = capsys.readouterr()
    assert "No space left" in captured.err
    assert "Bound on 2 test images" in captured.out
    monkeypatch.setattr(cli.evaluate, "save_sheet", full)
    assert run(*base, "--neighbours", tmp_path / "a.png") == 2
    captured = capsys.readouterr()
    assert "No space left" in captured.err
    assert "Drawn with ddim in 2 steps: 2 samples" in captured.out


@pytest.mark.parametrize("trouble", ["samples", "memory", "stopped"])
def test_evaluate_keeps_the_bound_whatever_comes_after(trained, tmp_path, monkeypatch, trouble):
    def fail(*_, **__):
        raise {
            "samples": ValueError("samples 0..1: 3 values are not finite"),
            "memory": MemoryError(),
            "stopped": KeyboardInterrupt(),
        }[trouble]

    out = tmp_path / "figures.json"
    base = ["evaluate", "--checkpoint", trained / "model.safetensors", *QUICK, "--json", out]
    with monkeypatch.context() as patch:
        patch.setattr(cli.evaluate, "sample", fail)
        assert run(*base) == (130 if trouble == "stopped" else 2)
    kept = json.loads(out.read_text())
    assert kept["samples"] is None
    assert run(*base) == 0
    whole = json.loads(out.read_text())
    assert kept["bits_per_dim"] == whole["bits_per_dim"]
    assert whole["samples"]["samples"] == 2


def test_weights_that_are_not_finite_are_refused_by_every_command(trained, tmp_path, capsys):
    path, out = tmp_path / "model.safetensors", tmp_path / "out"
    checkpoint = load_checkpoint(trained / "model.safetensors")
    checkpoint.tensors["network.first.bias"][0] = float("nan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpm_tutorial.io.checkpoint.check_finite", lambda *_: None)
        save_checkpoint(path, checkpoint)
    for command, option in (("sample", f"--out={out}.png"), ("evaluate", f"--json={out}")):
        message = refused(capsys, command, "--checkpoint", path, option)
        assert f"{path} is of no use: network.first.bias: 1 of 16 values are not finite" in message
    assert list(tmp_path.iterdir()) == [path]


def test_evaluate_takes_the_data_set_that_the_model_was_trained_on(
    trained, tmp_path, capsys, monkeypatch
):
    asked = []

    def load(split, root, dataset):
        asked.append((split, dataset))
        return fifty(split)

    for command in (cli.train, cli.evaluate):
        monkeypatch.setattr(command, "load_mnist", load)
    clothes, out = tmp_path / "run", tmp_path / "figures.json"
    assert run("train", "--out", clothes, "--dataset", "fashion-mnist", "--steps", 1, *TINY) == 0
    asked.clear()
    base = ["evaluate", *QUICK, "--json", out, "--checkpoint"]
    assert run(*base, clothes / "model.safetensors") == 0
    assert asked == [("train", "fashion-mnist"), ("test", "fashion-mnist")]
    assert "This is a model of Fashion-MNIST. The classifier reads digits" in (
        capsys.readouterr().err
    )
    assert json.loads(out.read_text())["dataset"] == "fashion-mnist"
    for digits in (trained / "model.safetensors", "pretrained"):
        asked.clear()
        assert run(*base, digits) == 0
        assert asked == [("train", "mnist"), ("test", "mnist")]
        assert "Fashion" not in capsys.readouterr().err
        assert json.loads(out.read_text())["dataset"] == "mnist"


def test_data_that_are_not_finite_are_refused(tmp_path, capsys, monkeypatch):
    digits = fifty("train")
    digits.images[3, 0, 5, 5] = float("nan")
    monkeypatch.setattr(cli.train, "load_mnist", lambda *_: digits)
    message = refused(capsys, "train", "--out", tmp_path / "run", "--steps", 3, *TINY)
    assert "images: 1 of 39,200 values are not finite" in message


def test_fashion_mnist_by_one_argument(tmp_path, capsys, monkeypatch):
    asked = []

    def clothes(split, root, dataset):
        asked.append(dataset)
        return fifty(split)

    monkeypatch.setattr(cli.train, "load_mnist", clothes)
    out = tmp_path / "run"
    clothes_run = ["train", "--out", out, "--steps", 2, "--dataset", "fashion-mnist", *TINY]
    assert run(*clothes_run) == 0
    settings = load_checkpoint(out / "model.safetensors").details["settings"]
    assert settings["dataset"] == "fashion-mnist"
    capsys.readouterr()
    # A run goes on with its own data set.
    assert run("train", "--out", out, "--resume") == 0
    assert asked == ["fashion-mnist"] * 2
    message = refused(capsys, "train", "--out", out, "--resume", "--dataset", "mnist")
    assert "--dataset: the run" in message
    assert "has fashion-mnist, not mnist" in message
    run("train", "--out", tmp_path / "digits", "--steps", 1, *TINY)
    assert asked[-1] == "mnist"


def test_labels_from_training_to_sampling(tmp_path, capsys):
    out = tmp_path / "run"
    assert run("train", "--out", out, "--steps", 2, "--with-labels", *TINY) == 0
    model = out / "model.safetensors"
    base = ["sample", "--checkpoint", model, "--n", 10, "--steps", 2]
    assert run(*base, "--out", tmp_path / "all.npz") == 0
    assert run(*base, "--out", tmp_path / "seven.npz", "--digit", 7) == 0
    assert run(*base, "--out", tmp_path / "guided.npz", "--digit", 7, "--guidance", 3) == 0
    assert "takes 0..9" in refused(capsys, *base, "--out", tmp_path / "x.npz", "--digit", 10)
    assert "n = -1" in refused(capsys, *base, "--out", tmp_path / "x.npz", "--n", -1)
    network = load_model(model)
    assert labels_for(network, 12, None).tolist() == [*range(10), 0, 1]
    assert labels_for(network, 3, 7).tolist() == [7, 7, 7]


def test_evaluate_tells_a_class_conditional_model_its_labels(tmp_path, monkeypatch):
    """Each test image its own, and 0..9 in turn to the samples."""
    out, told, original = tmp_path / "run", {}, cli.evaluate.sample
    assert run("train", "--out", out, "--steps", 2, "--with-labels", *TINY) == 0

    def measure(denoiser, images, *arguments, **options):
        told["bound"] = images, denoiser.label
        return measure_bound(denoiser, images, *arguments, **options)

    def draw(denoiser, *arguments, **options):
        told["samples"] = denoiser.label
        return original(denoiser, *arguments, **options)

    monkeypatch.setattr(cli.evaluate, "measure_bound", measure)
    monkeypatch.setattr(cli.evaluate, "sample", draw)
    base = ["evaluate", "--checkpoint", out / "model.safetensors", "--steps", 2, "--terms", 2]
    assert run(*base, "--n", 20, "--samples", 12) == 0
    images, labels = told["bound"]
    test = fifty("test")
    for image, label in zip(images, labels, strict=True):
        (index,) = (test.images == image).flatten(1).all(1).nonzero()[:, 0].tolist()
        assert label == test.labels[index]
    assert told["samples"].tolist() == [*range(10), 0, 1]


def test_guidance_and_the_options_of_training_arrive(tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    assert run("train", "--out", out, "--steps", 1, "--with-labels", *TINY) == 0
    seen = []
    monkeypatch.setattr(
        cli.sample,
        "sample",
        lambda denoiser, *_, **given: seen.append(denoiser) or torch.zeros(4, 1, 28, 28),
    )
    base = ["sample", "--checkpoint", out / "model.safetensors", "--n", 4, "--steps", 2]
    assert run(*base, "--out", tmp_path / "a.png", "--guidance", 2.5) == 0
    assert seen[0].guidance == 2.5
    model, training = cli.Train(out, steps=1, label_dropout=0.3, min_snr=5.0)._configs()
    assert model.min_snr == 5.0
    assert training.label_dropout == 0.3


def test_a_full_disk_keeps_the_last_good_save(tmp_path, capsys, monkeypatch):
    out, good = tmp_path / "run", {}

    def fill(descriptor):
        if (out / "model.safetensors").exists():
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
    original, calls = cli.train.train, []

    def poisoned(model, data, config, **options):
        for record in original(model, data, config, **options):
            calls.append(record.step)
            yield record
            if record.step == 5:
                with torch.no_grad():
                    next(model.parameters()).fill_(float("nan"))

    monkeypatch.setattr(cli.train, "train", poisoned)
    out = tmp_path / "run"
    message = refused(capsys, "train", "--out", out, "--steps", 9, "--save-every", 4, *TINY)
    assert "step 6: the loss is nan" in message
    assert calls == [1, 2, 3, 4, 5]
    saved = load_checkpoint(out / "state.safetensors")
    assert saved.details["step"] == 4
    assert all(value.isfinite().all() for value in saved.tensors.values())
    load_model(out / "model.safetensors")


def test_a_learning_rate_far_too_high_is_named(tmp_path, capsys):
    steep = ["--learning-rate", "1e30", "--steps", 30]
    message = refused(capsys, "train", "--out", tmp_path / "run", *steep, *TINY)
    assert "step 2: the loss is" in message
    assert "Lower the learning rate" in message


def test_the_command_line_says_its_version_and_its_commands(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ddpm-tutorial", "--version"])
    with pytest.raises(SystemExit, match="0"):
        __main__.main()
    assert capsys.readouterr().out.strip() == f"ddpm-tutorial {ddpm_tutorial.__version__}"
    monkeypatch.setattr(sys, "argv", ["ddpm-tutorial", "--help"])
    with pytest.raises(SystemExit, match="0"):
        __main__.main()
    text = " ".join(capsys.readouterr().out.split())
    for command in (cli.Train, cli.Sample, cli.Evaluate):
        first_line = command.__doc__.partition("\n")[0]
        assert f"{command.__name__.lower()} {first_line}" in text


def test_what_is_no_command_is_refused_with_the_commands_there_are(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ddpm-tutorial", "draw"])
    with pytest.raises(SystemExit, match="2"):
        __main__.main()
    error = capsys.readouterr().err
    assert all(word in error for word in ("draw", "train", "sample", "evaluate"))


@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_help_names_every_option(command, capsys):
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    fields = {"train": cli.Train, "sample": cli.Sample, "evaluate": cli.Evaluate}[command]
    for field in dataclasses.fields(fields):
        option = "T" if field.name == "diffusion_steps" else field.name.replace("_", "-")
        assert f"--{option}" in text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", "--schedule {linear,cosine,sigmoid,log-snr,straight} (default: cosine)"),
        ("train", "--predicts {eps,x0,v,velocity,levels} (default: v)"),
        ("sample", "--sampler {ddpm,ddim,dpm++,heun} (default: ddim)"),
        ("sample", "--variance {small,large,learned,matched} (default: None)"),
        ("evaluate", "--sampler {ddpm,ddim,dpm++,heun} (default: ddim)"),
    ],
)
def test_help_shows_the_words_there_are_and_the_usual_one(command, words, capsys):
    assert run(command, "--help") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    option, default = words.split(" (default: ")
    after = text[text.index(option) + len(option) :]
    assert after[after.index("(default: ") :].startswith(f"(default: {default}")


WORKER = """
import sys
import torch
from ddpm_tutorial import cli, load_bundled
torch.set_num_threads(1)
cli.train.load_mnist = lambda split, *_: load_bundled(split)
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
    check_same_run(tmp_path / "whole", tmp_path / "killed")


def test_evaluate_measures_in_float32(trained, monkeypatch):
    """Fast bfloat16 is for pictures: its rounding would show in the bound."""
    seen = []

    def measure(*arguments, **options):
        seen.append(torch.is_autocast_enabled("cpu"))
        return measure_bound(*arguments, **options)

    monkeypatch.setattr(cli.evaluate, "measure_bound", measure)
    monkeypatch.setattr("ddpm_tutorial.algorithms.processes.has_fast_bfloat16", lambda: True)
    assert run("evaluate", "--checkpoint", trained / "model.safetensors", *QUICK) == 0
    assert seen == [False]
