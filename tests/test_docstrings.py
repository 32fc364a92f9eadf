"""What the pages of the API are made of: each name has a place, each formula holds."""

import ast
import importlib
import inspect
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from sphinx.pycode import ModuleAnalyzer

import ddpm_tutorial
from ddpm_tutorial import NoiseSchedule

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import docstrings  # noqa: E402
import plain_formulas  # noqa: E402

EVALUATE = runpy.run_path(str(ROOT / "tests" / "equations" / "latex.py"))
PACKAGE = ROOT / "ddpm_tutorial"
PAGES = sorted((ROOT / "book" / "reference").glob("*.md"))
ENTRIES = re.compile(r"^\.\. (api|command):: (.*)$", re.MULTILINE)


def modules_of(kind):
    """What the pages of the API ask for."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    return [name for text in texts for found, name in ENTRIES.findall(text) if found == kind]


def test_every_module_has_one_place_on_the_pages_of_the_api():
    apart = {"__init__", "__main__", "names"}  # and the commands have a page of their own
    expected = [
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in PACKAGE.rglob("*.py")
        if path.stem not in apart and path.parent.name != "cli"
    ]
    assert sorted(modules_of("api")) == sorted(expected)


def test_every_command_is_on_the_page_of_the_command_line():
    from ddpm_tutorial.__main__ import COMMANDS

    assert modules_of("command") == list(COMMANDS)


@pytest.mark.parametrize("name", modules_of("api"))
def test_every_public_constant_is_explained(name):
    module = importlib.import_module(f"ddpm_tutorial.{name}")
    said = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
    for node in ast.parse(inspect.getsource(module)).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        for one in (target.id for target in targets if isinstance(target, ast.Name)):
            if one in getattr(module, "__all__", [one]) and not one.startswith("_"):
                assert said.get(("", one)), f"{one} has no comment that begins with #:"


def test_a_name_of_the_package_is_known_as_code():
    entry = docstrings.entry_of
    assert entry("q_sample") == "q_sample"
    assert entry("q_sample(schedule, x0, t, eps)") == "q_sample"
    assert entry("NoiseSchedule.linear(T=100)") == "NoiseSchedule.linear"
    for other in ("x0", "forward", "q_sampler", "schedule.alpha_bar", "NoiseSchedule.nothing"):
        assert entry(other) == ""


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        (
            "x_t ~ q(x_t | x_0), from noise",
            [r"\mathbf{x}_{t} \sim q(\mathbf{x}_{t} \mid \mathbf{x}_{0})"],
        ),
        ("to a mean sqrt(1 - beta_t) x_{t-1}.", [r"\sqrt{1 - \beta_{t}} \mathbf{x}_{t-1}"]),
        ("for 0 <= s < t, else", [r"0 \le s < t"]),
        ("t in 2..T", [r"2 , \dots, T"]),
        ("N(0, I)", [r"\mathcal{N}(0,\mathbf{I})"]),
        ("(1 - u) x_0 + u eps", [r"\left(1 - u\right) \mathbf{x}_{0} + u \boldsymbol\epsilon"]),
        ("(B, T - 1), eps[t - 1], in [-1, 1], A chain of 50 steps, I see a T and an x", []),
        ("a low-variance form of 28 x images", []),
    ],
)
def test_formulas_are_found_in_a_text_and_nothing_else_is(text, formulas):
    parts = list(plain_formulas.split(text))
    assert [latex for latex, is_formula in parts if is_formula] == formulas
    words = "".join(part for part, is_formula in parts if not is_formula)
    assert bool(formulas) or words == text


def test_a_docstring_becomes_a_text_with_links_formulas_and_sources():
    lines = docstrings.as_rest(
        "A look at `q_sample` and `x0`.\n\n    x_t = a / b\n\nSource: Ho et al. (2020), equation 4."
    )
    assert r":py:obj:`q_sample <ddpm_tutorial.q_sample>`" in lines[0]
    assert "``x0``" in lines[0]
    assert lines[2:5] == [".. math::", "", r"   \mathbf{x}_{t} = \frac{a}{b}"]
    assert ":cite:t:`ho2020denoising`" in lines[-2]


def test_a_line_of_its_own_has_to_be_a_formula():
    with pytest.raises(ValueError, match="no formula: for example, this"):
        docstrings.as_rest("Words.\n\n    for example, this\n\nMore.")


# Of each function whose docstring has a formula on a line of its own, arguments to call it with.
T, S = torch.tensor([7, 40]), torch.tensor([3, 20])
SCHEDULE = NoiseSchedule.cosine(50)
DRAW = torch.Generator().manual_seed(0)
X0, X_T, EPS, V, SLOPE = torch.randn(5, 2, 1, generator=DRAW, dtype=torch.float64)
CALLS = {
    "eps_from_x0": lambda f: f(SCHEDULE, X_T, T, X0),
    "kl_normal": lambda f: f(X0, X_T, EPS, V),
    "langevin_step": lambda f: f(X0, SLOPE, 0.3, EPS),
    "normal_entropy": lambda f: f(X0),
    "normal_log_prob": lambda f: f(X0, X_T, EPS),
    "noise_share": lambda f: f(SCHEDULE.alpha_bar_at(T)[:, None]),
    "posterior_variance": lambda f: f(SCHEDULE, T, S)[:, None],
    "q_marginal": lambda f: f(SCHEDULE, X0, T),
    "q_posterior": lambda f: f(SCHEDULE, X0, X_T, T, S)[0],
    "q_sample": lambda f: f(SCHEDULE, X0, T, EPS),
    "reverse_drift": lambda f: f(X0, SLOPE, 0.7, 0.4),
    "tweedie": lambda f: f(SCHEDULE, X_T, T, SLOPE),
    "unmasking_share": lambda f: f(SCHEDULE, T, S)[:, None],
    "v_from_x0_and_eps": lambda f: f(SCHEDULE, T, X0, EPS),
    "x0_from_eps": lambda f: f(SCHEDULE, X_T, T, EPS),
    "x0_from_v": lambda f: f(SCHEDULE, X_T, T, V),
    "x0_from_velocity": lambda f: f(SCHEDULE, X_T, T, V),
}
# What the formulas call these; an entry of a table of the schedule is looked up at t and s.
VALUES = {
    "alpha_bar": SCHEDULE.alpha_bar,
    "beta": 0.7,
    "eps": EPS,
    "eta": 0.4,
    "I": 1.0,
    "log_variance": X0,
    "pi": torch.pi,
    "r": (SCHEDULE.alpha_bar[T] / SCHEDULE.alpha_bar[S])[:, None],
    "s": S[:, None],
    "score": SLOPE,
    "slope": SLOPE,
    "step": 0.3,
    "t": T[:, None],
    "v": V,
    "velocity": V,
    "x": X0,
    "x0": X0,
    "x_t": X_T,
    "z": EPS,
}
# Of the functions of normal distributions, whose arguments are logarithms of variances.
OWN = {
    "kl_normal": {"mean_1": X0, "mean_2": EPS, "r": (X_T - V).exp(), "variance_2": V.exp()},
    "normal_entropy": {"variance": X0.exp()},
    "normal_log_prob": {"x": X0, "mean": X_T, "variance": EPS.exp()},
    "noise_share": {"alpha_bar": SCHEDULE.alpha_bar[T][:, None]},
}


def formulas_of(function):
    """What stands on lines of its own in a docstring."""
    blocks = re.split(r"\n\s*\n", inspect.getdoc(function))
    return [block for block in blocks if block.startswith("    ")]


def test_every_formula_of_a_docstring_is_compared_with_its_function():
    public = (getattr(ddpm_tutorial, name) for name in ddpm_tutorial.__all__)
    functions = [one for one in public if inspect.isfunction(one)]
    # `score` needs a network: its formula is the equation that the book checks.
    assert {one.__name__ for one in functions if formulas_of(one)} == {*CALLS, "score"}


@pytest.mark.parametrize("name", CALLS)
def test_a_function_computes_what_its_docstring_says(name):
    function = getattr(ddpm_tutorial, name)
    (formula,) = formulas_of(function)
    latex = plain_formulas.displayed(formula.rpartition(" = ")[2])
    said = EVALUATE["evaluate"](EVALUATE["tokens"](latex), {}, VALUES | OWN.get(name, {}))
    computed = CALLS[name](function)
    if isinstance(computed, tuple):  # mean and variance of a normal distribution
        computed = torch.stack(computed)
    assert computed.shape == said.shape
    torch.testing.assert_close(computed, said, rtol=1e-10, atol=1e-12)
