"""The final project: what is scored and ranked, what is refused, and what the page says of it."""

import copy
import json
import re

import leaderboard
import pytest
import score_project
from conftest import COURSE, ON_LINUX, ROOT
from grading.project import (
    COPIES,
    LARGEST,
    MOST_STEPS,
    RUNS,
    TERMS,
    WEIGHTS,
    N,
    Refused,
    measured,
    read_project,
    read_result,
    score,
    strict_json,
)

from ddpm_tutorial import DDPMConfig, UNetConfig, save_model

SEEDS = [71, 72, 73]
HANDED_IN = {"name": "blue team", "command": "ddpm-tutorial train", "sampler": "ddim", "steps": 50}
BASELINES = json.loads((ROOT / "benchmarks/results.json").read_text("utf-8"))["quality"]


def record(seed, fid=3.0, floor=0.2, bits=1.9, copies=0.004, n=N, sampler="ddim", steps=50):
    """What `ddpm-tutorial evaluate --json` writes, as far as it is read."""
    return {
        **{"dataset": "mnist", "n": n, "seed": seed, "sampler": sampler, "steps": steps},
        **{"terms_per_image": TERMS, "training_images": 60_000, "sampling_precision": "no"},
        "bits_per_dim": {"total": {"mean": bits, "standard_error": 0.01}},
        "samples": {
            **{"samples": n, "references": 10_000, "fid": fid, "fid_floor": floor},
            **{"pixels": {"copies": copies}, "features": {"copies": copies / 2}},
        },
    }


def result(name="blue team", fids=(3.0, 3.1, 2.9), **how):
    runs = [record(seed, fid, **how) for seed, fid in zip(SEEDS, fids, strict=True)]
    return {
        "format": "ddpm-tutorial project 1",
        **HANDED_IN,
        "name": name,
        "weights": {file: f"{name} {file}" for file in WEIGHTS},
        "runs": runs,
    }


def keep(folder, name, content):
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_the_record_of_these_tests_is_that_of_evaluate():
    """Every figure that is read stands in a record that the program wrote, under the same name."""

    def paths(value, above=""):
        for key, each in value.items():
            yield from paths(each, f"{above}{key}/") if isinstance(each, dict) else [above + key]

    real = set(paths(json.loads((ROOT / "benchmarks/mnist.json").read_text("utf-8"))))
    assert set(paths(record(1))) <= real


def test_order_is_by_fid_as_printed_and_then_by_spread(tmp_path):
    keep(tmp_path, "a", result("wide", (3.0, 3.4, 2.6)))
    keep(tmp_path, "b", result("narrow", (3.001, 3.051, 2.951)))
    keep(tmp_path, "c", result("best", (1.0, 1.5, 2.0)))
    keep(tmp_path, "d", result("twin of narrow", (3.001, 3.051, 2.951)))
    found = leaderboard.board(tmp_path.glob("*.json"), SEEDS)
    order = [(place, entry.name) for place, entry in found.ranked]
    assert order == [(1, "best"), (2, "narrow"), (2, "twin of narrow"), (4, "wide")]
    assert found.refused == {}
    assert leaderboard.rows(found)[3][2] == "3.00 ± 0.40"


def other(change):
    whole = result()
    change(whole)
    return whole


