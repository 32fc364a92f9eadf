"""The results files of comparisons hold what chapter 13 asks of a comparison."""

import json
import statistics
from pathlib import Path

import pytest

RESULTS = Path(__file__).parent.parent / "book" / "results"
COMPARISONS = [
    "continuous",
    "correctors",
    "few_steps",
    "guidance",
    "mistakes",
    "models",
    "network",
    "optimizers",
    "samplers",
    "variants",
]
# What a figure was taken over; a table that says so itself may have fewer than the whole file.
COUNTS = ("starts", "runs", "seeds", "sets")
# Times, settings, and a spread by itself.
NOT_COMPARED = {"milliseconds", "settings", "fid_over_starts", "attention", "one_run", "exact"}


def count(over):
    return len(over) if isinstance(over, list) else over


def lacking(table, fewest=2, path=()):
    """The paths to all figures without a mean and spread over as many values as the table says."""
    if isinstance(table, float):
        yield path
    elif isinstance(table, list):
        for index, inner in enumerate(table):
            yield from lacking(inner, fewest, (*path, index))
    elif isinstance(table, dict):
        fewest = next((count(table[name]) for name in COUNTS if name in table), fewest)
        if "values" in table:
            if not has_spread(table, max(fewest, 2)):
                yield path
            return
        for name, inner in table.items():
            if name not in NOT_COMPARED:
                yield from lacking(inner, fewest, (*path, name))


def has_spread(figure, fewest):
    values, spread = figure["values"], figure.get("standard_deviation")
    return len(values) >= fewest and spread == pytest.approx(statistics.stdev(values), abs=2e-5)


def faults(figures):
    """What a comparison lacks, in words."""
    found = [f"no spread: {'/'.join(map(str, path))}" for path in lacking(figures)]
    if count(figures.get("starts", 0)) < 5:
        found.append("fewer than five starts")
    if count(figures.get("seeds", 3)) < 3:
        found.append("fewer than three seeds of training")
    if figures.get("samples", 0) < 2_000:
        found.append("fewer than 2,000 samples")
    if "floor" not in figures:
        found.append("no floor")
    return found


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_has_starts_samples_a_floor_and_a_spread_for_each_figure(name):
    record = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert not faults(record["figures"])


SPREAD = {"mean": 3.0, "standard_deviation": 1.58114, "values": [1.0, 2.0, 3.0, 4.0, 5.0]}
PAIR = {"mean": 1.5, "standard_deviation": 0.70711, "values": [1.0, 2.0]}
OBEYS = {
    "settings": {"rate": 0.1},
    "samples": 2_000,
    "starts": 5,
    "seeds": [0, 1, 2],
    "floor": SPREAD,
    "models": {"one": {"fid": SPREAD}, "dear": {"starts": 2, "fid": PAIR}},
    "difference": {"starts": 2, **PAIR},
}


def test_a_table_that_obeys_the_rule_passes():
    assert not faults(OBEYS)


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (["samples"], 500, "fewer than 2,000 samples"),
        (["samples"], None, "fewer than 2,000 samples"),
        (["starts"], 1, "fewer than five starts"),
        (["starts"], None, "fewer than five starts"),
        (["seeds"], [0, 1], "fewer than three seeds of training"),
        (["floor"], None, "no floor"),
        (["models", "one", "fid"], 3.0, "no spread: models/one/fid"),
        (["models", "one", "fid"], PAIR, "no spread: models/one/fid"),
        (["models", "one", "fid"], [1.0], "no spread: models/one/fid/0"),
        (["models", "dear", "starts"], None, "no spread: models/dear/fid"),
        (["models", "one", "fid", "standard_deviation"], None, "no spread: models/one/fid"),
        (["models", "one", "fid", "standard_deviation"], 0.5, "no spread: models/one/fid"),
    ],
)
def test_a_table_that_breaks_it_does_not(path, value, fault):
    figures = json.loads(json.dumps(OBEYS))  # of its own, down to each figure
    *above, last = path
    table = figures
    for name in above:
        table = table[name]
    if value is None:
        del table[last]
    else:
        table[last] = value
    assert faults(figures) == [fault]
