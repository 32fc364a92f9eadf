"""The shape of the project: imports point downwards, everything public is explained."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ddpm_tutorial
from ddpm_tutorial import (
    NETWORKS,
    PARAMETERISATIONS,
    REVERSE_VARIANCES,
    SAMPLERS,
    SCHEDULES,
    TutorialError,
    needs_extra,
)

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "ddpm_tutorial"
# From the bottom up: a module may import what stands before it, a floor what stands below it.
FLOORS = {
    "mathematics": ["gaussian", "schedule", "forward", "exact", "continuous"],
    "models": [
        "network",
        "layers",
        "unet",
        "transformer",
        "cost",
        "parameterisation",
        "reverse_variance",
        "denoiser",
        "ddpm",
        "masked",
        "config",
        "classifier",
        "vae",
    ],
    "algorithms": [
        "processes",
        "optimizers",
        "training_state",
        "training",
        "sampling",
        "distillation",
        "elbo",
        "scores",
        "measurement",
        "inverse",
        "particles",
        "evaluation",
    ],
    "io": ["files", "data", "checkpoint", "run"],
}
# faces that need no floor
GROUND = [
    "errors",
    "machine",
    "diagnosis",
    "diagnosis_of_errors",
    "diagnosis_of_calls",
    "coursework_values",
    "coursework_calls",
    "coursework_networks",
    "coursework",
]
FACES = ["plotting", "cli.words", "cli.interrupt", "cli.train", "cli.sample", "cli.evaluate", "cli"]
ORDER = GROUND + [f"{floor}.{name}" for floor, names in FLOORS.items() for name in names] + FACES
MATHEMATICS = [name for name in ORDER if name.startswith("mathematics.")]
ON_FLOORS = [name for name in ORDER if name.partition(".")[0] in FLOORS]


def path_of(name):
    """The file of a module, named without the package."""
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def tree_of(name):
    return ast.parse(path_of(name).read_text(encoding="utf-8"))


def imported_by(name):
    """The modules that a module imports, anywhere in it; those of the package without its name."""
    names = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively"
            names.add(node.module)
    return {imported.removeprefix("ddpm_tutorial.") for imported in names}


def test_every_module_has_its_place():
    found = {
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in PACKAGE.rglob("*.py")
    }
    found = {name.removesuffix(".__init__") for name in found}
    assert found == {*ORDER, *FLOORS, "names", "__init__", "__main__"}


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_downwards(name):
    allowed = set(ORDER[: ORDER.index(name)])
    if name == "algorithms.training":
        allowed -= {"io.data", "algorithms.sampling", "io.checkpoint"}
    inside = {
        imported
        for imported in imported_by(name)
        if imported.partition(".")[0] in {*FLOORS, *GROUND, "cli", "plotting", "ddpm_tutorial"}
    }
    assert inside - {"io"} <= allowed  # "io" alone is the standard library's


@pytest.mark.parametrize("name", MATHEMATICS)
def test_the_mathematics_is_pure(name):
    imports = imported_by(name)
    assert not imports & {"os", "pathlib", "sys", "io"}
    assert not [imported for imported in imports if imported.startswith("torch.nn")]
    calls = {
        getattr(node.func, "id", None)
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Call)
    }
    assert not calls & {"open", "print", "input"}


@pytest.mark.parametrize("name", ORDER)
def test_everything_public_is_explained(name):
    def check(node, name):
        assert ast.get_docstring(node), name
        if isinstance(node, ast.FunctionDef):
            return  # what is defined inside a function is its own business
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.ClassDef) and not inner.name.startswith("_"):
                check(inner, f"{name}.{inner.name}")

    check(tree_of(name), name)


@pytest.mark.parametrize("name", ON_FLOORS)
def test_a_module_names_all_that_is_public_in_it_and_the_package_gives_it_on(name):
    public = set()
    for node in tree_of(name).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            public.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            public |= {target.id for target in targets if isinstance(target, ast.Name)}
    public = {one for one in public if not one.startswith("_")}
    module = importlib.import_module(f"ddpm_tutorial.{name}")
    assert sorted(module.__all__) == sorted(public)
    for one in public:
        assert getattr(ddpm_tutorial, one) is getattr(module, one)


def test_no_public_name_hides_a_module():
    for name in ON_FLOORS:
        floor, _, module = name.partition(".")
        assert inspect.ismodule(getattr(getattr(ddpm_tutorial, floor), module)), name


def test_names_that_others_rely_on_are_there_and_explained():
    promised = "NoiseSchedule q_sample q_posterior timestep_pairs kl_normal elbo_terms sample"
    promised += " GaussianMixture measure_bound three_term_elbo DDIM Ancestral DPMSolver p_reverse"
    promised += " discretized_normal_log_prob sample_path train load_mnist load_pretrained"
    for name in promised.split():
        assert inspect.getdoc(getattr(ddpm_tutorial, name)), name


@pytest.mark.parametrize("name", [*ORDER, *FLOORS])
def test_a_module_can_be_read_in_one_sitting(name):
    assert len(path_of(name).read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("name", ORDER)
def test_no_function_takes_more_than_eight_arguments(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            taken = [one.arg for one in arguments if one.arg not in {"self", "cls"}]
            assert len(taken) <= 8, f"{node.name}: {taken}"


@pytest.mark.parametrize("name", [n for n in ON_FLOORS if not n.startswith("io.")])
def test_nothing_branches_on_a_word_or_on_the_kind_of_a_model(name):
    registries = (NETWORKS, PARAMETERISATIONS, REVERSE_VARIANCES, SAMPLERS, SCHEDULES)
    words = {word for registry in registries for word in registry}
    kinds = {"DDPM", "GaussianMixture", "UNet", "Transformer"}
    kinds |= {"Denoiser", "ModelDenoiser", "Parameterisation"}
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Compare):
            compared = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            assert not compared & words, f"{name}, line {node.lineno}"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            asked = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            assert not asked & kinds, f"{name}, line {node.lineno}"


def loaded_by(code):
    """The modules that a new Python has loaded after `code`."""
    code = f"import sys\n{code}\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded: ")[2].split())


def test_what_takes_long_to_import_is_imported_where_it_is_used():
    rare = {"accelerate", "matplotlib", "torch._dynamo", "torchmetrics", "torchvision", "tyro"}
    loaded = loaded_by("from ddpm_tutorial import plotting, sample, train")
    assert not loaded & rare


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_do_not_wait_for_torch(word):
    loaded = loaded_by(f"""
