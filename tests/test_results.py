"""What is printed about measurements is what was measured."""

import copy
import functools
import importlib.util
import json
import operator
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate import Accelerator

from ddpm_tutorial import (
    ASSETS,
    PRETRAINED,
    STUDENTS,
    DDPMConfig,
    Digits,
    UNetConfig,
    fingerprint,
    load_bundled,
    load_checkpoint,
    load_model,
)

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def script(path):
    """A script of this project as a module; it is in no package."""
    specification = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def report():
    return script("benchmarks/report.py")


@pytest.fixture
def folder(report, tmp_path, monkeypatch):
    """The report's inputs and outputs, copied to where a test may write."""
    for name in (*PRETRAINED, "results", "gpu"):
        content = (ROOT / "benchmarks" / f"{name}.json").read_bytes()
        (tmp_path / f"{name}.json").write_bytes(content)
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    monkeypatch.setattr(report, "HERE", tmp_path)
    monkeypatch.setattr(report, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PRETRAINED)
def test_header_and_results_file_of_a_shipped_model_agree(name):
    record = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
    assert load_checkpoint(ASSETS / f"{name}.safetensors").details["evaluation"] == record
    assert record["checkpoint"] == f"pretrained:{name}"
    assert record["command"] == f"ddpm-tutorial evaluate --checkpoint pretrained:{name} --n 10000"
    assert record["n"] == record["samples"]["references"] == record["samples"]["samples"] == 10_000


def test_the_page_of_results_is_what_the_results_files_say(report):
    page = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")
    assert page == report.render()


def test_the_readme_states_the_figures_of_the_shipped_models(report):
    for name, table in report.tables_of_readme().items():
        start, end = report.marks(name)
        assert f"{start}\n{table}\n{end}" in README
    accuracy = load_checkpoint(ASSETS / "classifier.safetensors").details["test_accuracy"]
    for text in (README, (ASSETS / "README.md").read_text(encoding="utf-8")):
        assert f"{100 * accuracy:.2f} % of the" in text


def test_a_changed_figure_would_be_noticed(report, folder):
    changed = json.loads((folder / "mnist.json").read_text())
    changed["samples"]["fid"] += 0.01
    changed["bits_per_dim"]["by_t"][3][2]["mean"] += 0.001
    page, table = report.render(), report.table_of_models()
    (folder / "mnist.json").write_text(json.dumps(changed))
    assert report.render() != page
    assert report.table_of_models() != table


def test_each_experiment_has_its_results_file_and_each_results_file_its_experiment():
    experiments = {path.stem for path in (ROOT / "experiments").glob("[!_]*.py")}
    assert experiments == {path.stem for path in RESULTS.glob("*.json")}


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_results_file_names_its_experiment_in_its_command(path):
    command = json.loads(path.read_text(encoding="utf-8"))["command"]
    assert command.split()[:2] == ["python", f"experiments/{path.stem}.py"]


def leaves(record, path=()):
    """The paths to all single values in a results file."""
    if not isinstance(record, dict | list):
        yield path
        return
    for key, inner in record.items() if isinstance(record, dict) else enumerate(record):
        yield from leaves(inner, (*path, key))


def changed_at(record, path):
    record = copy.deepcopy(record)
    place = functools.reduce(operator.getitem, path[:-1], record)
    value = place[path[-1]]
    place[path[-1]] = value + "x" if isinstance(value, str) else 2 * value + 1
    return record


@pytest.mark.parametrize("part", ["speed", "quality", "overhead", "gpu", *PRETRAINED])
def test_no_sentence_states_a_figure_of_its_own(report, part):
    """Whatever changes in a results file, the page says so."""
    if part in PRETRAINED:
        record, write = report.load(part), functools.partial(report._model, part)
    elif part == "gpu":
        record, write = report.load("gpu"), report._gpu
    else:
        record, write = report.load("results")[part], getattr(report, f"_{part}")
    page = write(record)
    silent = {path for path in leaves(record) if write(changed_at(record, path)) == page}
    if part == "gpu":
        assert silent <= {("tests", "passed"), *((name, "seconds") for name in record)}
    else:
        silent = {path[0] for path in silent}
        assert silent <= {"checkpoint", "dataset", "sampling_precision", "training_images"}


MEASURED_ON = {
    "cores": 4,
    "threads": 3,
    "command": "make bench",
    "seed": 7,
    "versions": {"peer": "1.2"},
    **dict.fromkeys(("cpu", "accelerator", "python", "torch", "precision", "date"), "x"),
}


