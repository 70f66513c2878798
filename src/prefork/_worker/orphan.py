"""A worker whose master has died: how long it serves, where its output goes, and how it ends.

It has a thread for that, which needs neither the main thread nor a master.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from .._linux import lifeline, steering
from .._linux.drain_request import signals_for

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from .draining.drain import Drain

_POLL = 0.1
"""Seconds between two looks for a master: nothing reports that one has come."""
_AFTER_MASTER = 1.0
"""Seconds after the deadline of a drain in which a master kills this process first, and logs it."""


@dataclass(slots=True)
class Patience:
    """How long an orphan serves on, in seconds: `alone` without a master, `beside` masters that are not ready yet."""

    alone: float
    beside: float

    def spend(self, seconds: float, has_master: bool) -> bool:
        """Count seconds that have passed; return whether it still serves on."""
        if has_master:
            self.beside -= seconds
        else:
            self.alone -= seconds
        return min(self.alone, self.beside) > 0


@dataclass(slots=True)
class Captured:
    """The captured streams of a worker: pipes that the master reads.

    The worker has the read ends, too, so that no write of its can fail because there is no reader. `instead`: the
    streams to use when there is no master.
    """

    readers: list[int]
    instead: list[int]

    def release(self) -> None:
        """Put the other streams in the place of standard output and error, and copy there what the pipes still hold.

        The pipes stay open: the application may have given them to children.
        """
        for number, (reader, other) in enumerate(zip(self.readers, self.instead, strict=True), 1):
            os.dup2(other if _is_intact(other) else _null(), number)
            os.set_blocking(reader, False)
        self.copy()

    def copy(self) -> None:
        """Copy what the pipes hold, without waiting for more, or for a stream that takes no more."""
        for number, reader in enumerate(self.readers, 1):
            try:
                while _takes_more(number) and (data := os.read(reader, select.PIPE_BUF)):
                    os.write(number, data)
            except OSError:
                pass  # EAGAIN: that is all. Otherwise the other stream has lost its reader, too.


class Orphan:
    """This process, should it become an orphan. Made in the mold, so that workers share the memory.

    The rest is of the worker's order. `queues`: its sockets that no process outside of the daemon holds.
    `drain_timeout`: seconds that its drain may last.
    """

    def __init__(self, drain: Drain) -> None:
        self.drain = drain
        self.patience = Patience(0.0, 0.0)
        self.drain_timeout = 0.0
        self.queues: list[socket.socket] = []
        self.captured: Captured | None = None
        self._report: Callable[[], object] = drain.on_request

    def begin(self, _number: int = 0, _frame: object = None) -> None:
        """Begin to live without a master: the handler of the lifeline's signal, which comes with each master's end."""
        if self.drain.orphaned:
            return
        self.drain.orphaned = True
        if self.captured is not None:
            self.captured.release()
        if not self.drain.requested:  # Else its successor, another orphan, has its queues.
            self._report, self.drain.on_request = self.drain.on_request, self._requested
        # Not threading.Timer: each fork would have to make that module's locks again.
        _thread.start_new_thread(self._live, ())

    def _live(self) -> None:
        self._serve_on()
        end = monotonic() + self.drain_timeout + _AFTER_MASTER
        while (rest := end - monotonic()) > 0:
            self._copy()
            select.select([], [], [], min(rest, _POLL))
        os.killpg(os.getpid(), signal.SIGKILL)  # This process leads a session.

    def _serve_on(self) -> None:
        """Wait for the request to drain, and make it when the patience is spent."""
        waiting = select.poll()
        waiting.register(self.drain.descriptor, select.POLLIN)
        last = monotonic()
        while not waiting.poll(_POLL * 1000):
            self._copy()
            now = monotonic()
            if not self.patience.spend(now - last, self._has_master()):
                self._refuse_new()
                self._ask()
            last = now

    def _requested(self) -> None:
        """Refuse new connections before the server can find its queue empty: the request has just come.

        Without a master, and with patience left, it is a person who ends this worker alone: the others use the queue.
        """
        if self._has_master():
            self._refuse_new()
        self._report()

    def _has_master(self) -> bool:
        return not lifeline.cut(self.drain.lifeline)

    def _copy(self) -> None:
        if self.captured is not None:
            self.captured.copy()

    def _ask(self) -> None:
        """Request the drain here, since the main thread may not run handlers, and as a master would."""
        self.drain.request()
        for number in signals_for(os.getpid()):
            os.kill(os.getpid(), number)

    def _refuse_new(self) -> None:
        """Let no further connection begin where no master does it: when this process ends, it would be reset."""
        for queue in self.queues:
            try:
                steering.turn_away(queue)
            except OSError:
                pass  # Not supported by this kernel: the connections of the last moment are lost.


def _is_intact(stream: int) -> bool:
    """Return whether a stream has a reader, or needs none."""
    return _state(stream, 0) == 0


def _takes_more(stream: int) -> bool:
    """Return whether PIPE_BUF bytes can be written without waiting."""
    return _state(stream, select.POLLOUT) == select.POLLOUT


def _state(stream: int, events: int) -> int:
    waiting = select.poll()
    waiting.register(stream, events)
    return sum(state for _, state in waiting.poll(0))


def _null() -> int:
    return os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
