"""Run a submission: the student's cells in a process of their own, the tests here."""

import ast
import builtins
import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from .cells import cell_of
from .feedback import legible
from .sandbox import Limits, Sandbox, SandboxEnded, StandIn, StudentError

FROM_OUTSIDE = {"__name__": "__main__"}
RESTARTS = 6
PNG = re.compile(r"iVBOR[A-Za-z0-9+/=]{,3000000}")  # in base64


class ExecuteApart(NbGraderPreprocessor):
    """In nbgrader's chain, in the place of its own Execute, which trusts the notebook."""

    def preprocess(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Fill the outputs of all cells."""
        run_notebook(nb)
        return nb, resources


def run_notebook(nb: NotebookNode) -> None:
    """Execute all cells and keep what they put out; a test that fails has an error as its output.

    The limits are those of the assignment, in the notebook's metadata `grading`, which comes from
    the instructor's version.
    """
    about = nb.metadata["grading"]
    limits = Limits(call=about["call_seconds"], total=about["total_seconds"])
    trusted: dict[str, Any] = dict(FROM_OUTSIDE)
    with Student(limits, about["names"]) as student:
        for cell in nb.cells:
            if cell.cell_type != "code":
                continue
            kind = cell_of(cell.metadata, cell.source).kind
            cell.outputs, cell.execution_count = [], None
            if kind == "given":
                exec(compile(cell.source, "<given>", "exec"), trusted)
            with _errors_put_out_by(cell):
                if kind == "test":
                    run_test(cell.source, trusted, student)
                else:
                    cell.outputs.extend(student.run(cell.source))


class Student:
    """A student's process that comes up again when it has died, without the cell that ended it."""

    def __init__(self, limits: Limits, names: Sequence[str]) -> None:
        self.limits, self.names = limits, names
        self.deadline = time.monotonic() + limits.total
        self.cells: list[str] = []
        self.restarts = 0
        self.sandbox: Sandbox | None = None

    def __enter__(self) -> "Student":
        return self

    def __exit__(self, *_: object) -> None:
        if self.sandbox is not None:
            self.sandbox.close()

    def run(self, source: str) -> list[NotebookNode]:
        """Execute a cell: what it put out."""
        outputs: list[NotebookNode] = []
        sandbox = self._living()
        try:
            try:
                found = sandbox.run(source)
            finally:
                if text := sandbox.output():
                    outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))
        except StudentError as error:
            self.cells.append(source)
            return [*outputs, error_output(error)]
        except SandboxEnded as error:
            return [*outputs, error_output(error)]
        self.cells.append(source)
        figures = found.get("figures")
        for picture in figures[:10] if isinstance(figures, list) else []:
            if isinstance(picture, str) and PNG.fullmatch(picture):
                outputs.append(nbformat.v4.new_output("display_data", data={"image/png": picture}))
        if isinstance(found.get("text"), str):
            last = {"text/plain": legible(found["text"], 10_000)}
            outputs.append(nbformat.v4.new_output("display_data", data=last))
        return outputs

    def call(self, *request: Any, **how: Any) -> Any:
        """As `Sandbox.call`, in a process that is alive."""
        return self._living().call(*request, **how)

    def _living(self) -> Sandbox:
        if self.sandbox is not None and self.sandbox.process.poll() is None:
            return self.sandbox
        if self.sandbox is not None:
            self.sandbox.close()
            self.restarts += 1
        if self.restarts > RESTARTS:
            raise SandboxEnded(f"it was ended {RESTARTS} times before, and is not started again")
        if time.monotonic() >= self.deadline:
            raise SandboxEnded(f"all of it took longer than {self.limits.total:.0f} seconds")
        begun = time.monotonic()
        self.sandbox = Sandbox(self.limits, self.names, begun + self.limits.start)
        self.deadline += time.monotonic() - begun  # loading torch is not the student's time
        self.sandbox.deadline = self.deadline
        for source in list(self.cells):
            try:
                self.sandbox.run(source)
            except StudentError:
                pass  # it raised the first time, too
            except SandboxEnded:  # this is what ended the process before
                self.cells.remove(source)
                raise
        return self.sandbox


def run_test(source: str, trusted: dict[str, Any], student: Student) -> None:
    """Execute a test with stand-ins for all names that are the student's."""
    namespace = dict(trusted)
    for name in free_names(source) - namespace.keys() - set(dir(builtins)):
        namespace[name] = StandIn(student, {"name": name})
    exec(compile(source, "<test>", "exec"), namespace)


def free_names(source: str) -> set[str]:
    """The names that a cell uses and does not define."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    defined = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    defined |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    defined |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {(name.asname or name.name).partition(".")[0] for name in node.names}
    return {node.id for node in names if isinstance(node.ctx, ast.Load)} - defined


def error_output(error: Exception) -> NotebookNode:
    """An error as a notebook keeps it: what it says, and nothing of the test that raised it."""
    name, message = type(error).__name__, str(error) or "no message"
    if isinstance(error, StudentError):
        name, _, message = message.partition(": ")
        if name == "NotImplementedError" and not message.strip():
            message = "this part has not been answered"
    name, message = legible(name, 100), legible(message, 4000)
    output: NotebookNode = nbformat.v4.new_output(
        "error", ename=name, evalue=message, traceback=[f"{name}: {message}"]
    )
    return output


@contextlib.contextmanager
def _errors_put_out_by(cell: NotebookNode) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cell.outputs.append(error_output(error))
