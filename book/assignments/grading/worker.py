"""The untrusted half of the grader: runs a student's cells, and calls their functions when asked.

Started by sandbox.py in a process of its own. It speaks JSON lines over two pipes, and nothing it
says is believed but as an answer. All walls of walls.py are raised before the first line of the
student runs.
"""

import ast
import base64
import contextlib
import io
import json
import linecache
import os
import sys
import traceback
import types
from importlib import import_module
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves it out
import walls


def raise_walls(settings: dict[str, Any]) -> list[str]:
    """All walls that can be raised from inside; the names of those that stand, the tree included.

    The libraries are loaded on the way, after what they need and before what hides where they lie.
    """
    on_linux, raised = sys.platform.startswith("linux"), []
    if settings["tree"]:
        walls.own_folder(settings["folder"], settings["folder_size"])
        raised.append("a tree of its own")
    if settings["user"] is not None:
        walls.become(settings["user"])
    if on_linux:
        walls.drop_powers()
    if not settings.get("probe"):
        sys.path.insert(0, settings["package"])
        import_module("torch").set_num_threads(1)
        import_module("ddpm_tutorial")
        import_module("matplotlib.pyplot")  # which `plotting` would load only when it draws
    walls.limit_resources(settings["memory"], settings["file_size"], settings["processes"])
    if on_linux:
        writable = [settings["folder"], "/dev/null"]
        if version := walls.restrict_files(settings["readable"], writable):
            raised.append(f"Landlock {version}")
        if walls.refuse_calls():
            raised.append("system calls")
    return raised


def run_cell(source: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Execute a cell as a notebook would: the last value as text, the open figures as PNG.

    Lines that are not Python (%magic, !shell) end in an error, as they should.
    """
    name = f"<cell {len(linecache.cache)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    body = ast.parse(source).body
    last = body[-1] if body else None
    if isinstance(last, ast.Expr):
        body.pop()
    exec(compile(ast.Module(body, []), name, "exec"), namespace)
    text = None
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
        text = None if value is None else repr(value)[:10_000]
    return {"text": text, "figures": figures()}


def figures() -> list[str]:
    """All open figures as PNG in base64; they are closed."""
    if "matplotlib.pyplot" not in sys.modules:
        return []
    pyplot = import_module("matplotlib.pyplot")
    found = []
    for number in pyplot.get_fignums()[:10]:
        content = io.BytesIO()
        pyplot.figure(number).savefig(content, dpi=80)
        found.append(base64.b64encode(content.getvalue()).decode())
    pyplot.close("all")
    return found


def answer(request: dict[str, Any], link: Any, namespace: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked. Whatever the student's code raises, SystemExit too, is an answer."""
    try:
        if request["do"] == "run":
            return {"value": link.encode(run_cell(request["source"], namespace))}
        function = link.resolve(request["function"])
        arguments, keywords = link.decode(request["arguments"]), link.decode(request["keywords"])
        if request["do"] in ("gradient", "trial", "answers", "through_network", "recorded"):
            arguments = [function, *arguments]
            function = getattr(import_module("ddpm_tutorial.coursework"), request["do"])
        if request["do"] == "state_dict":
            function = function.state_dict
        return {"value": link.encode(function(*arguments, **keywords))}
    except BaseException as error:
        return {"error": type(error).__name__, "message": in_words(error)[:2000]}


def in_words(error: BaseException) -> str:
    """What an error says, with the line of the student's that it comes from."""
    said = ""
    with contextlib.suppress(BaseException):  # an error of a student's own may raise when asked
        said = str(error)
        if type(error).__name__ != "Wrong":
            lines = traceback.extract_tb(error.__traceback__)
            files = [line.filename for line in lines if line.filename.startswith("<cell ")]
            explain = import_module("ddpm_tutorial.coursework").explain
            if type(error) is NotImplementedError and not said and files[:1] != files[-1:]:
                return f"{lines[-1].name}, which is used here, has not been answered"
            said = explain(error, files[-1] if files else "")
    return said


def main() -> None:
    """Answer requests until the pipe closes."""
    settings = json.loads(sys.argv[1])
    raised = raise_walls(settings)
    if settings.get("probe"):
        print(json.dumps(raised))
        return
    if raised != settings["walls"]:
        sys.exit(f"of the walls {settings['walls']} only {raised} stand")
    wire = import_module("wire")
    link = wire.Wire(os.fdopen(settings["requests"], "rb"), os.fdopen(settings["replies"], "wb"))
    link.send({"ready": True})

    namespace = link.namespace = types.ModuleType("__main__").__dict__
    while True:
        try:
            request = link.receive()
        except EOFError:
            return
        reply = answer(request, link, namespace)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):  # the student may have closed or replaced it
                stream.flush()
        link.send(reply)


if __name__ == "__main__":
    main()
