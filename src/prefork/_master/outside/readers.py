"""The stacks of one worker from outside: a reader is asked, and its answer is checked."""

from __future__ import annotations

import json
import os
import selectors
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._records.record import record
from .start import start

if TYPE_CHECKING:
    from ..births.processes import Processes
    from ..births.start import Interpreter
    from ..loop import Master

AVAILABLE = sys.version_info >= (3, 14)
"""Whether the standard library can read stacks. An application with another interpreter has the reader say so."""

DEADLINE = 5.0
"""Seconds that a reader has, which needs a tenth of one on an idle machine."""

_LONGEST = 1 << 20
"""Bytes of an answer: a reader has the workers' user, and so may be anyone's program."""


@record
class Outside:
    """What a reader has found.

    `gil`: the thread that keeps the GIL, 0 for none, None where it is not known. `waits`: the main thread waits for it.
    `complete`: callers beyond calls from C are there, too. `why`: why there are no stacks.
    """

    text: str = ""
    gil: int | None = None
    complete: bool = False
    why: str = ""
    waits: bool = False


class Readers:
    """The readers of one daemon's workers."""

    def __init__(self, master: Master, processes: Processes, interpreter: Interpreter) -> None:
        self._master = master
        self._processes = processes
        self._interpreter = interpreter
        self.waiting = 0
        """Answers that have not come."""

    def read(self, pid: int, done: Callable[[Outside], None]) -> None:
        """Call `done` with the stacks of a process of ours, or with why there are none; at the deadline at last."""
        reader, writer = -1, -1
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            child = start(self._interpreter, ("stacks", str(pid)), writer)
        except OSError as error:
            if reader >= 0:
                os.close(reader)
            done(Outside(why=f"no reader could be started: {error.strerror}"))
            return
        finally:
            if writer >= 0:
                os.close(writer)
        self._processes.add_helper(child)
        self.waiting += 1

        def answered(found: Outside) -> None:
            self.waiting -= 1
            done(found)

        _Answer(self._master, reader, answered)
        self._master.later(DEADLINE, lambda: self._processes.kill_helper(child))


class _Answer:
    """One answer, read as it comes. The reader's end ends it, and so does the kill at the deadline."""

    def __init__(self, master: Master, reader: int, done: Callable[[Outside], None]) -> None:
        self._master = master
        self._reader = reader
        self._done = done
        self._data = bytearray()
        os.set_blocking(reader, False)
        master.selector.register(reader, selectors.EVENT_READ, self._read)

    def _read(self) -> None:
        data = os.read(self._reader, 65536)
        self._data += data
        if not data or len(self._data) > _LONGEST:
            self._master.selector.unregister(self._reader)
            os.close(self._reader)
            self._done(parsed(bytes(self._data)))


def parsed(data: bytes) -> Outside:
    """Return what a reader has answered, of whatever bytes."""
    if not data:
        return Outside(why=f"the reader has ended without an answer, or had none in {DEADLINE:g} s")
    try:
        answer = json.loads(data) if len(data) <= _LONGEST else None
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"error": str(why)}:
            return Outside(why=why[:500])
        case {"text": str(text), "gil": int(gil), "waits": bool(waits), "complete": bool(complete)}:
            return Outside(text, gil, complete, waits=waits)
    return Outside(why="the reader has answered something else than stacks")