def put(path, value):
    """The result of a class, with one thing in the second run as it should not be."""

    def change(whole):
        *above, last = path.split("/")
        place = whole["runs"][1]
        for key in above:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return other(change)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (put("n", 1000), "n is 1000 where the class has 2000"),
        (put("samples/samples", 1000), "samples/samples is 1000"),
        (put("samples/references", 500), "references is 500"),
        (put("training_images", 4500), "training_images is 4500"),
        (put("seed", 74), "seed is 74 where the class has 72"),
        (put("dataset", "fashion"), "dataset is 'fashion'"),
        (put("terms_per_image", 1), "terms_per_image is 1"),
        (put("steps", 100), "steps is 100"),
        (put("sampler", "heun"), "sampler is 'heun'"),
        (put("sampling_precision", "bf16"), "different precisions"),
        (put("samples/fid_floor", None), "samples/fid_floor is missing"),
        (put("samples/fid_floor", 0), "samples/fid_floor is 0"),
        (put("samples/fid", None), "samples/fid is missing"),
        (put("samples/fid", -1.0), "samples/fid is -1"),
        (put("samples/fid", "3"), "samples/fid is missing"),
        (put("samples/fid", True), "samples/fid is missing"),
        (put("samples/fid", 1e400), "is no figure"),
        (put("samples", "none"), "samples/samples is None"),
        (put("samples/pixels/copies", 1.5), "copies is 1.5"),
        (put("bits_per_dim/total/mean", None), "bits_per_dim/total/mean is missing"),
        (other(lambda r: r.update(format="2")), "another format"),
        (other(lambda r: r.update(more=1)), "more than is asked for: more"),
        (other(lambda r: r.pop("weights")), "lacks weights"),
        (other(lambda r: r.update(runs=r["runs"][:2])), "does not have 3 runs"),
        (other(lambda r: r["weights"].update({WEIGHTS[0]: r["weights"][WEIGHTS[1]]})), "same we"),
        (other(lambda r: r.update(name="<script>")), "its name"),
        (other(lambda r: [run.update(sampler=[]) for run in r["runs"]]), "sampler is []"),
        ([], "holds no object"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, content, reason):
    with pytest.raises(Refused, match=re.escape(reason)):
        read_result(keep(tmp_path, "it", content), SEEDS)
    assert read_result(keep(tmp_path, "it", result()), SEEDS).name == "blue team"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": NaN}', "NaN is no figure"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('"' + "x" * 2**21 + '"', "more than"),
    ],
)
def test_files_are_read_strictly(tmp_path, text, reason):
    (tmp_path / "it.json").write_text(text)
    with pytest.raises(Refused, match=reason):
        strict_json(tmp_path / "it.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "it.json")
    with pytest.raises(Refused, match="no plain file"):
        strict_json(tmp_path / "link.json")


def test_who_is_not_ranked_is_named_with_the_reason(tmp_path, capsys):
    for k in range(3):
        keep(tmp_path, f"good-{k}", result(f"team {k}", (3.0 + k, 3.1 + k, 2.9 + k)))
    keep(tmp_path, "of-own-floor", result("own floor", (0.1, 0.1, 0.1), floor=0.1))
    keep(tmp_path, "copier", result("copier", (0.3, 0.3, 0.3), copies=2 * COPIES))
    keep(tmp_path, "twice-1", result("Twice", (1, 1, 1)))
    keep(tmp_path, "twice-2", result("twice", (2, 2, 2)))
    half = result("half", (3, 3, 3))
    for run in half["runs"]:
        run["sampling_precision"] = "bf16"
    keep(tmp_path, "half", half)
    (tmp_path / "x`[a](b)<b>|.json").write_text("{")
    words = [*map(str, tmp_path.glob("*.json")), "--out", str(tmp_path / "out"), "--seeds"]
    assert leaderboard.main([*words, *map(str, SEEDS)]) == 0
    assert capsys.readouterr().out.startswith("3 ranked, 6 not")
    text = (tmp_path / "out/leaderboard.md").read_text("utf-8")
    page = (tmp_path / "out/leaderboard.html").read_text("utf-8")
    assert re.findall(r"^\| (\d) \| (team \d) \| (\S+)", text, re.M) == [
        *[("1", "team 0", "3.00"), ("2", "team 1", "4.00"), ("3", "team 2", "5.00")],
    ]
    for reason in (
        *("own floor: its floor is 0.100, that of the class 0.200", "10% of the samples"),
        *("another file has the same name", "drawn in precision", "not JSON"),
    ):
        assert reason in text.replace("\\", "")
        assert reason in page
    assert "<b>" not in page
    assert "x'[a](b)" in text
    assert page.count("<tr>") == 4


def test_the_seeds_are_three_different_ones(tmp_path):
    path = keep(tmp_path, "it", result())
    for seeds in ([71, 72], [71, 71, 72]):
        with pytest.raises(Refused, match="all different"):
            leaderboard.board([path], seeds)
    with pytest.raises(SystemExit):
        leaderboard.main([str(path), "--seeds", "1", "1", "2", "--out", str(tmp_path)])


@pytest.fixture
def folder(tmp_path):
    """What a team hands in."""
    place = tmp_path / "blue"
    place.mkdir()
    (place / "project.json").write_text(json.dumps(HANDED_IN))
    for k, name in enumerate(WEIGHTS):
        (place / name).write_bytes(b"weights %d" % k)
    return place


def test_each_run_is_measured_with_the_seed_of_its_place(folder, tmp_path):
    asked = []

    def evaluate(path, seed, project):
        asked.append((path.name, seed, project.sampler, project.steps))
        return {**record(seed), "checkpoint": str(path)}

    found = score(folder, SEEDS, evaluate)
    assert asked == [(w, s, "ddim", 50) for w, s in zip(WEIGHTS, SEEDS, strict=True)]
    assert str(tmp_path) not in json.dumps(found)
    entry = read_result(keep(tmp_path, "it", found), SEEDS)
    assert (entry.name, entry.fid) == ("blue team", [3.0] * RUNS)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: (f / "project.json").unlink(), "missing"),
        (lambda f: (f / "run-2.safetensors").unlink(), "run-2.safetensors is missing"),
        (lambda f: (f / "run-2.safetensors").write_bytes(b"weights 0"), "are the same"),
        (lambda f: (f / "run-2.safetensors").write_bytes(bytes(LARGEST + 1)), "more than 64 MB"),
        (lambda f: _hand_in(f, steps=MOST_STEPS + 1), "steps"),
        (lambda f: _hand_in(f, steps=True), "steps"),
        (lambda f: _hand_in(f, sampler="--json"), "sampler"),
        (lambda f: _hand_in(f, sampler=["ddim"]), "sampler"),
        (lambda f: _hand_in(f, name="../../up"), "name"),
        (lambda f: _hand_in(f, command=""), "command"),
        (lambda f: _hand_in(f, gpu=1), "more than is asked for"),
        (lambda f: _swap_for_link(f / "run-1.safetensors"), "no plain file"),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_refused(folder, change, reason):
    change(folder)
    with pytest.raises(Refused, match=reason):
        score(folder, SEEDS, lambda *_: pytest.fail("this is not to be measured"))


