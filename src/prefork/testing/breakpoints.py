"""`breakpoint()` in a mold or a worker of a test: the debugger on the terminal of pytest.

Workers are sessions of their own without a terminal, and their standard streams are the log. So the debugger opens the
terminal by its path, which `pytest --pdb` leaves in the environment.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import pdb
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from .._worker import activity
from .command import TERMINAL

_BEAT = 1.0
"""Seconds between two signs of life of a worker that waits for a person."""


def stop(*_arguments: Any, **_keywords: Any) -> None:
    """Stop in the debugger, in the caller's frame; without a terminal only say in the log where the breakpoint is."""
    frame = sys._getframe(1)
    terminal = os.environ.get(TERMINAL)
    if not terminal:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        print(f"breakpoint at {place}: passed over; run pytest --pdb at a terminal to stop there", file=sys.stderr)
        return
    _Debugger(terminal).set_trace(frame)


class _Debugger(pdb.Pdb):
    """A debugger on a terminal that other processes may use as well, one at a time."""

    def __init__(self, terminal: str) -> None:
        # Not as its controlling terminal: Ctrl-C there is for pytest.
        reader, writer = (os.open(terminal, mode | os.O_NOCTTY | os.O_CLOEXEC) for mode in (os.O_RDONLY, os.O_WRONLY))
        self._terminal = open(reader)  # noqa: SIM115 - While the debugger is used.
        super().__init__(stdin=self._terminal, stdout=open(writer, "w"), nosigint=True, readrc=False)  # noqa: SIM115
        self.prompt = f"(pdb, pid {os.getpid()}) "

    def interaction(self, *arguments: Any) -> None:
        """Ask for commands; meanwhile the worker counts as one that makes progress."""
        fcntl.flock(self._terminal, fcntl.LOCK_EX)
        try:
            with _beating():
                super().interaction(*arguments)
        finally:
            fcntl.flock(self._terminal, fcntl.LOCK_UN)


@contextmanager
def _beating() -> Iterator[None]:
    """Report progress for the worker, and for its event loop, which waits in the debugger: it would count as hung."""
    over, shared = Event(), activity._shared
    loop = shared.loop_thread if shared is not None else 0

    def beat() -> None:
        if shared is not None and loop:
            shared.loop_thread = _thread.get_ident()
        while not over.wait(_BEAT):
            activity.beat()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if shared is not None and loop:
            shared.loop_thread = loop