from ddpm_tutorial.__main__ import main
sys.argv[1:] = ["{word}"]
try:
    main()
except SystemExit as end:
    assert not end.code""")
    assert not loaded & {"torch", "numpy", "tyro", "ddpm_tutorial.names"}


def test_names_that_come_late_look_as_if_they_had_always_been_there():
    assert {"sample", "UNet", "TutorialError"} <= {*dir(ddpm_tutorial)} & {*ddpm_tutorial.__all__}
    with pytest.raises(AttributeError, match="no attribute 'smaple'"):
        _ = ddpm_tutorial.smaple
    everything = {}
    exec("from ddpm_tutorial import *", everything)
    assert everything["sample"] is ddpm_tutorial.sample


def test_type_checkers_of_users_see_the_types():
    assert (PACKAGE / "py.typed").exists()  # the sign that PEP 561 asks for


def test_conda_and_pip_get_the_same_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(extras[name] for name in extras if name != "bench")]
    pip = {re.sub(r"^torch(?=[<>=])", "pytorch", item) for group in groups for item in group}
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    conda = {line.removeprefix("  - ") for line in lines if line.startswith("  - ")}
    conda |= {line.removeprefix("      - ") for line in lines if line.startswith("      - ")}
    conda.remove("--editable .")
    python = f"python{project['requires-python']}"
    assert conda == pip | {python, "pip", "pip:", "conda-forge"}


def test_the_citation_names_the_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {ddpm_tutorial.__version__}\n" in citation


def test_what_lint_runs_is_what_is_run_before_a_commit():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    _, _, recipe = makefile.partition("\nlint:")
    lint = re.findall(r"^\t\$\(BIN\)/(.*?)(?: \.)?$", recipe.partition("\n\n")[0], re.MULTILINE)
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"name: (.*)", hooks) == lint


def test_an_extra_that_is_missing_is_named_with_the_line_that_installs_it():
    with (
        pytest.raises(TutorialError, match=r"no_such_package is not .*install .*\.\[teaching\]"),
        needs_extra("teaching"),
    ):
        importlib.import_module("no_such_package")


def test_no_path_of_a_machine_is_committed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    texts = {".py", ".md", ".yml", ".toml", ".ipynb", ".bib", ".css", ".json", ".html", ""}
    for name in listed.stdout.splitlines():
        if Path(name).suffix in texts and (ROOT / name).is_file():
            assert str(ROOT) + "/" not in (ROOT / name).read_text(encoding="utf-8"), name
