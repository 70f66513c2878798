"""Asking processes for their stacks: one at a time, in two steps, without waiting for any of them (see `stacks`)."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._linux.stacks import ASK, FORCE, SIZE, create
from ..._wire.frames import is_beneath
from ..._wire.printable import printable
from .proc import catches

if TYPE_CHECKING:
    from ..board import Board
    from ..loop import Master

PATIENCE = 0.5
"""Seconds until it counts as no answer that nothing has come."""

_LONGER = 4
"""So often as much is waited where something has come, and is not complete."""

_LOOK = 0.05
"""Seconds between two looks whether more has come; who is forced does not say when it has done."""

_FRAME = re.compile(r'  File "([^"]*)", line')
"""A frame, as faulthandler writes it."""

Done = Callable[[str, bool], None]
"""Is told the stacks, empty where there are none, and whether the process has answered by itself."""


@dataclass(eq=False, slots=True)
class _Asked:
    pid: int
    force: bool
    done: Done
    looks: int = 0
    seen: int = 0


class Dumps:
    """The stacks of one daemon's processes. Raises OSError where there is no memory for them."""

    def __init__(self, master: Master, board: Board) -> None:
        self.descriptor = create()
        self._master = master
        self._board = board
        self._queue: deque[_Asked] = deque()
        self._asked: _Asked | None = None

    def close(self) -> None:
        """Ask nobody any more."""
        self._queue.clear()
        self._asked = None
        os.close(self.descriptor)

    def ask(self, pid: int, done: Done, *, force: bool = False) -> None:
        """Have a process write down its stacks. `force`: if need be in a way that may kill it."""
        self._queue.append(_Asked(pid, force, done))
        self._next()

    def answered(self, pid: int) -> None:
        """A process says that it has written them."""
        if self._asked is not None and self._asked.pid == pid:
            self._end(self._asked, answered=True)

    def ended(self, pid: int) -> None:
        """A process has ended: it will answer no more."""
        if self._asked is not None and self._asked.pid == pid:
            self._end(self._asked, answered=False)

    def _next(self) -> None:
        while self._queue and self._asked is None:
            asked = self._asked = self._queue.popleft()
            if self._signal(asked, ASK):
                self._master.later(PATIENCE, lambda asked=asked: self._late(asked))  # type: ignore[misc]
            else:
                self._end(asked, answered=False)

    def _signal(self, asked: _Asked, number: int) -> bool:
        """Let it write, from the beginning; False where it would end by it, or has ended."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        self._board.ask(asked.pid)
        if not self._master.exits.watches(asked.pid) or not catches(asked.pid, number):
            return False
        os.kill(asked.pid, number)
        return True

    def _late(self, asked: _Asked) -> None:
        if asked is not self._asked:
            return
        if self._written() and asked.looks < _LONGER:
            asked.looks += 1
            self._master.later(PATIENCE, lambda: self._late(asked))
        elif asked.force and self._signal(asked, FORCE):
            asked.looks = 0
            self._master.later(_LOOK, lambda: self._watch(asked))
        else:
            self._end(asked, answered=False)

    def _watch(self, asked: _Asked) -> None:
        """Until no more comes from one who is forced."""
        if asked is not self._asked:
            return
        written = self._written()
        asked.looks += 1
        if (written and written == asked.seen) or asked.looks * _LOOK > PATIENCE:
            self._end(asked, answered=False)
        else:
            asked.seen = written
            self._master.later(_LOOK, lambda: self._watch(asked))

    def _written(self) -> int:
        return min(os.lseek(self.descriptor, 0, os.SEEK_CUR), SIZE)

    def _end(self, asked: _Asked, answered: bool) -> None:
        text = os.pread(self.descriptor, self._written(), 0).decode("utf-8", "replace")
        self._board.ask(0)
        self._asked = None
        asked.done(_cleaned(text), answered)
        self._next()


def _cleaned(text: str) -> str:
    """Return the stacks without the frames that all workers have, and without what would act on a terminal."""
    lines = [line for line in text.splitlines() if not ((frame := _FRAME.match(line)) and is_beneath(frame[1]))]
    return "\n".join(map(printable, lines))