def test_the_ratios_of_speed_say_how_many_times_as_fast_ours_is(report):
    def row(rate, seconds):
        return {
            "settings": "small",
            "weights": 3_000_000,
            "gflop_per_evaluation": 0.5,
            "training_images_per_second": rate,
            "seconds_per_1000_evaluations": seconds,
        }

    contenders = {"ddpm_tutorial": row(300, 2.0), "peer": row(200, 5.0)}
    figures = {"contenders": contenders, "batch": 16, "batch_sampling": 99, "rounds": 6}
    text = "\n".join(report._speed({**figures, "measured_on": MEASURED_ON}))
    assert "| `ddpm_tutorial` | small | 3.00 M | 0.50 | 300 | 1.0 | 2.00 | 1.0 |" in text
    assert "| `peer` | small | 3.00 M | 0.50 | 200 | 1.5 | 5.00 | 2.5 |" in text
    assert "batches of 16, and single evaluations of the network on batches of 99" in text
    assert "median of 6 rounds" in text
    assert "`make bench`, seed 7. Machine: x, 4 cores, 3 threads" in text


def test_the_smaller_sum_that_the_page_gives_as_a_reason_is_smaller(report):
    contenders = report.load("results")["speed"]["contenders"]
    sums = {name: row["gflop_per_evaluation"] for name, row in contenders.items()}
    ours = sums.pop("ddpm_tutorial")
    assert ours < min(sums.values())


def test_quality_is_shown_by_budget(report):
    figures = {
        "references": 5000,
        "floor": 0.5,
        "side_by_side": 2500,
        "contenders": {
            "ddpm_tutorial": {"1000": {"steps": 4321, "fid": 2.0}, "60": {"steps": 9, "fid": 8.0}},
            "peer": {"1000": {"steps": 5, "fid": 3.0}},
        },
        "measured_on": MEASURED_ON,
    }
    text = "\n".join(report._quality(figures))
    assert "| package | 60 s | 1000 s |" in text
    assert "| `ddpm_tutorial` | 8.00 after 9 steps | 2.00 after 4,321 steps |" in text
    assert "| `peer` |  | 3.00 after 5 steps |" in text
    assert "N = 2,500 samples" in text
    assert "beside 5,000 test images" in text
    assert "training images: 0.50." in text


def test_overhead_names_each_rate_with_its_own_share_of_the_peak(report):
    figures = {
        "training_step": 0.0123,
        "samplers": {"ddim": 0.0456},
        "peak_gflops": 2000.0,
        "training_gflops": 600.0,
        "training_of_peak": 0.3,
        "sampling_gflops": 1400.0,
        "sampling_of_peak": 0.7,
        "measured_on": MEASURED_ON,
    }
    text = "\n".join(report._overhead(figures))
    assert "optimiser | 1.2% |" in text
    assert "| sampler `ddim`, over its network evaluations | 4.6% |" in text
    assert "on this machine is 2,000 GFLOP/s. Training runs at 600 GFLOP/s, 30% of that" in text
    assert "sampling at 1,400 GFLOP/s, 70%;" in text


def test_the_readme_is_written_between_its_marks_only(report, folder):
    start, end = report.marks("models")
    old, table = f"{start}\nold\n{end}", report.table_of_models()
    stale = README.replace(f"{start}\n{table}\n{end}", old)
    (folder / "README.md").write_text(stale, encoding="utf-8")
    assert old in stale
    report.main()
    assert (folder / "README.md").read_text(encoding="utf-8") == README
    page = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")
    assert (folder / "results.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("copies", [0, 2])
def test_a_readme_without_its_marks_is_left_alone(report, folder, copies):
    start, _ = report.marks("peers")
    wrong = README.replace(start, start * copies)
    (folder / "README.md").write_text(wrong, encoding="utf-8")
    with pytest.raises(SystemExit, match=r"README\.md must hold <!-- peers"):
        report.main()
    assert (folder / "README.md").read_text(encoding="utf-8") == wrong


def test_the_table_of_peers_has_what_each_scored_after_240_seconds(report, folder):
    results = json.loads((folder / "results.json").read_text())
    for place, row in enumerate(results["quality"]["contenders"].values()):
        row["240"] = {"steps": 7, "fid": place + 9.5}
    (folder / "results.json").write_text(json.dumps(results))
    _, _, *rows = report.table_of_peers().splitlines()
    assert [row.split("|")[-2].strip() for row in rows] == ["9.5", "10.5", "11.5", "12.5"]


def test_what_is_not_measured_yet_is_left_out(report, folder):
    results = json.loads((folder / "results.json").read_text())
    del results["quality"]["contenders"]["diffusers"]["240"]
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "gpu.json").unlink()
    assert list(report.tables_of_readme()) == ["models"]
    del results["quality"], results["overhead"]
    (folder / "results.json").write_text(json.dumps(results))
    assert report.table_of_peers() == ""
    (folder / "mnist-bound.json").unlink()
    page = report.render()
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == [
        "The shipped model `mnist`",
        "The shipped model `mnist-labels`",
        "Speed",
    ]
    assert "mnist-bound" not in report.table_of_models()


