"""From the text to the API: inline code that is a name of the package leads to its entry.

Only the first of a name in its section does, so that a page does not fill with links. Below a
numbered equation, the link to its check names the code that computes it.
"""

from typing import Any

from api_facts import code_of_equations
from docstrings import PACKAGE, entry_of
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

# In these, code is what it is: a title, a link, a list of names that another page explains.
NOT_IN = nodes.title | nodes.reference | nodes.caption
# Of these words the text also means something else: a command, a split, a variable.
AMBIGUOUS = {"T", "match", "sample", "score", "train", "walk"}
MOST = 3  # names below an equation


def address_of(env: BuildEnvironment, name: str) -> tuple[str, str] | None:
    """The page of a name's entry, and its place there."""
    found = env.domaindata["py"]["objects"].get(f"{PACKAGE}.{name}")
    return (found.docname, found.node_id) if found else None


def link_to(app: Sphinx, page: str, name: str, *content: nodes.Node) -> nodes.reference | None:
    """A link from a page to the entry of a name; None for a name that has none."""
    place = address_of(app.env, name)
    if place is None:
        return None
    uri = f"{app.builder.get_relative_uri(page, place[0])}#{place[1]}"
    return nodes.reference("", "", *content, internal=True, refuri=uri, classes=["api"])


def section_of(node: nodes.Node) -> nodes.Element:
    """The section below the title of the page that a node stands in."""
    sections: list[nodes.Element] = []
    parent = node.parent
    while parent is not None:
        if isinstance(parent, nodes.section):
            sections.append(parent)
        parent = parent.parent
    return sections[-2:][0]  # the last of them is the page itself


def link_names(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link the first of each name in a section."""
    if app.builder.format != "html" or page.startswith("reference/"):
        return
    seen = set()
    for code in list(doctree.findall(nodes.literal)):
        text = code.astext()
        name = entry_of(text)
        parent, above = code.parent, []
        while parent is not None:
            above.append(parent)
            parent = parent.parent
        if not name or text in AMBIGUOUS or any(isinstance(one, NOT_IN) for one in above):
            continue
        place = (name, id(section_of(code)))
        link = link_to(app, page, name, code.deepcopy()) if place not in seen else None
        if link:
            code.parent.replace(code, link)
            seen.add(place)


def name_code(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Name the code beside the link to an equation's check, which `checked_equations` has put."""
    for said in doctree.findall(nodes.paragraph):
        if "checked" not in said["classes"]:
            continue
        check = said[0]["refuri"].partition("#check-")[2]
        names = code_of_equations().get(check, [])[:MOST]
        links = [link_to(app, page, name, nodes.literal("", name)) for name in names]
        for link in filter(None, reversed(links)):
            said.insert(0, [link, nodes.Text(" ")])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", link_names)
    app.connect("doctree-resolved", name_code, priority=700)  # after checked_equations
    return {"parallel_read_safe": True, "parallel_write_safe": True}
