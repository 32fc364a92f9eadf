"""The parts of the grader, one by one; test_class.py has the whole."""

import ast
import json
import math
import sys

import nbformat
import pytest
import torch
from conftest import COURSE, named, notebook
from grading import wire
from grading.cells import cell_of, free_names, read_cells
from grading.execute import run_notebook
from grading.feedback import HIDDEN
from grading.late import DAY, PerDay
from grading.package import copy_package
from grading.rebuild import rebuild
from grading.sandbox import Limits, Sandbox, SandboxEnded, StandIn, StudentError

FAR = 1e12  # a deadline that no test reaches


def refuse(value):
    raise TypeError(type(value).__name__)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        2.5,
        math.inf,
        "ε",
        [1, [2.0, "three"]],
        {"a": [1], "b": {2: None}},
        torch.arange(6).reshape(2, 3),
        torch.tensor(3.5, dtype=torch.float64),
        torch.zeros(0, 4),
        torch.tensor([True, False]),
    ],
)
def test_values_cross_unchanged(value):
    line = json.dumps(wire.encode(value, refuse))
    back = wire.decode(json.loads(line), refuse)
    if isinstance(value, torch.Tensor):
        assert back.dtype == value.dtype
        assert torch.equal(back, value)
    else:
        assert back == value


@pytest.mark.parametrize(
    "message",
    [
        {"tensor": "float32", "shape": [2], "content": "AAAA"},
        {"tensor": "float99", "shape": [1], "content": "AAAAAA=="},
        {"tensor": "float32", "shape": [10**12], "content": "AAAAAA=="},
        {"list": 3},
        {"dict": [1]},
        {"unheard": "of"},
        [1],
    ],
)
def test_what_is_no_value_is_refused(message):
    with pytest.raises((ValueError, TypeError, LookupError, RuntimeError)):
        wire.decode(message, lambda message: message["kept"])


def test_free_names_are_those_a_test_does_not_define():
    source = "import torch as t\nx = f(1)\ndef g(y):\n    return y + h\nfor k in x: g(k)"
    assert free_names(source) == {"f", "h", "x", "g", "k", "y"} - {"x", "g", "k", "y"}


def test_cells_are_told_apart():
    kinds = {cell.kind for cell in read_cells(COURSE / "source/01-gaussians/01-gaussians.ipynb")}
    assert kinds == {"given", "answer", "test", "free"}
    assert cell_of({}, "x").kind == "free"


@pytest.fixture
def box():
    with Sandbox(Limits(call=15.0), ["coursework", "NoiseSchedule"], FAR) as box:
        yield box


def test_a_stand_in_computes_where_the_function_is(box):
    box.run("import torch\ndef f(x, g=None):\n    return x + 1 if g is None else g(x)")
    f = StandIn(box, {"name": "f"})
    assert torch.equal(f(torch.tensor([1.0, 2.0])), torch.tensor([2.0, 3.0]))
    assert f(3, g=lambda x: x * 10) == 30
    assert torch.equal(f.gradient(torch.ones(2), of=0), torch.ones(2))
    with pytest.raises(StudentError, match="ZeroDivisionError"):
        f(3, g=lambda x: x / 0)
    assert f(3, g=lambda x: x) == 3  # the call after one that failed is in step again


def test_objects_stay_there_and_can_be_called_and_passed_on(box):
    box.run("def make(a):\n    return lambda x: a * x\ndef use(f, x):\n    return f(x) + 1")
    make, use = StandIn(box, {"name": "make"}), StandIn(box, {"name": "use"})
    double = make(2)
    assert type(double).__name__ == "function"
    assert double(4) == 8
    assert use(double, 4) == 9
    box.run("triple = make(3)")
    assert use(StandIn(box, {"name": "triple"}), 4) == 13
    with pytest.raises(StudentError, match=r"NameError: .*quadruple is not defined"):
        use(StandIn(box, {"name": "quadruple"}), 4)


def test_the_last_value_and_the_figures_come_back(box):
    found = box.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nprint('hello')\n1 + 1")
    assert found["text"] == "2"
    assert [picture[:5] for picture in found["figures"]] == ["iVBOR"]
    assert box.output().strip() == "hello"


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("1 / 0", StudentError, "ZeroDivisionError"),
        ("def f(:", StudentError, "SyntaxError"),
        ("exit()", StudentError, "SystemExit"),
        ("import os; os._exit(3)", SandboxEnded, "exit status 3"),
        ("import ctypes; ctypes.string_at(0)", SandboxEnded, "exit status"),
        ("from ddpm_tutorial import kl_normal", StudentError, "write it yourself"),
        ("from ddpm_tutorial import timestep_pairs", StudentError, "write it yourself"),
        ("from ddpm_tutorial import plotting", StudentError, "write it yourself"),
        ("import ddpm_tutorial.mathematics.gaussian", StudentError, "No module .*gaussian"),
        ("import ddpm_tutorial.algorithms", StudentError, "No module .*algorithms"),
    ],
)
def test_what_a_cell_does_is_said(box, source, error, message):
    with pytest.raises(error, match=message):
        box.run(source)


# Modules that hold what a student is to write, and that the assignment can do without.
CLOSED = {
    "01-gaussians": ["mathematics.gaussian", "mathematics.forward", "models.vae"],
    "02-bound": ["mathematics.gaussian", "mathematics.forward", "algorithms.elbo"],
    "03-forward": ["mathematics.schedule", "mathematics.forward", "models.ddpm"],
    "04-training": ["mathematics.forward", "models.unet", "models.ddpm", "algorithms.training"],
    "05-sampling": ["algorithms.sampling", "algorithms.elbo", "mathematics.exact"],
    "06-network": ["models.layers", "models.unet", "models.transformer", "models.cost"],
    "07-evaluation": ["algorithms.evaluation", "algorithms.measurement", "algorithms.elbo"],
    "08-after-ddpm": ["algorithms.sampling", "algorithms.inverse", "mathematics.exact"],
}


