"""The pages of the API: ``.. api:: mathematics.forward`` writes the entries of a module.

An entry is a public name with its signature and docstring (see `docstrings`), the equations that it
computes and the chapters that use it (see `api_facts`), and its source, folded. A name has the
address that a user imports it from, `ddpm_tutorial.q_sample`; the module that it is written in
is another name for it, for those who link to this book.
"""

import ast
import html
import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from api_facts import chapters_of_names, equations_of_names
from docstrings import PACKAGE, as_rest, public_names
from docutils import nodes
from docutils.statemachine import StringList
from repository import BRANCH, github, origin
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

FLOORS = ("mathematics", "models", "algorithms", "io")
VARIABLE = re.compile(r"\._?Thing$|\._")  # of a type, and what is private
COUNTED = re.compile(r"^(id\d+)$")
NO_MEANING = "Alias for field number"  # what Python writes of the field of a tuple


class Source(nodes.General, nodes.Element):
    """Carries the source of an entry past the search, which reads the text of nodes."""


def modules() -> list[ModuleType]:
    """The modules whose names the package gives on, floor by floor."""
    floors = [import_module(f"{PACKAGE}.{floor}") for floor in FLOORS]
    inside = [one for floor in floors for one in vars(floor).values()]
    named = [one for one in inside if isinstance(one, ModuleType) and hasattr(one, "__all__")]
    order = {floor.__name__: place for place, floor in enumerate(floors)}
    named.sort(key=lambda one: (order[one.__name__.rpartition(".")[0]], one.__name__))
    return [*named, import_module(f"{PACKAGE}.errors")]


