"""Requests for stacks: one process at a time, without waiting for it.

A process is asked by a signal, which costs least. One that does not answer is read from outside where the interpreter
can. The signal that may crash it comes last, for one that is killed anyway, and where no reader has seen all frames.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._linux.stacks import ASK, FORCE, SIZE, create
from ..._records.record import entity, record
from ..._wire.frames import without_beneath
from ..._wire.printable import printable
from ..outside.readers import AVAILABLE, Outside
from .evidence.proc import catches

if TYPE_CHECKING:
    from ..loop import Master
    from ..outside.readers import Readers
    from ..scoreboard.board import Board

PATIENCE = 0.5
"""Seconds without any output after which a process does not respond."""

_MOST_WAITS = 4
"""How often the same time is added while the output is incomplete."""

_POLL = 0.05
"""Seconds between two reads of the size of a forced dump, which ends without a message."""


@record
class Dump:
    """A process's stacks, empty if there are none; `answered`: it wrote them from Python; `working`: its message's.

    `gil`: the thread that keeps the GIL, 0 for none, None where it is not known. `contended`: the main thread waits for
    it. `unread`: why a reader had no stacks.
    """

    stacks: str
    answered: bool
    working: tuple[int, ...] = ()
    gil: int | None = None
    unread: str = ""
    contended: bool = False


Done = Callable[[Dump], None]


@entity
class _Request:
    pid: int
    force: bool
    done: Done
    waits: int = 0
    size: int = 0
    outside: Outside | None = None
    """What a reader has found, once it was asked."""


class Dumps:
    """The stacks of one daemon's processes. Raises OSError if there is no memory for them."""

    def __init__(self, master: Master, board: Board) -> None:
        self.descriptor = create()
        self._master = master
        self._board = board
        self._queue: deque[_Request] = deque()
        self._current: _Request | None = None
        self.readers: Readers | None = None
        """Read stacks from outside; set once there are processes."""

    def close(self) -> None:
        """Drop all requests."""
        self._queue.clear()
        self._current = None
        os.close(self.descriptor)

    @property
    def under_way(self) -> bool:
        """Whether a process is to write its stacks, or a reader to answer."""
        return self._current is not None or (self.readers is not None and self.readers.waiting > 0)

    def request(self, pid: int, done: Done, *, force: bool = False) -> None:
        """Have a process write its stacks, or a reader if it does not respond.

        `force`: where that shows too little, have it write them in a way that may crash it.
        """
        self._queue.append(_Request(pid, force, done))
        self._next()

    def read(self, pid: int, done: Done) -> None:
        """Have a reader read the stacks of a process that cannot write them."""
        if self.readers is None or not AVAILABLE or not self._master.exits.holds(pid):
            done(Dump("", answered=False))
        else:
            self.readers.read(pid, lambda found: done(_of(found)))

    def answered(self, pid: int, working: tuple[int, ...]) -> None:
        """End the request of a process that has written its stacks."""
        if self._current is not None and self._current.pid == pid:
            self._end(self._current, answered=True, working=working)

    def ended(self, pid: int) -> None:
        """End the request of a process that has ended."""
        if self._current is not None and self._current.pid == pid:
            self._end(self._current, answered=False)

    def _next(self) -> None:
        while self._queue and self._current is None:
            request = self._current = self._queue.popleft()
            if self._signal(request, ASK):
                self._master.later(PATIENCE, lambda request=request: self._timed_out(request))  # type: ignore[misc]
            elif request.force and self._signal(request, FORCE):  # It still imports.
                self._master.later(_POLL, lambda request=request: self._poll_forced(request))  # type: ignore[misc]
            else:
                self._end(request, answered=False)

    def _signal(self, request: _Request, number: int) -> bool:
        """Send the signal to write; False if the process has no handler for it, or has ended."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        self._board.ask(request.pid)
        if not self._master.exits.holds(request.pid) or not catches(request.pid, number):
            return False
        self._master.exits.signal(request.pid, number)
        return True

    def _timed_out(self, request: _Request) -> None:
        if request is not self._current:
            return
        if self._written() and request.waits < _MOST_WAITS:
            request.waits += 1
            self._master.later(PATIENCE, lambda: self._timed_out(request))
        elif self.readers is not None and AVAILABLE and self._master.exits.holds(request.pid):
            self.readers.read(request.pid, lambda found: self._found(request, found))
        else:
            self._force(request)

    def _found(self, request: _Request, found: Outside) -> None:
        if request is self._current:
            request.outside = found
            self._force(request)

    def _force(self, request: _Request) -> None:
        """Have the process write its stacks nevertheless, if that is asked for and shows more than what is there."""
        complete = request.outside is not None and request.outside.complete
        if request.force and not complete and self._signal(request, FORCE):
            request.waits = 0
            self._master.later(_POLL, lambda: self._poll_forced(request))
        else:
            self._end(request, answered=False)

    def _poll_forced(self, request: _Request) -> None:
        """Wait until the output of a forced dump stops growing."""
        if request is not self._current:
            return
        written = self._written()
        request.waits += 1
        if (written and written == request.size) or request.waits * _POLL > PATIENCE:
            self._end(request, answered=False)
        else:
            request.size = written
            self._master.later(_POLL, lambda: self._poll_forced(request))

    def _written(self) -> int:
        return min(os.lseek(self.descriptor, 0, os.SEEK_CUR), SIZE)

    def _end(self, request: _Request, answered: bool, working: tuple[int, ...] = ()) -> None:
        text = os.pread(self.descriptor, self._written(), 0).decode("utf-8", "replace")
        self._board.ask(0)
        self._current = None
        found = _of(request.outside or Outside())
        stacks = without_beneath(text) or found.stacks
        request.done(Dump(stacks, answered, working, found.gil, "" if answered else found.unread, found.contended))
        self._next()


def _of(found: Outside) -> Dump:
    """Return what a reader has found."""
    text, why = without_beneath(found.text), printable(found.why)
    return Dump(text, answered=False, gil=found.gil, unread=why, contended=found.waits)