@pytest.mark.parametrize("name", CLOSED)
def test_an_assignment_gives_the_names_that_it_needs_and_no_others(name):
    notebook = nbformat.read(COURSE / "source" / name / f"{name}.ipynb", as_version=4)
    names = notebook.metadata["grading"]["names"]
    closed = {f"ddpm_tutorial.{module}" for module in CLOSED[name]}
    loaded = {
        key: module for key, module in sys.modules.items() if key.startswith("ddpm_tutorial.")
    }
    assert closed <= loaded.keys()  # none of them is closed for not being there
    public = {"cli", "coursework", "machine", "plotting"}
    public.update(*(getattr(module, "__all__", ()) for module in loaded.values()))
    assert {"kl_normal", "sample", "TutorialError"} <= public
    source = f"""had, said = [], set()
for name in {sorted(public)}:
    try:
        exec(f"from ddpm_tutorial import {{name}}")
        had.append(name)
    except ImportError as error:
        said.add(str(error).replace(name, "it", 1))
had, said"""
    with Sandbox(Limits(call=15.0), names, FAR) as box:
        had, said = ast.literal_eval(box.run(source)["text"])
        for module in sorted(closed):
            floor = module.rpartition(".")[0]
            with pytest.raises(StudentError, match=f"ModuleNotFoundError: .* '{floor}"):
                box.run(f"import {module}")
    assert had == sorted(names)
    assert said == {
        "it is not to be had in this assignment: write it yourself, or see the first cell"
    }


def test_the_modules_behind_the_names_give_no_others():
    schedule = "ddpm_tutorial.mathematics.schedule"
    with Sandbox(Limits(call=15.0), ["coursework", "plotting", "NoiseSchedule"], FAR) as box:
        box.run(
            f"from {schedule} import NoiseSchedule\n"
            "from ddpm_tutorial.plotting import BLUE, draw_digits\n"
            "import copy, inspect, pathlib, sys, ddpm_tutorial.plotting\n"
            "import ddpm_tutorial.coursework as coursework\n"
            "coursework.check(copy.deepcopy(NoiseSchedule.linear(5)).T, 5)\n"
            "inspect.getmodule(draw_digits)"
        )
        for taken in (
            f"{schedule} import timestep_pairs",
            "ddpm_tutorial.plotting import to_bytes",
        ):
            with pytest.raises(StudentError, match=r"ImportError: .* write it yourself"):
                box.run(f"from {taken}")
        box.run(
            "package = pathlib.Path(ddpm_tutorial.plotting.__file__).parent\n"
            "assert package.is_dir() and not list(package.rglob('*.py'))\n"
            "for name in [name for name in sys.modules if name.startswith('ddpm_tutorial')]:\n"
            "    del sys.modules[name]"
        )
        with pytest.raises(StudentError, match="ModuleNotFoundError"):
            box.run(f"import {schedule}")


def test_a_name_that_the_package_lacks_is_an_instructors_mistake(tmp_path):
    with pytest.raises(LookupError, match="'kl_norm'"):
        copy_package(tmp_path / "ddpm_tutorial", ["coursework", "kl_norm"])


def test_a_flood_on_the_answering_side_is_cut_off(box):
    flood = (
        "for fd in range(3, 50):\n    try: os.write(fd, b'[1]\\n' * 100)\n    except OSError: pass"
    )
    with pytest.raises(SandboxEnded, match="not an answer"):
        box.run(f"import os\n{flood}")


def test_a_rebuilt_notebook_has_the_tests_of_the_release(release):
    handed_in = notebook("y = 5")
    handed_in.cells += [
        named("pass", "f", False, 1),
        named("def f(x): return x + 1", "f-answer", True),
    ]
    handed_in.cells += [named("pass", "f", False, 1), nbformat.v4.new_code_cell("z = 6")]
    whole = rebuild(handed_in, release)
    sources = [cell.source for cell in whole.cells]
    assert sources == ["y = 5", "def f(x): return x + 1", "assert f(1) == 2", "z = 6"]
    assert whole.metadata["grading"] == release.metadata["grading"]
    empty = rebuild(notebook(), release)
    assert [cell.source for cell in empty.cells] == [cell.source for cell in release.cells[:2]]


def test_running_fills_the_outputs(release):
    release.cells[0].source = "def f(x):\n    return x + 1"
    run_notebook(release)
    assert release.cells[1].outputs == []
    assert release.cells[2].outputs[0]["data"]["text/plain"] == "4"
    release.cells[0].source = "def f(x):\n    return x"
    run_notebook(release)
    assert release.cells[1].outputs[0].output_type == "error"


def test_hidden_tests_are_cut_out():
    source = "check(1)\n### BEGIN HIDDEN TESTS\ncheck(2)\n### END HIDDEN TESTS"
    assert HIDDEN.sub("", source) == "check(1)"


@pytest.mark.parametrize(("late", "off"), [(0, 0), (1, 1), (DAY, 1), (DAY + 1, 2), (99 * DAY, 10)])
def test_a_tenth_of_the_points_for_each_day_begun(late, off):
    assert PerDay().late_submission_penalty("s", 10.0, late) == pytest.approx(off)
