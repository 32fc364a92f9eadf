"""The notebooks as they are committed: executed once from the top, described, and portable."""

import ast
import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from docutils import nodes
from docutils.utils import new_document
from IPython.core.interactiveshell import InteractiveShell
from sphinxcontrib import katex
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
BOOK, CHECKS = ROOT / "book", ROOT / "tests" / "equations"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
EQUATIONS = runpy.run_path(str(ROOT / "tools" / "write_equations_page.py"))
EQUATIONS |= runpy.run_path(str(CHECKS / "chapters.py"))
LATEX = runpy.run_path(str(CHECKS / "latex.py"))


def code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def figure_cells(path):
    """The cells that put out a picture, be it pixels or vectors."""
    for cell in code_cells(path):
        if any(kind.startswith("image/") for o in cell.outputs for kind in o.get("data", {})):
            yield cell


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_executed_once_from_top_to_bottom(path):
    for number, cell in enumerate(code_cells(path), start=1):
        # A cell whose output is a progress bar is stored without it, and so without its number.
        bar = "remove-output" in cell.metadata.get("tags", [])
        assert cell.execution_count == (None if bar else number)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_has_a_description(path):
    for cell in figure_cells(path):
        assert len(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")) > 30
    for cell in code_cells(path):
        for output in cell.outputs:
            if "image/png" in (page := output.get("data", {}).get("text/html", "")):
                assert len(re.search(r'role="img" aria-label="([^"]*)"', page)[1]) > 30


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_is_vectors_for_both_themes(path):
    for cell in figure_cells(path):
        for output in cell.outputs:
            kinds = {kind for kind in output.get("data", {}) if kind.startswith("image/")}
            assert kinds <= {"image/svg+xml"}, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_has_a_number_and_a_caption(path):
    for cell in figure_cells(path):
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        assert len(figure.get("caption", "")) > 60, cell.source
        assert re.fullmatch("fig-[a-z0-9-]+", figure.get("name", "")), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_figure_is_told_by_a_colour_that_the_dark_theme_turns(path):
    """What is black on the light page is white on the dark one."""
    turned = re.compile(r"\b(black|white)(\)| (line|curve|bell|hump|bar|dot|point))")
    for cell in figure_cells(path):
        said = cell.metadata["mystnb"]
        for words in (said["figure"]["caption"], said["image"]["alt"]):
            assert not turned.search(words), words


def test_no_two_figures_have_the_same_name():
    figures = [
        c.metadata.get("mystnb", {}).get("figure", {}) for p in NOTEBOOKS for c in code_cells(p)
    ]
    names = [figure["name"] for figure in figures if "name" in figure]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_exercises_stand_in_the_order_of_their_stars_each_before_its_solution(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    stars = re.findall(r"^```\{exercise\} (★+) ", text, re.MULTILINE)
    assert stars == sorted(stars, key=len)
    exercises = re.findall(r"^```\{exercise\}.*\n:label: (.*)$", text, re.MULTILINE)
    assert re.findall(r"^```\{solution(?:-start)?\} (.*)$", text, re.MULTILINE) == exercises
    assert len(stars) in (0, len(exercises))
    assert text.count("```{solution-start}") == text.count("```{solution-end}")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_folded_says_what_it_is_and_hides_no_result(path):
    opening = re.compile(
        r'^<details class="algebra">\n<summary>\w.{10,}</summary>\n\n', re.MULTILINE
    )
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            folds = re.findall(r"<details.*?\n\n</details>(?=\n\n|\Z)", cell.source, re.DOTALL)
            assert len(folds) == cell.source.count("<details") == cell.source.count("</details>")
            assert all(opening.match(fold) for fold in folds)
            assert "$$ (eq-" not in "".join(folds)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_an_error_or_a_warning(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_cell_prints_is_one_output(path):
    for cell in code_cells(path):
        assert sum(output.output_type == "stream" for output in cell.outputs) <= 1


ASSIGNMENTS = sorted((BOOK / "assignments" / "source").glob("*/*.ipynb"))


@pytest.mark.parametrize("path", [*NOTEBOOKS, *ASSIGNMENTS], ids=lambda path: path.stem)
def test_the_package_is_imported_from_its_root_and_its_faces(path):
    faces = {"ddpm_tutorial", "ddpm_tutorial.plotting"}
    if path in ASSIGNMENTS:
        faces.add("ddpm_tutorial.coursework")
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("ddpm_tutorial"):
                assert node.module in faces
            if isinstance(node, ast.Import):
                assert not {a.name for a in node.names if a.name.startswith("ddpm_tutorial.")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_and_leave_the_path_alone(path):
    install, imports, *cells = code_cells(path)
    assert "import" in imports.source
    for cell in cells:
        assert len(cell.source.splitlines()) <= 17
    assert not any("sys.path" in cell.source for cell in [install, imports, *cells])


FIRST = runpy.run_path(str(ROOT / "tools" / "write_first_cells.py"))
ADDRESS = runpy.run_path(str(BOOK / "_ext" / "repository.py"))
HEADER = BOOK / "assignments" / "header.ipynb"


@pytest.mark.parametrize("path", [*NOTEBOOKS, HEADER], ids=lambda path: path.stem)
def test_the_first_cell_installs_the_package_from_the_address_of_the_repository(path):
    first = nbformat.read(path, as_version=4).cells[0]
    written = FIRST["first_cell"](ADDRESS["setting"]())
    kept = ("cell_type", "id", "metadata", "source", "outputs")
    assert {k: first[k] for k in kept} == {k: written[k] for k in kept}, "run make first-cells"


@pytest.mark.parametrize("address", ["", "https://github.com/owner/repo"])
def test_the_first_cell_installs_where_the_package_is_missing_and_nowhere_else(
    address, monkeypatch, capsys
):
    asked = []
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.register_magic_function(asked.append, magic_name="pip")
    cell = FIRST["first_cell"](address)
    assert shell.run_cell(cell.source).success
    assert (asked, *capsys.readouterr()) == ([], "", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert shell.run_cell(cell.source).success
    assert asked == [f'install --quiet "ddpm-tutorial @ git+{address or "REPOSITORY"}"']
    assert ("in the place of REPOSITORY" in cell.source) == (not address)


def test_writing_the_first_cells_again_changes_nothing_and_numbers_what_was_run():
    path = BOOK / "10-sampling.ipynb"
    before = nbformat.read(path, as_version=4)
    after = FIRST["with_first_cell"](before, FIRST["first_cell"](ADDRESS["setting"]()))
    FIRST["number"](after)
    assert after == before
    later = FIRST["with_first_cell"](before, FIRST["first_cell"]("https://github.com/owner/repo"))
    assert later.cells[1:] == before.cells[1:]
    del later.cells[0]
    FIRST["number"](later)
    assert [c.execution_count for c in later.cells if c.cell_type == "code"][:3] == [1, None, 3]


@pytest.mark.parametrize(
    ("config", "address"),
    [
        ('title: x\nrepository:\n  url: ""\n', ""),
        ("repository:\n  url:\n", ""),
        (
            "repository:\n  url: https://github.com/owner/repo  # ours\n",
            "https://github.com/owner/repo",
        ),
        ("repository:\n  # ours\n  branch: main\n\n  url: 'https://a/b'\nhtml:\n", "https://a/b"),
        ("repository:\n  branch: main\nother:\n  url: https://a/b\n", ""),
        ("title: x\n", ""),
    ],
)
def test_the_address_in_the_settings_is_found_without_a_library(config, address):
    assert ADDRESS["setting"](config) == address
    settings = (ROOT / "_config.yml").read_text(encoding="utf-8")
    assert ADDRESS["setting"]() == yaml.safe_load(settings)["repository"]["url"]


def test_the_table_of_contents_names_every_notebook():
    contents = (BOOK / "_toc.yml").read_text(encoding="utf-8")
    assert all(f"file: {path.stem}\n" in contents for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_names_a_folder_of_some_machine(path):
    for cell in code_cells(path):
        texts = [output.get("text", "") for output in cell.outputs]
        for output in cell.outputs:
            texts += [v for k, v in output.get("data", {}).items() if k.startswith("text/plain")]
        for text in [cell.source, *texts]:
            assert not re.search(r"""(^|[\s"'=(])(/|~/|[A-Za-z]:\\)[A-Za-z.]""", text)


def test_every_numbered_equation_has_one_check_and_every_check_an_equation():
    printed = sorted(EQUATIONS["numbered_equations"]())
    assert printed == sorted(mark.args[0].value for _, mark in markers_of_the_checks())
    measured = json.loads((CHECKS / "measured.json").read_text(encoding="utf-8"))
    assert printed == sorted(measured)


def test_every_check_was_written_for_the_equation_that_the_book_prints():
    apart = []
    for check, mark in markers_of_the_checks():
        equation = EQUATIONS["numbered_equations"]()[mark.args[0].value]
        written_for = {k.arg: ast.literal_eval(k.value) for k in mark.keywords if k.arg == "latex"}
        if written_for != (printed := {"latex": LATEX["fingerprint"](equation.latex)}):
            apart.append(
                f"{equation.label} in book/{equation.page} is not the equation that {check} was "
                f"written for. Compare the two. When they say the same, write "
                f'latex="{printed["latex"]}" in the marker of the check.'
            )
    assert not apart, "\n".join(apart)


def test_a_fingerprint_sees_what_is_said_and_not_how_it_is_set():
    fingerprint = LATEX["fingerprint"]
    plain = r"x = \tfrac12 \big(a_{t-1}\,b - c\big)^2"
    for same in (
        r"x=\frac{1}{2}\left( a_{t - 1} b - c \right)^{2} .",
        r"\begin{aligned} x ={}& \dfrac12\Big(a_{t-1}\;b \\ &\quad - c\Big)^2 , \end{aligned}",
    ):
        assert fingerprint(same) == fingerprint(plain)
    for other in ("a_{t-1}", "- c", "^2", r"\tfrac12"):
        assert fingerprint(plain.replace(other, "")) != fingerprint(plain)
    assert fingerprint(plain.replace("-1", "+1")) != fingerprint(plain)


def test_every_label_is_of_the_form_that_is_looked_for():
    """Else an equation could carry a number that the test above does not see."""
    for page in [*NOTEBOOKS, *BOOK.glob("*.md")]:
        text = EQUATIONS["text_of"](page.stem)
        seen = {equation.label for equation in EQUATIONS["equations_of"](page.stem)}
        assert set(re.findall(r"\$\$\s*\(([^)]*)\)\s*$", text, re.MULTILINE)) == seen
        assert ":label: eq" not in text
        assert "\\tag{" not in text


def test_the_page_of_checks_is_what_the_measurements_say():
    measured = json.loads((CHECKS / "measured.json").read_text(encoding="utf-8"))
    page = (BOOK / "equations.md").read_text(encoding="utf-8")
    assert page == EQUATIONS["write"](measured), "run make equations"


def test_a_numbered_equation_links_to_its_check_and_no_other_does():
    extension = runpy.run_path(str(BOOK / "_ext" / "checked_equations.py"))
    page = new_document("06-elbo")
    page += nodes.math_block("", "1 = 1", label="eq-elbo")
    page += nodes.math_block("", "2 = 2")
    builder = SimpleNamespace(format="html", get_relative_uri=lambda _, page: f"{page}.html")
    extension["link_equations"](SimpleNamespace(builder=builder), page, "06-elbo")
    kinds = [type(child) for child in page]
    assert kinds == [nodes.math_block, nodes.paragraph, nodes.math_block]
    (link,) = page.findall(nodes.reference)
    assert link["refuri"] == "equations.html#check-eq-elbo"
    assert "(check-eq-elbo)=\n" in (BOOK / "equations.md").read_text(encoding="utf-8")


@pytest.fixture
def colab(monkeypatch):
    monkeypatch.syspath_prepend(BOOK / "_ext")
    spec = importlib.util.spec_from_file_location("colab", BOOK / "_ext" / "colab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/owner/some.repo.git", "https://github.com/owner/some.repo"),
        ("https://name:key@github.com/owner/repo/", "https://github.com/owner/repo"),
        ("git@github.com:owner/repo.git", "https://github.com/owner/repo"),
        ("ssh://git@github.com/owner/repo", "https://github.com/owner/repo"),
        ("https://gitlab.com/owner/repo", ""),
        ("https://github.com.evil.org/owner/repo", ""),
        ("/home/someone/github.com/owner/repo", ""),
        ("", ""),
    ],
)
def test_the_address_for_colab_is_that_of_the_clone(colab, remote, address):
    assert colab.github(remote) == address


def test_links_to_colab_lead_to_the_notebooks_of_the_clone(colab, monkeypatch):
    role = colab.ColabRole()
    role.text = "assignments/student/01-gaussians.ipynb"
    monkeypatch.setattr(colab, "address", lambda: "git@github.com:owner/repo.git")
    ((link,), _) = role.run()
    path = link["refuri"].removeprefix(f"{colab.COLAB}/github/owner/repo/blob/{colab.BRANCH}/")
    assert (BOOK.parent / path).is_file()
    config = SimpleNamespace(html_theme_options={"launch_buttons": {"thebe": False}})
    colab.add_buttons(None, config)
    buttons = config.html_theme_options["launch_buttons"]
    assert (buttons["colab_url"], buttons["binderhub_url"]) == (colab.COLAB, colab.BINDER)
    monkeypatch.setattr(colab, "address", lambda: "/somewhere/else")
    ((link,), _) = role.run()
    assert link["refuri"] == colab.COLAB


def test_the_address_in_the_settings_comes_before_that_of_the_clone(monkeypatch):
    names = ADDRESS["address"].__globals__
    monkeypatch.setitem(names, "origin", lambda: "https://github.com/fork/repo")
    monkeypatch.setitem(names, "setting", str)
    assert ADDRESS["address"]() == "https://github.com/fork/repo"
    monkeypatch.setitem(names, "setting", lambda: "https://github.com/owner/repo")
    assert ADDRESS["address"]() == "https://github.com/owner/repo"


def markers_of_the_checks():
    """Every pytest.mark.equation(...) of tests/equations, with the place of its test."""
    for path in sorted(CHECKS.glob("test_*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            for mark in getattr(function, "decorator_list", []):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
                    yield f"tests/equations/{path.name}::{function.name}", mark


def test_the_style_sheet_for_formulas_is_of_the_version_that_sets_them():
    sheet = (BOOK / "_static" / "katex" / "katex.min.css").read_text(encoding="utf-8")
    assert f'content:"{katex.katex_version}"' in sheet
    named = set(re.findall(r"url\((fonts/[\w-]+\.woff2)\)", sheet))
    kept = {f"fonts/{path.name}" for path in (BOOK / "_static" / "katex" / "fonts").iterdir()}
    assert kept == named


def test_a_number_keeps_its_unit_on_its_line():
    after = runpy.run_path(str(BOOK / "_ext" / "formulas.py"))["AFTER_NUMBER"]
    for text in ("66 % of the digits", " % of the digits", "costs (4 points, marked by a person)"):
        assert len(after.findall(text)) == 1
    for text in ("of 66 digits", "x % y", "4 %d", "at 4 points"):
        assert not after.search(text)


# Like Node between bind and listen, only longer: the file is there, nobody answers yet.
LATE_SERVER = """
import socket, sys, time
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(sys.argv[1])
time.sleep(0.5)
server.listen()
server.accept()[0].sendall(b"here")
"""


def test_the_server_for_formulas_is_asked_until_it_listens(monkeypatch, tmp_path):
    start = runpy.run_path(str(BOOK / "_ext" / "formulas.py"))["start_server"]
    command = lambda socket: [sys.executable, "-c", LATE_SERVER, str(socket)]  # noqa: E731
    monkeypatch.setattr(katex.KaTeXServer, "build_command", command)
    process, line = start(tmp_path, timeout=30)
    with process, line:
        line.settimeout(30)
        assert line.recv(4) == b"here"


def test_a_server_for_formulas_that_never_listens_is_stopped_and_named(monkeypatch, tmp_path):
    start = runpy.run_path(str(BOOK / "_ext" / "formulas.py"))["start_server"]
    command = lambda socket: [sys.executable, "-c", "import time; time.sleep(60)"]  # noqa: E731
    monkeypatch.setattr(katex.KaTeXServer, "build_command", command)
    with pytest.raises(katex.KaTeXError, match=r"0\.1"):
        start(tmp_path, timeout=0.1)
