"""Requests for stacks: one process at a time, without waiting for it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._linux.stacks import ASK, FORCE, SIZE, create
from ..._records.record import record
from ..._wire.frames import without_beneath
from .proc import catches

if TYPE_CHECKING:
    from ..loop import Master
    from ..scoreboard.board import Board

PATIENCE = 0.5
"""Seconds without any output after which a process does not respond."""

_MOST_WAITS = 4
"""How often the same time is added while the output is incomplete."""

_POLL = 0.05
"""Seconds between two reads of the size of a forced dump, which ends without a message."""


@record
class Dump:
    """A process's stacks, empty if there are none; `answered`: it wrote them from Python; `working`: its message's."""

    stacks: str
    answered: bool
    working: tuple[int, ...] = ()


Done = Callable[[Dump], None]


@dataclass(eq=False, slots=True)
class _Request:
    pid: int
    force: bool
    done: Done
    waits: int = 0
    size: int = 0


class Dumps:
    """The stacks of one daemon's processes. Raises OSError if there is no memory for them."""

    def __init__(self, master: Master, board: Board) -> None:
        self.descriptor = create()
        self._master = master
        self._board = board
        self._queue: deque[_Request] = deque()
        self._current: _Request | None = None

    def close(self) -> None:
        """Drop all requests."""
        self._queue.clear()
        self._current = None
        os.close(self.descriptor)

    @property
    def under_way(self) -> bool:
        """Whether a process is to write its stacks."""
        return self._current is not None

    def request(self, pid: int, done: Done, *, force: bool = False) -> None:
        """Have a process write its stacks. `force`: if it does not respond, in a way that may crash it."""
        self._queue.append(_Request(pid, force, done))
        self._next()

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
        elif request.force and self._signal(request, FORCE):
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
        request.done(Dump(without_beneath(text), answered, working))
        self._next()
