"""A process of its own for a student's code, and stand-ins for the functions defined there.

The tests of an assignment run here, in the grader, where no student's code is ever executed: it
could replace `assert`, torch, or the answer. What is called is a stand-in, which sends the
arguments to the student's process and hands back what comes: numbers, which then are right or not.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import matplotlib
import psutil

from . import tree, wire
from .package import PACKAGE, copy_package


@dataclass(frozen=True)
class Limits:
    """What one submission may use: seconds of processor time, bytes and processes.

    Processor time, so that a busy machine gives the same grades. For what waits without using any,
    the clock on the wall has the last word: at `patience` times as many seconds.
    """

    call: float = 20.0  # for a cell, and for one call of a function
    total: float = 110.0
    start: float = 60.0  # for Python and torch to come up
    patience: float = 10.0
    memory: int = 8 * 2**30  # of addresses; importing torch alone reserves half of it
    resident: int = 3 * 2**30
    file_size: int = 50 * 2**20
    processes: int = 64
    folder: int = 200 * 2**20  # of all files together
    entries: int = 200_000  # of lists in one answer; a tensor counts as one
    output: int = 100_000


class Until(NamedTuple):
    """How far a request may go: in seconds of processor time, and on the wall."""

    processor: float
    wall: float


class StudentError(Exception):
    """The student's code raised; the message is what it said."""


class SandboxEnded(Exception):
    """The student's process is gone; the message says why."""