def test_a_model_that_ships_is_chosen_on_images_that_it_was_not_trained_on(tmp_path, monkeypatch):
    tool = script("tools/train_pretrained.py")
    digits = Digits(*(part[:40] for part in load_bundled("train")))
    monkeypatch.setattr(tool, "load_mnist", lambda split, _: {"train": digits}[split])
    for name, value in {"HELD_OUT": 10, "TERMS": 2, "SAMPLING_STEPS": 2}.items():
        monkeypatch.setattr(tool, name, value)
    asked = tool.TrainPretrained(
        tmp_path / "run", steps=2, batch_size=4, channels=(8,), diffusion_steps=10, dropout=0.1
    )
    asked.run()
    checkpoint = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert checkpoint.config.network.dropout == 0.1
    seen = Digits(digits.images[:30], digits.labels[:30])
    assert checkpoint.details["data"] == fingerprint(seen)
    found = json.loads((tmp_path / "run" / "held-out.json").read_text())
    model = load_model(tmp_path / "run" / "model.safetensors")
    unseen = Digits(digits.images[30:], digits.labels[30:])
    assert found == tool.held_out_figures(model, unseen, 0)
    assert found["images"] == 10
    assert found != tool.held_out_figures(model, Digits(digits.images[:10], None), 0)


def test_weights_ship_with_the_figures_of_all_test_images_or_not_at_all(tmp_path, monkeypatch):
    ship = script("tools/ship_weights.py")
    names = ("mnist.safetensors", "mnist.json")
    for name in names:
        (tmp_path / name).write_bytes(b"as before")
    monkeypatch.setattr(ship, "ASSETS", tmp_path)
    monkeypatch.setattr(ship, "RESULTS", tmp_path)
    one_less = {"train": range(60_000), "test": range(9_999)}
    monkeypatch.setattr(
        ship, "load_mnist", lambda split, _: SimpleNamespace(images=one_less[split])
    )
    monkeypatch.setattr(ship, "load_checkpoint", lambda path: pytest.fail(f"{path} was read"))
    monkeypatch.setattr(sys, "argv", ["ship_weights.py", "runs/mnist", "mnist"])
    with pytest.raises(SystemExit, match="all 10,000 test images of MNIST: name with --data"):
        ship.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert all((tmp_path / name).read_bytes() == b"as before" for name in names)


def test_all_that_ships_is_small():
    weights = [path.stat().st_size for path in ASSETS.glob("*.safetensors")]
    assert len(weights) == len(PRETRAINED) + len(STUDENTS) + 1
    assert sum(weights) < 20e6


@pytest.fixture
def gpu_bench(tmp_path, monkeypatch):
    """`make bench-gpu`, in small, on whatever device there is."""
    bench = script("benchmarks/gpu.py")
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "gpu.json")
    network = UNetConfig(channels=(8,), blocks=1)
    monkeypatch.setattr(bench, "DDPMConfig", lambda: DDPMConfig(T=20, network=network))
    return bench


def test_what_a_gpu_is_asked_can_be_answered(gpu_bench, report, monkeypatch):
    size = gpu_bench.Size((4,), (4,), 2, 1, (0.5,), 4, 12, 2, "eager")
    digits = Digits(*(part[:40] for part in load_bundled("train")))
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    monkeypatch.setattr(gpu_bench, "TESTS", "--version")  # they have been run already
    gpu_bench.measure(list(gpu_bench.PARTS), digits, digits, accelerator, size)
    found = json.loads(gpu_bench.RESULTS.read_text())
    assert found.keys() == {*gpu_bench.PARTS}
    assert found["tests"]["passed"] is True
    assert found["training"]["cases"].keys() == {"batch 4", "batch 4, compiled"}
    for case in found["training"]["cases"].values():
        assert case["images_per_second"] > 0
    assert found["waiting"]["cases"]["batch 4"]["busy"] == 0  # no kernel of a GPU was seen
    assert found["sampling"]["samples_per_second"] > 0
    assert found["quality"]["cases"]["0.5 s"]["steps"] > 0
    # The page has a place for it, also where nobody counts the memory, as on this device.
    page = "\n".join(report._gpu(found))
    rate = found["training"]["cases"]["batch 4, compiled"]["images_per_second"]
    assert f"| batch 4, compiled | {rate:,.0f} |" in page
    # A part that is measured again leaves the others.
    gpu_bench.measure(["sampling"], digits, digits, accelerator, size)
    again = json.loads(gpu_bench.RESULTS.read_text())
    assert again["quality"] == found["quality"]


def test_without_a_gpu_it_says_so(gpu_bench, monkeypatch):
    monkeypatch.setattr(gpu_bench, "make_accelerator", lambda: Accelerator(cpu=True))
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit, match="there is no GPU here"):
        gpu_bench.main()
    assert not gpu_bench.RESULTS.exists()