@cache
def written_in(module: ModuleType) -> dict[str, ast.stmt]:
    """The public names that a module makes, in the order of its file."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id: node for one in targets if isinstance(one, ast.Name)}
    public = getattr(module, "__all__", [name for name in found if not name.startswith("_")])
    return {name: node for name, node in found.items() if name in public}


def constant(module: ModuleType, address: str, node: ast.stmt) -> list[str]:
    """The entry of a constant: its type, its value where that is short, and what is said of it."""
    home, _, name = address.rpartition(".")
    said = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
    lines = [f".. py:data:: {name}", f"   :module: {home}"]
    value = ast.unparse(node.value)  # type: ignore[attr-defined]
    if isinstance(node, ast.AnnAssign):
        lines.append(f"   :type: {ast.unparse(node.annotation)}")
    if len(value) < 60:
        lines.append(f"   :value: {value}")
    lines += ["", *(f"   {line}" for line in as_rest("\n".join(said["", name])))]
    return lines + [f"   {line}" for line in about(address, module, node)] + [""]


def about(address: str, module: ModuleType, node: ast.stmt) -> list[str]:
    """What follows the docstring: equations, chapters, source."""
    name = address.removeprefix(f"{PACKAGE}.")
    members = [f"{name}.{one.name}" for one in getattr(node, "body", ()) if hasattr(one, "name")]
    parts = []
    labels = [label for one in (name, *members) for label in equations_of_names().get(one, ())]
    if equations := list(dict.fromkeys(labels)):
        parts.append("Checked against " + ", ".join(f":eq:`{label}`" for label in equations) + ".")
    if chapters := chapters_of_names().get(name):
        links = [f":doc:`{int(page[:2])} </{page}>`" for page in chapters]
        word = "chapter" if len(links) == 1 else "chapters"
        parts.append(f"Used in {word} {', '.join(links)}.")
    said = [".. container:: api-about", "", f"   {' '.join(parts)}", ""] if parts else []
    first = min((one.lineno for one in getattr(node, "decorator_list", ())), default=node.lineno)
    return [*said, f".. api-source:: {module.__name__} {first} {node.end_lineno}", ""]


class Api(SphinxDirective):
    """Called by Sphinx where a page asks for the entries of a module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The entries, in the order of the file."""
        module = import_module(f"{PACKAGE}.{self.arguments[0]}")
        lines = [f".. py:module:: {module.__name__}", "", f".. py:currentmodule:: {PACKAGE}", ""]
        lines += as_rest(inspect.cleandoc(module.__doc__ or ""))
        self.env.note_dependency(inspect.getfile(module))
        for name, node in written_in(module).items():
            address = f"{PACKAGE}.{name}" if name in public_names() else f"{module.__name__}.{name}"
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                kind = "autofunction" if isinstance(node, ast.FunctionDef) else "autoclass"
                lines += [f".. {kind}:: {address}", ""]
            else:
                lines += constant(module, address, node)
        box = nodes.Element()
        self.state.nested_parse(StringList(lines, module.__name__), 0, box)
        for index in box.findall(addnodes.index):
            index["entries"] = []  # the index of the book is of terms; names are in order here
        for node in box.findall(nodes.Element):  # what has no name of its own counts from 1 here
            node["ids"] = [COUNTED.sub(rf"{self.arguments[0]}-\1", one) for one in node["ids"]]
        for entry in box.findall(addnodes.desc):
            if entry.parent is box and entry["objtype"] in ("function", "data"):
                self.name_twice(entry, module)
        return box.children

    def name_twice(self, entry: addnodes.desc, module: ModuleType) -> None:
        """Let an entry be found by the module that it is written in, as a class is."""
        (address,) = entry[0]["ids"]
        other = f"{module.__name__}.{address.rpartition('.')[2]}"
        if other != address:
            domain: Any = self.env.get_domain("py")
            domain.note_object(other, entry["objtype"], address, aliased=True)


class ApiNames(SphinxDirective):
    """``.. api-names::``: all public names by their modules, each a link to its entry."""

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        lines = []
        for module in modules():
            names = [f":py:obj:`{one} <{PACKAGE}.{one}>`" for one in module.__all__]
            short = module.__name__.removeprefix(f"{PACKAGE}.")
            lines += [f":py:mod:`{short} <{module.__name__}>`", f"   {', '.join(names)}", ""]
        box = nodes.Element()
        self.state.nested_parse(StringList(lines, "names"), 0, box)
        return box.children


class ApiSource(SphinxDirective):
    """``.. api-source:: MODULE FIRST LAST``: lines of a module, folded."""

    required_arguments = 3

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        name, first, last = self.arguments[0], *map(int, self.arguments[1:])
        path = Path(inspect.getfile(import_module(name)))
        lines = path.read_text(encoding="utf-8").splitlines()[first - 1 : last]
        place = path.relative_to(Path(inspect.getfile(import_module(PACKAGE))).parents[1])
        return [Source("", code="\n".join(lines), path=place.as_posix(), lines=(first, last))]


def draw_source(translator: Any, node: Source) -> None:
    """The folded source, with a link to the repository where its address is known."""
    code = translator.highlighter.highlight_block(node["code"], "python")
    path, (first, last) = html.escape(node["path"]), node["lines"]
    said = (
        f"<code>{path}</code>, lines {first} to {last}" if last > first else f"<code>{path}</code>"
    )
    if address := github(origin()):
        href = f"{address}/blob/{BRANCH}/{path}#L{first}-L{last}"
        said = f'<a class="reference external" href="{href}">{said}</a>'
    translator.body.append(
        f'<details class="api-source"><summary>Source</summary><p>{said}</p>'
        f'<div class="highlight-python">{code}</div></details>'
    )
    raise nodes.SkipNode


def write(_: Sphinx, what: str, name: str, thing: Any, __: Any, lines: list[str]) -> None:
    """Make a page's text of a docstring; what is no part of another says where it is used."""
    lines[:] = as_rest("\n".join(lines))
    module = (
        import_module(inspect.unwrap(thing).__module__) if what in ("function", "class") else None
    )
    if module and (node := written_in(module).get(name.rpartition(".")[2])):
        lines += about(name, module, node)


def readable(_: Sphinx, *given: Any) -> tuple[str, str | None] | None:
    """The signature of a class in a form that Sphinx reads, whatever its default values are."""
    signature, returned = given[-2:]
    return (signature.replace("<factory>", "..."), returned) if signature else None


def leave_out(_: Sphinx, __: str, ___: str, thing: Any, skip: bool, ____: Any) -> bool | None:
    """Leave out what only Python has a word for."""
    return True if (getattr(thing, "__doc__", "") or "").startswith(NO_MEANING) else None


def from_elsewhere(
    _: Sphinx, __: BuildEnvironment, node: addnodes.pending_xref, shown: nodes.Element
) -> nodes.Element | None:
    """Of private types and those of other packages the name; what this one lacks is an error."""
    outside = not node["reftarget"].startswith(PACKAGE) or VARIABLE.search(node["reftarget"])
    return shown if node.get("refdomain") == "py" and outside else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.config.autodoc_default_options = {"members": True, "member-order": "bysource"}
    app.config.autodoc_typehints_format = "short"
    app.config.autodoc_preserve_defaults = True
    app.config.add_module_names = False
    app.config.toc_object_entries_show_parents = "hide"
    app.config.python_maximum_signature_line_length = 70
    app.add_node(Source, html=(draw_source, None))
    app.add_directive("api", Api)
    app.add_directive("api-names", ApiNames)
    app.add_directive("api-source", ApiSource)
    app.connect("autodoc-process-docstring", write)
    app.connect("autodoc-process-signature", readable)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("missing-reference", from_elsewhere)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
