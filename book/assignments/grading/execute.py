"""Run a submission: the student's cells in a process of their own, the tests here."""

import ast
import builtins
import contextlib
import html
import io
import re
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from ddpm_tutorial import coursework
from ddpm_tutorial.coursework_calls import MOVED, NO_GRADIENT
from ddpm_tutorial.coursework_networks import ASKED, CALLED
from ddpm_tutorial.coursework_values import Wrong, hints_to_mistakes

from .cells import cell_of, free_names
from .feedback import HIDDEN, legible
from .sandbox import Limits, Sandbox, SandboxEnded, StandIn, StudentError

FROM_OUTSIDE = {"__name__": "__main__"}
RESTARTS = 6
STATUS = re.compile(r" \(exit status [^)]*\)")
FOR_OTHERS = "for other numbers than those that the test shows"
WRONG = "the answer is not right"
CHECKED = {  # how `examine` and `check` begin what they say, and that without the numbers
    "the answer has shape": "the answer has another shape than it should have",
    "the answer is not finite": "the answer is not finite everywhere",
    "the answer is None": "the answer is None: did you forget to return it",
    "the answer is a ": "the answer is no tensor, no number, and no list of these",
    MOVED: "the answer has moved to another device: leave it where the arguments are",
    "return ": "the answer is not one thing for each that is asked for",
    coursework.CHANGED: "the function changes what it is given: work on copies",
    coursework.OWN_DRAWS: coursework.OWN_DRAWS,
    NO_GRADIENT: "no gradient reaches an argument: was it detached?",
    coursework.PART_OF_GRADIENT: "only a part of a gradient gets through: was something detached?",
    coursework.NO_NUMBER: "a gradient is not a number: is there a division by 0 that is not used?",
    coursework.WHOLE: coursework.WHOLE,
    coursework.FLOATING: coursework.FLOATING,
    coursework.OF_TYPE: "the answer has another type than it should have",
    coursework.MISSING: "in your dictionary something is missing",
    coursework.MORE: coursework.MORE,
    coursework.NAMED: "an entry of your dictionary has another shape or type than it should have",
    ASKED: "the network is not asked as it should be: no oftener than is needed, with t "
    "in 1 to T, int64, of shape (B,)",
    CALLED: "the inner part is not called as it should be: once, with what comes down",
}
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

    Twice. The first run is for the points: whole tests, of which nothing is shown that the
    student's code could have chosen. The second is for the student to read: its process runs the
    cells without ever getting a hidden input, so that none can be in what they put out. Of the
    tests that failed it is asked the halves that are not hidden, for what there is to say.

    The limits are those of the assignment, in the notebook's metadata `grading`, which comes from
    the instructor's version.
    """
    about = nb.metadata["grading"]
    limits = Limits(call=about["call_seconds"], total=about["total_seconds"])
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    with Student(limits, about["names"]) as student:
        failed = failed_tests(cells, student)
    trusted: dict[str, Any] = dict(FROM_OUTSIDE)
    with Student(limits, about["names"], searches=True) as student:
        for number, cell in enumerate(cells):
            kind = cell_of(cell.metadata, cell.source).kind
            if kind == "given" and failed:
                exec(compile(cell.source, "<given>", "exec"), trusted)
            if kind != "test":
                with _errors_put_out_by(cell):
                    cell.outputs.extend(student.run(cell.source))
            elif number in failed:
                with _errors_put_out_by(cell):
                    run_test(HIDDEN.sub("", cell.source), trusted, student)
                    raise failed[number]


def failed_tests(cells: Sequence[NotebookNode], student: "Student") -> dict[int, Exception]:
    """Run all cells and tests: which of the cells are tests that fail, and what may be said."""
    trusted: dict[str, Any] = dict(FROM_OUTSIDE)
    failed: dict[int, Exception] = {}
    for number, cell in enumerate(cells):
        kind = cell_of(cell.metadata, cell.source).kind
        if kind == "given":
            exec(compile(cell.source, "<given>", "exec"), trusted)
        if kind == "test":
            try:
                run_test(cell.source, trusted, student)
            except Exception as error:
                failed[number] = without_inputs(error, cell.source)
        else:
            with contextlib.suppress(SandboxEnded):
                student.run(cell.source)
    return failed


class Student:
    """A student's process that comes up again when it has died, without the cell that ended it."""

    def __init__(self, limits: Limits, names: Sequence[str], searches: bool = False) -> None:
        self.limits, self.names, self.searches = limits, names, searches
        self.deadline = time.monotonic() + limits.patience * limits.total
        self.spent = 0.0  # by processes that have ended
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
            self.spent += self.sandbox.spent()
            self.restarts += 1
        if self.restarts > RESTARTS:
            raise SandboxEnded(f"it was ended {RESTARTS} times before, and is not started again")
        if self.spent >= self.limits.total or time.monotonic() >= self.deadline:
            raise SandboxEnded(f"all of it took longer than {self.limits.total:.0f} seconds")
        begun = time.monotonic()
        start = self.limits.patience * self.limits.start
        self.sandbox = Sandbox(self.limits, self.names, begun + start)
        self.deadline += time.monotonic() - begun  # loading torch is not the student's time
        self.sandbox.deadline, self.sandbox.budget = self.deadline, self.limits.total - self.spent
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
    with contextlib.redirect_stdout(io.StringIO()):  # the instructor's terminal is not the place
        exec(compile(source, "<test>", "exec"), namespace)


