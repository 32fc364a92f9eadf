"""The shape of the project: imports point downwards, everything public is explained."""

import ast
import inspect
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import ddpm_tutorial

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "ddpm_tutorial").glob("[a-z]*.py"))
# From the bottom up; a module may import what stands before it.
ORDER = [
    "errors",
    "files",
    "machine",
    "coursework",
    "gaussian",
    "schedule",
    "forward",
    "exact",
    "unet",
    "cost",
]
ORDER += ["ddpm", "classifier", "elbo", "vae", "sampling", "score", "training", "evaluation"]
ORDER += ["data", "checkpoint", "plotting", "cli"]
MATHS = {"gaussian", "schedule", "forward", "exact"}


def imported_by(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_module_has_its_place():
    assert sorted(path.stem for path in MODULES) == sorted(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_point_downwards(path):
    allowed = set(ORDER[: ORDER.index(path.stem)])
    if path.stem == "training":
        allowed -= {"data", "sampling", "checkpoint"}
    inside = [name for name in imported_by(path) if name.startswith("ddpm_tutorial.")]
    assert {name.split(".")[1] for name in inside} <= allowed


@pytest.mark.parametrize("name", sorted(MATHS))
def test_the_mathematics_is_pure(name):
    imports = imported_by(ROOT / "ddpm_tutorial" / f"{name}.py")
    assert not imports & {"os", "pathlib", "sys", "io"}
    assert not [name for name in imports if name.startswith("torch.nn")]
    tree = ast.parse((ROOT / "ddpm_tutorial" / f"{name}.py").read_text(encoding="utf-8"))
    calls = {
        getattr(node.func, "id", None) for node in ast.walk(tree) if isinstance(node, ast.Call)
    }
    assert not calls & {"open", "print", "input"}
    inside = {i.split(".")[1] for i in imports if i.startswith("ddpm_tutorial.")}
    assert inside <= MATHS


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_everything_public_is_explained(path):
    def check(node, name):
        assert ast.get_docstring(node), name
        if isinstance(node, ast.FunctionDef):
            return  # what is defined inside a function is its own business
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.ClassDef) and not inner.name.startswith("_"):
                check(inner, f"{name}.{inner.name}")

    check(ast.parse(path.read_text(encoding="utf-8")), path.stem)


def test_public_names_are_there_and_explained():
    for name in ddpm_tutorial.__all__:
        thing = getattr(ddpm_tutorial, name)
        assert inspect.getdoc(thing), name
    promised = "NoiseSchedule q_sample q_posterior timestep_pairs kl_normal elbo_terms sample"
    promised += " GaussianMixture measure_bound three_term_elbo"
    promised += " discretized_normal_log_prob sample_path train load_mnist load_pretrained"
    assert set(promised.split()) <= set(ddpm_tutorial.__all__)


def test_conda_and_pip_get_the_same_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(extras[name] for name in extras if name != "bench")]
    pip = {re.sub(r"^torch(?=[<>=])", "pytorch", item) for group in groups for item in group}
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    conda = {line.removeprefix("  - ") for line in lines if line.startswith("  - ")}
    python = f"python{project['requires-python']}"
    assert conda == pip | {python, "pip", "pip:", "conda-forge"}


def test_no_path_of_a_machine_is_committed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    texts = {".py", ".md", ".yml", ".toml", ".ipynb", ".bib", ".css", ".json", ".html", ""}
    for name in listed.stdout.splitlines():
        if Path(name).suffix in texts and (ROOT / name).is_file():
            assert str(ROOT) + "/" not in (ROOT / name).read_text(encoding="utf-8"), name
