"""Ctrl-C, and the system's own wish that a program end: first ask, then insist."""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

# `uv run` and the launchers of several processes hand a Ctrl-C on that has arrived already.
SAME_KEY_PRESS = 0.5  # seconds
NOTICE = b"\nStopping after this step, to save it. Ctrl-C again stops at once.\n"


class StopRequest:
    """Inside, the first Ctrl-C is only noted in `asked`; a second one ends at once.

    So that a step is never cut in two, and what is saved can be gone on with to the same bits. The
    system's SIGTERM, and the SIGHUP of a window that is closed, count as well. What whoever started
    the program had it ignore, as `nohup` does, stays ignored.
    """

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # where no signal arrives
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows lacks the last
            wish = getattr(signal, name, None)
            if wish is not None and signal.getsignal(wish) not in (signal.SIG_IGN, None):
                self._before[wish] = signal.signal(wish, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for wish, handler in self._before.items():
            signal.signal(wish, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self.asked, self._since = True, now
            if sys.__stderr__ is not None:
                # Not print: the signal may have come in the middle of another line. And whoever
                # read the screen may be gone.
                with suppress(OSError, ValueError):
                    os.write(sys.__stderr__.fileno(), NOTICE)
        elif now - self._since > SAME_KEY_PRESS:
            raise KeyboardInterrupt
