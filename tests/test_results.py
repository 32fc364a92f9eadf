"""What is printed about measurements is what was measured."""

import importlib.util
import json
from pathlib import Path

import pytest

from ddpm_tutorial.checkpoint import ASSETS, PRETRAINED, load_checkpoint

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report():
    specification = importlib.util.spec_from_file_location(
        "report", ROOT / "benchmarks" / "report.py"
    )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", PRETRAINED)
def test_header_and_results_file_of_a_shipped_model_agree(name):
    record = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
    assert load_checkpoint(ASSETS / f"{name}.safetensors").details["evaluation"] == record
    assert record["checkpoint"] == f"pretrained:{name}"
    samples = record["samples"]["samples"]
    assert record["command"] == (
        f"ddpm-tutorial evaluate --checkpoint pretrained:{name} --n 10000 --samples {samples}"
    )
    assert record["n"] == record["samples"]["references"] == 10_000
    assert samples == (10_000 if name == "mnist" else 2_000)


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


def test_a_changed_figure_would_be_noticed(report, tmp_path, monkeypatch):
    for name in (*PRETRAINED, "results"):
        source = ROOT / "benchmarks" / f"{name}.json"
        if source.exists():
            (tmp_path / source.name).write_bytes(source.read_bytes())
    changed = json.loads((tmp_path / "mnist.json").read_text())
    changed["samples"]["fid"] += 0.01
    changed["bits_per_dim"]["by_t"][3][2]["mean"] += 0.001
    page, table = report.render(), report.table_of_models()
    monkeypatch.setattr(report, "HERE", tmp_path)
    assert (report.render(), report.table_of_models()) == (page, table)
    (tmp_path / "mnist.json").write_text(json.dumps(changed))
    assert report.render() != page
    assert report.table_of_models() != table


def test_all_that_ships_is_small():
    weights = [path.stat().st_size for path in ASSETS.glob("*.safetensors")]
    assert len(weights) == len(PRETRAINED) + 1
    assert sum(weights) < 12e6
