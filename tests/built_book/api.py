"""The pages of the API: each public name once, with links from the book and from other books."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from browsing import BOOK, NAMES, PHONE, WIDE
from playwright.sync_api import expect
from sphinx.util.inventory import InventoryFile

import ddpm_tutorial

ROOT = Path(__file__).parents[2]
PACKAGE = "ddpm_tutorial"
PUBLIC = [
    name
    for name in ddpm_tutorial.__all__
    if not isinstance(getattr(ddpm_tutorial, name), ModuleType)
]
ADDRESSES = {f"{PACKAGE}.{name}" for name in PUBLIC}
PAGES = {name: (BOOK / name).read_text(encoding="utf-8") for name in NAMES}
API = {name: text for name, text in PAGES.items() if name.startswith("reference/")}


@pytest.fixture(scope="module")
def inventory():
    """What `objects.inv` has, by kind and name: project, version, address, title."""
    with (BOOK / "objects.inv").open("rb") as file:
        return InventoryFile.load(file, "", lambda _, uri: uri)


def test_every_public_name_has_one_entry():
    assert len(PUBLIC) > 200
    entries = re.findall(rf'<dt [^>]*id="{PACKAGE}\.(\w+)"', "".join(API.values()))
    assert sorted(entries) == sorted(PUBLIC)


def test_the_inventory_has_every_public_name_and_no_other_at_the_top(inventory):
    found = {name: kind for kind, names in inventory.items() for name in names if name in ADDRESSES}
    assert set(found) == ADDRESSES
    top = {
        name
        for kind, names in inventory.items()
        if kind.startswith("py:") and kind != "py:module"
        for name in names
        if re.fullmatch(rf"{PACKAGE}\.\w+", name)
    }
    assert top == ADDRESSES


def test_a_name_is_found_by_its_module_too(inventory):
    function, cls = inventory["py:function"], inventory["py:class"]
    for module, name, kind in (
        ("mathematics.forward", "q_sample", function),
        ("algorithms.sampling", "DDIM", cls),
    ):
        here, there = (kind[f"{PACKAGE}.{place}"] for place in (name, f"{module}.{name}"))
        assert here[2] == there[2]
    assert f"{PACKAGE}.NoiseSchedule.linear" in inventory["py:method"]
    assert f"{PACKAGE}.plotting.draw_digits" in function
    assert inventory["py:function"][f"{PACKAGE}.q_sample"][1] == ddpm_tutorial.__version__


def test_another_book_can_link_to_a_name(tmp_path):
    (tmp_path / "conf.py").write_text(
        'extensions = ["sphinx.ext.intersphinx"]\n'
        f'intersphinx_mapping = {{"ddpm": ("https://example.org/", "{BOOK / "objects.inv"}")}}\n',
        encoding="utf-8",
    )
    (tmp_path / "index.rst").write_text(
        "Elsewhere\n=========\n\n:py:func:`ddpm_tutorial.q_sample`, "
        ":py:class:`ddpm_tutorial.algorithms.sampling.DDIM`, "
        ":py:meth:`ddpm_tutorial.NoiseSchedule.linear`, :option:`ddpm-tutorial train --out`\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "sphinx", "-nWq", "-b", "html", str(tmp_path)]
    done = subprocess.run([*command, str(tmp_path / "html")], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    page = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="https://example\.org/([^#"]+)#([^"]+)"', page)
    assert len(links) == 4
    for name, place in links:
        assert f'id="{place}"' in PAGES[name]


def entry(page, name):
    return page.locator(f"dl:has(> dt[id='{PACKAGE}.{name}'])").first


def test_an_entry_has_signature_formula_equations_chapters_and_source(open_page):
    page = open_page(f"reference/mathematics.html#{PACKAGE}.q_sample", WIDE)
    shown = entry(page, "q_sample")
    expect(shown.locator("dt")).to_contain_text("NoiseSchedule")
    expect(shown.locator("dt")).to_contain_text("Tensor")
    expect(shown.locator(".katex-display")).to_have_count(1)
    about = shown.locator(".api-about")
    expect(about.get_by_role("link", name="(4.")).to_have_count(1)
    chapters = about.locator("a[href*='ipynb'], a[href^='../']").evaluate_all(
        "(all) => all.map((a) => a.getAttribute('href'))"
    )
    assert "../04-forward-process.html" in chapters
    source = shown.locator("details.api-source")
    expect(source.locator("pre")).to_be_hidden()
    source.locator("summary").click()
    expect(source.locator("pre")).to_contain_text("return signal * x0 + sigma * eps")


def test_an_entry_names_the_chapters_that_import_it():
    for name in ("q_sample", "kl_normal", "UNet", "SAMPLERS"):
        text = "".join(API.values())
        start = text.index(f'id="{PACKAGE}.{name}"')
        said = text[start : text.index("<details", start)]
        linked = set(re.findall(r'href="\.\./(\d\d-[\w-]+)\.html"', said))
        imports = re.compile(rf"from ddpm_tutorial import[^)]*?\b{name}\b")
        expected = set()
        for path in sorted((ROOT / "book").glob("[0-9]*.ipynb")):
            source = path.read_text(encoding="utf-8").replace('\\n",\n', " ")
            if imports.search(source):
                expected.add(path.stem)
        assert linked == expected, name


def test_a_number_on_a_page_of_the_api_shows_its_equation(open_page):
    page = open_page("reference/mathematics.html", WIDE)
    link = entry(page, "posterior_variance").locator(".api-about a[href*='#equation-']").first
    link.scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # a page that scrolls shows nothing
    link.focus()
    expect(page.get_by_role("tooltip").locator(".katex-html")).to_be_visible()


def test_code_in_a_chapter_leads_to_its_entry(open_page):
    page = open_page("04-forward-process.html", PHONE)
    link = page.locator("article p:not(.checked) a.api", has_text="q_sample").first
    link.click()
    page.wait_for_url(f"**/reference/mathematics.html#{PACKAGE}.q_sample")
    expect(page.locator(f"[id='{PACKAGE}.q_sample']")).to_be_in_viewport()


def test_a_name_is_linked_once_in_a_section():
    for name, text in PAGES.items():
        for section in re.split(r"<h2", text.partition("<article")[2])[1:]:
            prose = re.sub(r'(?s)<p class="checked">.*?</p>|<details class="sym.*', "", section)
            links = re.findall(r'class="api reference internal" href="([^"]+)"', prose)
            assert len(links) == len(set(links)), name


def test_an_equation_names_the_code_that_its_check_is_bound_to(open_page):
    page = open_page("07-kl-terms.html", WIDE)
    below = page.locator("[id='equation-eq-posterior-variance'] + p.checked")
    below.get_by_role("link", name="posterior_variance").click()
    page.wait_for_url(f"**/reference/mathematics.html#{PACKAGE}.posterior_variance")


def test_the_search_finds_a_name(open_page):
    page = open_page("search.html?q=q_posterior", WIDE)
    links = page.locator("#search-results li > a")
    expect(links.first).to_be_visible()
    found = links.evaluate_all("(all) => all.map((a) => a.getAttribute('href'))")
    assert any("reference/mathematics.html" in link for link in found)


def test_the_index_is_of_terms_and_not_of_names(open_page):
    page = open_page("genindex.html", WIDE)
    expect(page.locator("table.genindextable").get_by_text("q_posterior")).to_have_count(0)


@pytest.mark.parametrize("name", ["intro.html", "reference/mathematics.html", "search.html"])
def test_every_page_has_the_version_at_its_foot(open_page, name):
    foot = open_page(name, PHONE).locator(".bd-footer-content")
    expect(foot).to_contain_text(f"Version {ddpm_tutorial.__version__}")
    expect(foot.get_by_role("link", name="How to cite")).to_have_count(1)


def test_the_first_page_says_how_to_install_and_to_cite(open_page):
    page = open_page("intro.html", WIDE)
    expect(page.locator("pre", has_text="pip install").first).to_be_visible()
    cited = page.locator("pre", has_text="@misc{ddpm_tutorial")
    expect(cited).to_contain_text(f"Version {ddpm_tutorial.__version__}")


def test_the_changes_are_those_of_the_file(open_page):
    page = open_page("changelog.html", WIDE)
    for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            expect(page.get_by_role("heading", name=line.removeprefix("## "))).to_have_count(1)
