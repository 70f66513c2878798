"""Lines on their way to the access log: the writes are few, wait for no reader, and follow within a second."""

from __future__ import annotations

import _thread
import asyncio
import os
import sys
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...._errors import SystemFailure
from .output import Output

if TYPE_CHECKING:
    from ...._worker.handle import Worker

_MOST = 4096
"""Lines that wait for a reader that has stalled; further ones are lost, and counted."""
_PATIENCE = 1.0
"""Seconds that a worker waits for such a reader at its end."""
_QUIET = 10.0
"""Seconds between two messages about a log that takes no lines."""


class Batches:
    """The lines of one worker, until they are written."""

    def __init__(self, path: str, worker: Worker[Any]) -> None:
        board = worker._assignment.board
        self._key = worker.key
        self._lines: deque[bytes] = deque()
        self._stalled = False
        self._missing = 0
        self._said = 0.0
        self._pid = os.getpid()
        self.output = Output(path, lambda: 0 if board is None else board.log_turn, self._lost)

    def close(self) -> None:
        """Write what is left, for the end of the worker."""
        if self._pid == os.getpid():  # Else a child that the application has forked: the lines are its parent's.
            self._end()

    def _end(self) -> None:
        end = monotonic() + _PATIENCE
        while not self._written() and (rest := end - monotonic()) > 0:
            self.output.wait(rest)
        self._missing += len(self._lines)
        if self._missing:
            self._say(f"{self._missing} lines were lost")

    def _add(self, line: bytes) -> None:
        if self._stalled and len(self._lines) >= _MOST:
            self._missing += 1
        else:
            self._lines.append(line)

    def _written(self) -> bool:
        """Write all; return False if there is no room."""
        if self.output.must_reopen:
            try:
                self.output.reopen()
            except SystemFailure as error:
                self._say(f"{error}; continuing in the file that is open")
        before = self._missing
        self._stalled = not self.output.write(self._lines)
        if not self._stalled and 0 < self._missing == before and monotonic() - self._said > _QUIET:
            self._say(f"lines are written again ({self._missing} were lost)")
            self._missing = 0
        return not self._stalled

    def _lost(self, count: int, error: OSError) -> None:
        if not self._missing:
            self._say(f"cannot be written: {error.strerror}; requests go on, lost lines are counted")
        self._missing += count

    def _say(self, text: str) -> None:
        self._said = monotonic()
        with suppress(OSError, ValueError, AttributeError):  # Standard error is closed, or the same broken pipe.
            print(f"{self._key}: access log: {text}", file=sys.stderr, flush=True)


class LoopBatches(Batches):
    """The lines of a worker with an event loop: one write for all that end in one turn."""

    def __init__(self, path: str, worker: Worker[Any]) -> None:
        super().__init__(path, worker)
        self._due = False

    def add(self, line: bytes) -> None:
        """Have a line written at the end of this turn of the loop."""
        self._add(line)
        if not self._due:
            with suppress(RuntimeError):  # The loop has ended, and `close` follows.
                asyncio.get_running_loop().call_soon(self._write)
                self._due = True

    def _write(self) -> None:
        self._due = not self._written()
        if self._due:
            asyncio.get_running_loop().add_writer(self.output.descriptor, self._resume)

    def _resume(self) -> None:
        asyncio.get_running_loop().remove_writer(self.output.descriptor)
        self._write()


class ThreadBatches(Batches):
    """The lines of a worker whose threads handle a request each: one of them writes what the others add meanwhile."""

    def __init__(self, path: str, worker: Worker[Any]) -> None:
        super().__init__(path, worker)
        self._lock = _thread.allocate_lock()

    def add(self, line: bytes) -> None:
        """Write a line, and those of other threads; leave it to a thread that writes now."""
        self._add(line)
        # Again after the release: another thread may have added one, and left it to this one, just before.
        while self._lines and not self._stalled and self._lock.acquire(blocking=False):
            try:
                if not self._written():
                    _thread.start_new_thread(self._resume, ())
            except RuntimeError:  # There is no room for a thread: the next line tries again.
                self._stalled = False
                return
            finally:
                self._lock.release()

    def _end(self) -> None:
        with self._lock:
            super()._end()

    def _resume(self) -> None:
        """Write when there is room, in a thread of its own: no request is to wait for a reader that has stalled."""
        while self._stalled or self._lines:
            self.output.wait()
            with self._lock:
                self._written()