def without_inputs(error: Exception, source: str) -> Exception:
    """The error of a test in words that the student's code did not choose.

    It may have got hidden inputs, now or before, and would be shown what it says.
    """
    if isinstance(error, SandboxEnded):
        return SandboxEnded(STATUS.sub("", str(error)))
    lines = traceback.extract_tb(error.__traceback__)
    (line,) = [at.lineno or 0 for at in lines if at.filename == "<test>"][:1] or [0]
    if line <= source.partition("### BEGIN HIDDEN TESTS")[0].count("\n") + 1:
        return AssertionError(
            "it failed among the hidden tests, and not without them: does the answer depend on "
            "what it was asked before?"
        )
    if isinstance(error, StudentError):
        name, _, text = str(error).partition(": ")
        if name == "Wrong" and (said := _without_numbers(text)):  # of a gradient, found over there
            return Wrong(f"{said} {FOR_OTHERS}")
        known = isinstance(getattr(builtins, name, None), type)
        return StudentError(f"{name if known else 'Exception'}: raised {FOR_OTHERS}")
    texts = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    if lines[-1].filename in ("<test>", "<given>") and isinstance(error, AssertionError):
        return error
    plain = {*texts, *hints_to_mistakes()}  # nothing that the student's code could have chosen
    hint, elsewhere = getattr(error, "hint", None), getattr(error, "elsewhere", None)
    if hint not in plain:
        safe = elsewhere is not None and elsewhere.removeprefix(coursework.ELSEWHERE) in plain
        hint = elsewhere if safe else None
    return Wrong(f"{_without_numbers(str(error)) or WRONG} {FOR_OTHERS}", hint)


def _without_numbers(said: str) -> str | None:
    of_one = re.sub(r"^result \d of \d: ", "", said)
    return next((words for kind, words in CHECKED.items() if of_one.startswith(kind)), None)


def hint_output(hint: str) -> NotebookNode:
    """A hint, folded: a page shows it to whoever opens it."""
    inside = html.escape(legible(hint, 4000))
    folded = f"<details><summary>A hint</summary>{inside}</details>"
    data = {"text/html": folded, "text/plain": f"Hint: {legible(hint, 4000)}"}
    output: NotebookNode = nbformat.v4.new_output("display_data", data=data)
    return output


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
        if hint := getattr(error, "hint", None):
            cell.outputs.append(hint_output(hint))
