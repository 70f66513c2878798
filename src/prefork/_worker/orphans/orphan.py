"""A worker whose master has died: how long it serves, how it ends, or how it becomes the next master's worker.

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

from ..._linux import lifeline, steering
from ..._linux.drain_request import signals_for
from .adoption import Adoption

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..assignment import Reports
    from ..draining.drain import Drain
    from .captured import Captured

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
        self.reports: Reports | None = None
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
        if self._serve_on():
            return
        end = monotonic() + self.drain_timeout + _AFTER_MASTER
        while (rest := end - monotonic()) > 0:
            self._copy()
            select.select([], [], [], min(rest, _POLL))
        os.killpg(os.getpid(), signal.SIGKILL)  # This process leads a session.

    def _serve_on(self) -> bool:
        """Wait until a master adopts this process (True), or the drain is requested; request it without patience."""
        patience, last = Patience(self.patience.alone, self.patience.beside), monotonic()
        with Adoption.at(self.drain.lifeline) as adoption:
            while not self.drain.requested:
                if adoption.wait(self.drain.descriptor, _POLL) and self._is_adopted(adoption):
                    return True
                self._copy()
                now = monotonic()
                if not patience.spend(now - last, self._has_master()):
                    self._refuse_new()
                    self._ask()
                last = now
        return False

    def _is_adopted(self, adoption: Adoption) -> bool:
        """Answer one connection of a master; return whether this process has become its worker."""
        channel = adoption.answer()
        if channel is None or self.reports is None:
            return False
        if self.drain.requested:  # It drains as an orphan, and its connection's end says so.
            channel.close()
            return False
        if self.captured is not None:
            self.captured.take_back()
        adoption.close()  # Before the next master may die: then this process listens again.
        self.drain.on_request = self._report
        self.reports.renew(channel)
        self.drain.orphaned = False
        if not self._has_master():  # It has died meanwhile, and its signal came too early.
            self.begin()
        return True

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
