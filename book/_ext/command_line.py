"""``.. command:: train`` writes the options of a command of `ddpm-tutorial`, as its help does."""

import inspect
import re
from dataclasses import MISSING, fields
from types import NoneType
from typing import Any, get_args, get_type_hints

from docstrings import paragraph
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from ddpm_tutorial import cli

COMMANDS = {"train": cli.Train, "sample": cli.Sample, "evaluate": cli.Evaluate}


def value_of(hint: Any) -> str:
    """What an option is given: one of some words, or a kind of value; empty for a switch."""
    base, *marks = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
    words = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), "")
    if words:
        return str(words)
    kinds = [one for one in get_args(base) if one is not NoneType] or [base]
    if all(isinstance(one, str) for one in kinds):
        return f"{{{','.join(kinds)}}}"
    if base is bool:
        return ""
    many = " ..." if Ellipsis in kinds else ""
    return f"{kinds[0].__name__.upper()}{many}"


def name_of(name: str, hint: Any) -> str:
    """The word for an option, as it is typed."""
    named = [getattr(mark, "name", None) for mark in getattr(hint, "__metadata__", ())]
    return "--" + next(filter(None, named), name.replace("_", "-"))


def said_with_code(text: str) -> str:
    """A paragraph in which options are code, and keep their two dashes."""
    return paragraph(re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)", r"`\1`", text))


def options(command: type) -> list[str]:
    """The options of a command, as reStructuredText."""
    said = ModuleAnalyzer.for_module(command.__module__).find_attr_docs()
    hints = get_type_hints(command, include_extras=True)
    lines = []
    for field in fields(command):  # type: ignore[arg-type]
        name, value = name_of(field.name, hints[field.name]), value_of(hints[field.name])
        switch = f"{name}, --no-{name[2:]}" if not value else f"{name} {value}"
        text = " ".join(" ".join(said[command.__name__, field.name]).split())
        default = field.default
        if default is MISSING:
            text += " Required."
        elif default is not None and value:
            shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
            text += f" Default: {shown}."
        elif not value:
            text += f" Default: {'yes' if default else 'no'}."
        lines += [f".. option:: {switch}", "", f"   {said_with_code(text)}", ""]
    return lines


class Command(SphinxDirective):
    """Called by Sphinx where a page asks for the options of a command."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """What the command does, then its options in their order."""
        command = COMMANDS[self.arguments[0]]
        self.env.note_dependency(inspect.getfile(command))
        paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
        lines = [f".. program:: ddpm-tutorial {self.arguments[0]}", ""]
        for text in paragraphs:
            lines += [said_with_code(text), ""]
        box = nodes.Element()
        self.state.nested_parse(StringList(lines + options(command), "options"), 0, box)
        return box.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("command", Command)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
