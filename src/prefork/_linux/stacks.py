"""How a worker writes the stacks of its threads at the master's request.

All processes of a daemon share one memfd, and its offset: the master asks one at a time, names it in the scoreboard,
and reads what has been written. It is asked in two ways, by two signals:

- `ASK` has a handler in Python. While it runs nothing else does, so that the frames which it walks stand still: it is
  safe in any process. It answers unless the main thread is in C and stays there.
- `FORCE` has faulthandler's handler, in C, which walks frames while other threads run. It does crash healthy processes
  with threads; it is for those that are about to be killed, and for who insists.

Both are installed in the mold: a newborn has nothing to do for it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from .._wire.messages import StacksWritten
from .._wire.scoreboard import ASKED
from . import memfd

if TYPE_CHECKING:
    from .._wire.scoreboard import Scoreboard
    from .channel import Channel

NAME = "prefork-stacks"
SIZE = 1 << 20
"""Bytes. The size is sealed: whatever a process writes there, it is no more memory than this."""

ASK, FORCE = signal.SIGRTMIN + 2, signal.SIGRTMIN + 3

_MOST_TASKS = 30


def create() -> int:
    """Return a new descriptor (close-on-exec) for the stacks of one daemon's processes. Raises OSError."""
    return memfd.create(NAME, SIZE)


class Stacks:
    """This process's own, to be written down. `channel` is whom it tells, once there is somebody."""

    def __init__(self, descriptor: int, board: Scoreboard) -> None:
        self._descriptor = descriptor
        self._board = board
        self.channel: Channel | None = None

    def install(self) -> None:
        """Answer from now on, and in all processes that are forked from here."""
        signal.signal(ASK, self._answer)
        faulthandler.register(FORCE, file=self._descriptor, all_threads=True, chain=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [ASK, FORCE])

    def _answer(self, _number: int, _frame: FrameType | None) -> None:
        # One that comes to it late, when the master has given it up and asks another, writes nothing between.
        if self.channel is None or self._board.words[ASKED] != os.getpid():
            return
        try:
            faulthandler.dump_traceback(self._descriptor, all_threads=True)
            if (asyncio := sys.modules.get("asyncio")) is not None:
                os.write(self._descriptor, "".join(_tasks(asyncio)).encode("utf-8", "replace"))
            self.channel.send(StacksWritten(), wait=False)
        except OSError:
            pass  # EPERM: it is full; or the master has gone, or has no time to read.


def _tasks(asyncio: Any) -> Iterator[str]:
    """Where each task of the running loop waits."""
    try:
        tasks = list(asyncio.all_tasks(asyncio.get_running_loop()))
        current = asyncio.current_task()
    except RuntimeError:
        return  # There is no loop in this thread.
    yield f"{len(tasks)} tasks\n" if tasks else ""
    for task in tasks[:_MOST_TASKS]:
        if task is not current:
            yield f"  {task.get_name()} waits at {_place(task.get_coro())}\n"


def _place(awaited: Any) -> str:
    """The innermost line of a suspended coroutine, without asyncio's own where there is another."""
    place = "?"
    for _ in range(100):  # However long the chain is.
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        frame = frame or getattr(awaited, "ag_frame", None)
        if frame is None:
            break
        if place == "?" or "/asyncio/" not in frame.f_code.co_filename:
            place = f'"{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}'
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return place