class Sandbox:
    """One process that runs a student's cells. Use as a context manager."""

    trusted = False  # whether to go on without walls
    searches = False  # whether a wrong answer is asked for more, to say how it is wrong

    def __init__(self, limits: Limits, names: Sequence[str], deadline: float) -> None:
        walls = tree.walls_for(self.trusted)
        self.limits, self.deadline = limits, deadline
        self.budget, self._used, self._loaded = float("inf"), 0.0, 0.0
        self.callbacks: list[Any] = []
        self.reason = ""
        self.printed, self._collecting = b"", threading.Lock()
        self._unread = bytearray()
        self.place = Path(tempfile.mkdtemp(prefix="submission-"))
        self.folder, package = self.place / "work", self.place / "package"
        self.folder.mkdir()
        for fonts in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
            shutil.copy(fonts, self.folder)  # or each process would look for all fonts anew
        copy_package(package / "ddpm_tutorial", names)
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        os.set_blocking(self._requests, False)  # whoever does not read must not stop the grader
        user = tree.stranger()
        if user is not None and walls.bwrap is None:
            os.chmod(self.place, 0o755)
            os.chown(self.folder, user, user)
        assets = str(PACKAGE / "assets")
        settings = {
            "tree": walls.bwrap is not None,
            "walls": walls.up,
            "user": user,
            "folder": str(self.folder),
            "package": str(package),
            "readable": [*tree.readable_folders(), str(package), assets],
            "memory": limits.memory,
            "file_size": limits.file_size,
            "folder_size": limits.folder,
            "processes": limits.processes,
            "requests": requests,
            "replies": replies,
        }
        home = str(self.folder)
        around = tree.surround(walls.bwrap, home, [str(package), assets])
        self.process = subprocess.Popen(
            [*around, *tree.worker(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(requests, replies),
            cwd=self.folder,
            env={
                "PATH": os.defpath,
                "MPLBACKEND": "agg",
                "OMP_NUM_THREADS": "1",
                "TORCH_COMPILE_DISABLE": "1",  # torch.compile gives back what it is given
                "USER": "student",
                **dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"), home),
            },
            start_new_session=True,
        )
        os.close(requests)
        os.close(replies)
        threading.Thread(target=self._collect_output, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            self._receive(self._until(limits.start))  # it says that it is ready
        except SandboxEnded as error:
            self.close()
            raise SandboxEnded(
                f"it did not start: {error} {self.output().strip()[-500:]}"
            ) from None
        self._measure()
        self._loaded = self._used  # loading torch is not the student's time
        self.budget = limits.total
        for file in (package / "ddpm_tutorial").rglob("*.py"):
            file.unlink()  # all is loaded, and nobody need read it

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all that it started, and remove its folder."""
        self._kill("")
        self.process.wait()
        for end in (self._requests, self._replies):
            with contextlib.suppress(OSError):
                os.close(end)
        shutil.rmtree(self.place, ignore_errors=True)

    def spent(self) -> float:
        """Seconds of processor time that the student's code has used."""
        return self._used - self._loaded

    def run(self, source: str) -> dict[str, Any]:
        """Execute a cell: its last value as text, and its figures. Raises as `call` does."""
        self.printed = b""
        found = self._ask({"do": "run", "source": source})
        return found if isinstance(found, dict) else {}

    def output(self) -> str:
        """What was printed since the last cell began, cut to what a person would read."""
        until = time.monotonic() + 0.05  # for what prints without end
        while self._printed_more() and time.monotonic() < until:
            time.sleep(0.001)
        text = self.printed.decode("utf-8", errors="replace")
        return text + ("\n(and so on)" if len(self.printed) >= self.limits.output else "")

    def call(
        self,
        function: dict[str, Any],
        arguments: Sequence[Any],
        keywords: dict[str, Any],
        do: str = "call",
    ) -> Any:
        """Call a function of the student's with plain values, tensors, stand-ins or functions.

        Raises StudentError if it raised or its answer cannot be read, SandboxEnded if it took too
        long, took too much, or ended the process.
        """
        self.callbacks.clear()
        message = {
            "do": do,
            "function": function,
            "arguments": self._encode(list(arguments)),
            "keywords": self._encode(keywords),
        }
        return self._ask(message)

    def _ask(self, message: dict[str, Any]) -> Any:
        if self.process.poll() is not None:
            raise SandboxEnded(self.reason or "the process has ended")
        until = self._until(self.limits.call)
        self._send(message, until)
        while True:
            reply = self._receive(until)
            try:
                if "callback" in reply:
                    with alarm(until.processor - self._clock()):
                        answer = self._answer(reply)
                    self._send(answer, until)
                elif "error" in reply:
                    raise StudentError(f"{reply['error']}: {reply['message']}")
                else:
                    return self._decode(reply["value"])
            except (LookupError, ValueError, TypeError, RuntimeError, OverflowError) as error:
                raise StudentError(f"the answer cannot be read ({error})") from None

    def _answer(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Call a function of the test's own; what it raises is the student's to handle."""
        try:
            function = self.callbacks[reply["callback"]]
            value = function(*self._decode(reply["arguments"]), **self._decode(reply["keywords"]))
            return {"value": self._encode(value)}
        except SandboxEnded:
            raise
        except Exception as error:
            return {"failed": f"{type(error).__name__}: {error}"}

    def _encode(self, value: Any) -> Any:
        def other(value: Any) -> dict[str, Any]:
            if isinstance(value, StandIn):
                return value.function
            if callable(value):
                self.callbacks.append(value)
                return {"callback": len(self.callbacks) - 1}
            raise TypeError(f"a {type(value).__name__} cannot be sent to a student's function")

        return wire.encode(value, other)

    def _decode(self, message: Any) -> Any:
        def other(kept: dict[str, Any]) -> StandIn:
            name = str(kept["type"])  # so that messages name what the student returned
            if not name.isidentifier():
                name = "object"
            kind: type[StandIn] = type(name, (StandIn,), {})
            return kind(self, {"kept": int(kept["kept"])})

        return wire.decode(message, other)

    def _send(self, message: dict[str, Any], until: Until) -> None:
        line = memoryview(json.dumps(message).encode() + b"\n")
        try:
            while line:
                self._wait(until, [], [self._requests])
                with contextlib.suppress(BlockingIOError):
                    line = line[os.write(self._requests, line[: 2**16]) :]
        except OSError:
            raise SandboxEnded(self._why()) from None

    def _clock(self) -> float:
        """Processor time of the student's processes, and of this thread, which answers them."""
        return self._used + time.thread_time()

    def _until(self, seconds: float) -> Until:
        wall = time.monotonic() + self.limits.patience * seconds
        return Until(self._clock() + seconds, min(wall, self.deadline))

    def _check_time(self, until: Until) -> None:
        if self.spent() > self.budget or time.monotonic() >= self.deadline:
            self._kill(f"all of it took longer than {self.limits.total:.0f} seconds")
        elif self._clock() > until.processor or time.monotonic() > until.wall:
            self._kill(
                f"it took longer than {self.limits.call:.0f} seconds: "
                "is there a loop that does not end?"
            )
        else:
            return
        raise SandboxEnded(self.reason)

    def _wait(self, until: Until, reading: list[int], writing: list[int]) -> None:
        """Until one of these can be read or written. Ends the process that takes too long."""
        while True:
            self._check_time(until)
            left = min(0.1, until.wall - time.monotonic())
            if any(select.select(reading, writing, [], max(left, 0.0))):
                return

    def _receive(self, until: Until) -> dict[str, Any]:
        end = self._unread.find(b"\n")
        while end < 0:
            self._wait(until, [self._replies], [])
            more = os.read(self._replies, 2**20)
            if not more:
                raise SandboxEnded(self._why())
            end = more.find(b"\n")
            if end >= 0:
                end += len(self._unread)
            self._unread += more
            if len(self._unread) > wire.LONGEST:
                self._kill("the answer is too large")
                raise SandboxEnded(self.reason)
        self._check_time(until)  # answers sent ahead need no waiting
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        try:
            if line.count(b",") + line.count(b"[") > self.limits.entries:
                self._kill("the answer has too many entries")
                raise SandboxEnded(self.reason)
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._kill("the process sent something that is not an answer")
            raise SandboxEnded(self.reason)
        return message

    def _why(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        return self.reason or (
            f"the process ended (exit status {self.process.returncode}): did the code end it?"
        )

    def _kill(self, reason: str) -> None:
        if self.process.poll() is None:
            self.reason = self.reason or reason
            family: list[psutil.Process] = []
            with contextlib.suppress(psutil.Error):
                family = psutil.Process(self.process.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            for process in family:  # also those that left the group
                with contextlib.suppress(psutil.Error):
                    process.kill()
            self.process.wait()  # so that everyone who asks sees that it is gone

    def _collect_output(self) -> None:
        assert self.process.stdout is not None
        while True:
            select.select([self.process.stdout], [], [])
            with self._collecting:  # read and kept: `output` must not look in between
                chunk = os.read(self.process.stdout.fileno(), 2**16)
                self.printed += chunk[: max(self.limits.output - len(self.printed), 0)]
            if not chunk:
                return

    def _printed_more(self) -> bool:
        """Whether something printed is on its way. The worker sends it on before it answers."""
        assert self.process.stdout is not None
        with self._collecting:
            return bool(select.select([self.process.stdout], [], [], 0)[0])

    def _measure(self) -> None:
        """Bring up to date how much processor time the process and its children have used."""
        used = 0.0
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            for process in [parent, *parent.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    used += sum(process.cpu_times()[:4])  # its own, and those of ended children
        self._used = max(self._used, used)

    def _watch(self) -> None:
        """End the process when it and its children together take too much."""
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            while self.process.poll() is None:
                family = [parent, *parent.children(recursive=True)]
                if len(family) > self.limits.processes:
                    self._kill(f"it started more than {self.limits.processes} processes")
                memory = 0
                for process in family:
                    with contextlib.suppress(psutil.Error):
                        memory += process.memory_info().rss
                if memory > self.limits.resident:
                    gigabytes = self.limits.resident / 2**30
                    self._kill(f"it took more than {gigabytes:.0f} GiB of memory")
                self._measure()
                time.sleep(0.05)


class StandIn:
    """In the grader, for a function or another object in the student's process."""

    def __init__(self, sandbox: Any, function: dict[str, Any]) -> None:
        self.sandbox, self.function = sandbox, function

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it where it is."""
        return self.sandbox.call(self.function, arguments, keywords)

    def gradient(self, *arguments: Any, of: int, mixed: bool = False) -> Any:
        """`ddpm_tutorial.coursework.gradient`, computed where the function is."""
        how = {"of": of, "mixed": mixed}
        return self.sandbox.call(self.function, arguments, how, do="gradient")

    def trial(self, *arguments: Any) -> Any:
        """`ddpm_tutorial.coursework.trial`, where the function is: it gets copies of the test's.

        What is changed or the same is judged by the values, here.
        """
        found = self.sandbox.call(self.function, arguments, {}, do="trial")
        whole = isinstance(found, list) and len(found) == 3 and isinstance(found[1], list)
        if not whole or len(found[1]) != len(arguments):
            raise StudentError("the answer cannot be read (not that of a trial)")
        return found

    def answers(self, cases: Sequence[Any]) -> list[Any]:
        """`ddpm_tutorial.coursework.answers`, where the function is; None for what fails.

        It asks nothing in the run for the points: an odd call could end the process.
        """
        found: Any = None
        if self.sandbox.searches:
            with contextlib.suppress(StudentError, SandboxEnded):
                found = self.sandbox.call(self.function, (cases,), {}, do="answers")
        whole = isinstance(found, list) and len(found) == len(cases)
        return found if whole else [None] * len(cases)

    def through_network(self, *arguments: Any) -> Any:
        """`ddpm_tutorial.coursework.through_network`, where the function is."""
        found = self.sandbox.call(self.function, arguments, {}, do="through_network")
        if not isinstance(found, list) or len(found) != 2:
            raise StudentError("the answer cannot be read (not that of a network)")
        return found

    def recorded(self, name: str, *arguments: Any) -> Any:
        """`ddpm_tutorial.coursework.recorded`, where the function is."""
        found = self.sandbox.call(self.function, (name, *arguments), {}, do="recorded")
        if not isinstance(found, list) or not all(isinstance(call, list) for call in found):
            raise StudentError("the answer cannot be read (not that of a record)")
        return found

    def state_dict(self) -> Any:
        """The weights of a network, as values: what the student's process says that they are."""
        return self.sandbox.call(self.function, (), {}, do="state_dict")


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what uses more processor time. In a program's first thread only."""

    def ring(*_: object) -> NoReturn:
        raise TimeoutError("it takes too long")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
