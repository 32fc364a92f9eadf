"""The numbers in the text come from a results file, or, from Part III on, a cell or a source."""

import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
BOOK, RESULTS = ROOT / "book", ROOT / "book" / "results"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))
PART_III = [path for path in CHAPTERS if path.stem >= "08"]
MEASURED = re.compile(r"([−-]?\d[\d,]*(?:\.\d+)?)<!-- ([\w-]+):(\S+) -->(\s?%)?")
# What is not prose: code, formulas, comments, links and what only carries a name.
NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$(?:\s*\(eq-[\w-]+\))?|\$[^$]*\$|<!--.*?-->|\]\([^)]*\)|\{\w+\}",
    re.DOTALL,
)
DECIMAL = re.compile(r"(?<![\w.])\d[\d,]*\.\d+(?![\w.]*\w)|\d[\d,.]*(?=\s?%)")


def notebook(path):
    return nbformat.read(path, as_version=4).cells


def texts(path):
    return [cell.source for cell in notebook(path) if cell.cell_type == "markdown"]


def look_up(name, path):
    """A figure of an experiment, or of the evaluation of a shipped model."""
    file = RESULTS / f"{name}.json"
    file = file if file.exists() else ROOT / "benchmarks" / f"{name}.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    value = record.get("figures", record)
    for key in path.split("/"):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return float(value)


def agrees(printed, value):
    """Whether `printed` is `value`, rounded to as many digits as are printed."""
    printed = printed.replace(",", "").replace("−", "-")
    digits = len(printed.partition(".")[2])
    return abs(float(printed) - value) <= 0.5 * 10**-digits * (1 + 1e-9)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_number_that_names_a_results_file_is_the_number_in_it(path):
    for text in texts(path):
        for printed, name, where, percent in MEASURED.findall(text):
            value = look_up(name, where) * (100 if percent else 1)
            assert agrees(printed, value), f"{printed} in the text, {value} in {name}:{where}"


@pytest.mark.parametrize("path", PART_III, ids=lambda path: path.stem)
def test_every_other_number_comes_from_a_cell_or_a_source(path):
    """Decimals and percentages: small whole numbers are mostly words."""
    shown = "\n".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook(path)
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    code = "\n".join(cell.source for cell in notebook(path) if cell.cell_type == "code")
    known = set(re.findall(r"\d[\d,]*(?:\.\d+)?", shown + "\n" + code))
    for text in texts(path):
        for paragraph in re.split(r"\n\s*\n", text):
            if "{cite" in paragraph:
                continue
            prose = NOT_PROSE.sub(" ", MEASURED.sub(" ", paragraph))
            unknown = [n for n in DECIMAL.findall(prose) if n.rstrip(".") not in known]
            assert not unknown, f"{unknown} in: {paragraph}"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_results_file_says_how_it_was_made(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    program, script = record["command"].split()[:2]
    assert program == "python"
    assert (ROOT / script).is_file()
    assert not re.search(r"(^|[\s'=])[/~]", record["command"]), "a folder of one machine"
    assert record["seconds"] > 0
    assert record["measured_on"].keys() >= {"cpu", "threads", "torch", "python"}
    assert isinstance(record["seed"], int)
    assert record["figures"]


def test_numbers_are_compared_to_the_digits_printed():
    assert agrees("1.37", 1.3749)
    assert not agrees("1.37", 1.3751)
    assert agrees("1,204", 1204.4)
    assert agrees("−0.5", -0.46)
    assert not agrees("0.5", -0.5)
    assert MEASURED.findall("are 12<!-- mistakes:a/b --> % of") == [("12", "mistakes", "a/b", " %")]
    assert DECIMAL.findall("section 3.2.1 and 0.25, 40 % of t1.5 or 7.") == ["0.25", "40"]
