"""How a worker writes the stacks of its threads at the master's request.

All processes of a daemon share one memfd, and its offset: the master asks one at a time, names its pid in the
scoreboard, and reads what has been written. It asks by one of two signals:

- `ASK` has a handler in Python. While it runs no other Python code does, so that the frames which it walks do not
  change: it is safe in any process. It answers unless the main thread is in C and stays there.
- `FORCE` has faulthandler's handler, in C, which walks frames while other threads run. It can crash healthy processes
  with threads; it is for those that are about to be killed, and for `prefork stacks --force`.

Both are installed in the mold, so that a newborn has no work for them. While the mold imports the application it has
`FORCE` alone, by which faulthandler writes the main thread only: that crashes nothing, and works in a C call, too.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from .._wire.messages import StacksWritten
from .._wire.scoreboard import ASKED
from . import memfd
from .tracing.tasks import tasks

if TYPE_CHECKING:
    from .._wire.scoreboard import Scoreboard
    from .channel import Channel

NAME = "prefork-stacks"
SIZE = 1 << 20
"""Bytes. The size is sealed: whatever a process writes there, it is no more memory than this."""

ASK, FORCE = signal.SIGRTMIN + 2, signal.SIGRTMIN + 3


def create() -> int:
    """Return a new descriptor (close-on-exec) for the stacks of one daemon's processes. Raises OSError."""
    return memfd.create(NAME, SIZE)


class Stacks:
    """The stacks of this process.

    Once it is a worker, `channel` leads to the master, and `requests` returns the requests at work, by thread.
    """

    def __init__(self, descriptor: int, board: Scoreboard) -> None:
        self._descriptor = descriptor
        self._board = board
        self.channel: Channel | None = None
        self.requests: Callable[[], dict[int, str]] = dict

    def install_for_import(self) -> None:
        """Answer `FORCE` with the stack of the main thread."""
        faulthandler.register(FORCE, file=self._descriptor, all_threads=False, chain=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [FORCE])

    def install(self) -> None:
        """Answer from now on, and in all processes that are forked from here."""
        signal.signal(ASK, self._answer)
        faulthandler.register(FORCE, file=self._descriptor, all_threads=True, chain=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [ASK, FORCE])

    def _answer(self, _number: int, _frame: FrameType | None) -> None:
        # Too late when the master has given up and asks another process: nothing may be mixed with its stacks.
        if self.channel is None or self._board.words[ASKED] != os.getpid():
            return
        try:
            faulthandler.dump_traceback(self._descriptor, all_threads=True)
            if (asyncio := sys.modules.get("asyncio")) is not None:
                os.write(self._descriptor, "".join(tasks(asyncio)).encode("utf-8", "replace"))
            requests = self.requests()
            lines = "".join(f"{label} in thread {thread}\n" for thread, label in requests.items())
            os.write(self._descriptor, lines.encode("utf-8", "replace"))
            self.channel.send(StacksWritten(tuple(requests)), wait=False)
        except OSError:
            pass  # EPERM: it is full; or the master has ended, or does not read.