def _hand_in(folder, **changes):
    (folder / "project.json").write_text(json.dumps({**HANDED_IN, **changes}))


def _swap_for_link(path):
    path.rename(path.with_suffix(".kept"))
    path.symlink_to(path.with_suffix(".kept"))


def test_weights_that_are_a_pickle_are_refused_without_being_run(folder, tmp_path, capfd):
    """The program that measures reads safetensors, and nothing that could hold code."""
    (tmp_path / "ran").unlink(missing_ok=True)
    attack = f"cposix\nsystem\n(S'touch {tmp_path / 'ran'}'\ntR.".encode()
    (folder / WEIGHTS[0]).write_bytes(attack)
    with pytest.raises(Refused, match=r"run-1\.safetensors: it cannot be measured"):
        measured(None, 10)(folder / WEIGHTS[0], 1, read_project(folder))
    assert "no safetensors file" in capfd.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not ON_LINUX, reason="elsewhere the cache may hold MNIST, and this is slow")
def test_a_model_is_scored_from_its_folder(folder, tmp_path, monkeypatch):
    """By the program itself, on the bundled digits: ten samples in two steps."""
    monkeypatch.delenv("DDPM_TUTORIAL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody answers: there is no network
    config = DDPMConfig(T=10, network=UNetConfig(channels=(8, 16), blocks=1))
    save_model(folder / WEIGHTS[0], config.build(), config, {})
    project = read_project(folder)._replace(steps=2)
    found = measured(None, 10)(folder / WEIGHTS[0], 5, project)
    assert (found["n"], found["seed"], found["steps"]) == (10, 5, 2)
    with pytest.raises(Refused, match="training_images"):
        read_result(keep(tmp_path, "it", _all_runs(found)), [5, 5, 5], 10)


def _all_runs(found):
    whole = result()
    whole["runs"] = [{**copy.deepcopy(found), "terms_per_image": TERMS} for _ in SEEDS]
    whole["steps"] = found["steps"]
    return whole


def test_the_program_says_in_one_line_what_it_refuses(folder, tmp_path, capsys):
    _hand_in(folder, steps=0)
    words = [str(folder), "--seeds", "1", "2", "3", "--out", str(tmp_path / "r/it.json")]
    assert score_project.main(words) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "refused: steps" in said
    assert not (tmp_path / "r").exists()


def test_the_baselines_on_the_page_are_those_that_were_recorded():
    page = (COURSE / "final-project.md").read_text("utf-8")
    for name, budgets in BASELINES["contenders"].items():
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", page, re.M)
        steps, images, fid = row.split(" | ")
        assert int(steps.replace(",", "")) == budgets["600"]["steps"]
        assert int(images.replace(",", "")) == 32 * budgets["600"]["steps"]
        assert float(fid) == round(budgets["600"]["fid"], 1)
    assert f"{BASELINES['floor']:.2f}" in page
    variants = json.loads((ROOT / "book/results/variants.json").read_text("utf-8"))["figures"]
    for name, figures in variants["models"].items():
        (row,) = re.findall(rf"^\| {name} \| (.*) \|$", page, re.M)
        fid, bits = figures["fid"], figures["bound"]["total"]
        assert row == (
            f"{fid['mean']:.2f} ± {fid['standard_deviation']:.2f} | "
            f"{bits['mean']:.2f} ± {bits['standard_deviation']:.2f}"
        ), name
    for number in (N, MOST_STEPS, 100 * COPIES, LARGEST / 2**20):
        assert f"{number:,.0f}" in page
