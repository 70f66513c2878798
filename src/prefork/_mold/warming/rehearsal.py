"""A worker's first steps, rehearsed in the mold before it forks.

The interpreter adapts code and fills caches meanwhile, so that workers share them.

CPython adapts code where it runs, and fills caches and free lists. What is adapted before the fork is shared, and what
is adapted after it becomes private memory: the rehearsal saves each worker 200 kB.

A spare that is kept takes them once more while it waits, with those of a server (`stand_in`): so the pages that they
write to are copied before a relaunch, which saves 0.5 ms of it, and costs 0.4 MB of that worker; with uvicorn's 3 ms.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace

from ..._linux import lifeline
from ..._linux.channel import Channel
from ..._wire import scoreboard
from ..._wire.messages import Order
from ..._worker.draining.drain import Drain
from ..._worker.newborn import Inheritance, wait_for_order, work
from ..._worker.orphans.orphan import Orphan

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_TIMES = 8
"""CPython 3.11 to 3.13 adapts an instruction within its first eight runs."""


def rehearse(stage: Inheritance, title: str, times: int = _TIMES) -> None:
    """Become a worker `times` times, with a master, a drain, a listener and a scoreboard that are only for this.

    The worker is the stage's, and `title` the present one of this process. Without free descriptors nothing is
    rehearsed, which only costs memory.
    """
    order = Order("rehearsal/0", 1, None, os.getppid(), title, ("rehearsal",), orphan_grace=1.0, row=0)
    try:
        reader, writer = lifeline.create()
        memory = scoreboard.create(rows=1)
        board = scoreboard.Scoreboard(memory)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("")  # The kernel chooses an abstract name.
            listener.listen()
            for _ in range(times):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(listener.getsockname())
                    client.sendall(_REQUEST)
                    drain = Drain()
                    newborn = replace(stage, drain=drain, orphan=Orphan(drain), board=board)
                    _once(newborn, order, [reader, listener.fileno()])
        board.close()
        for descriptor in (reader, writer, memory):
            os.close(descriptor)
    except OSError:
        pass


def _once(stage: Inheritance, order: Order, descriptors: list[int]) -> None:
    master, channel = Channel.pair()
    master.send(order, descriptors)
    received = wait_for_order(channel, stage.drain)
    if received is not None:
        work(channel, stage, *received)
    stage.stacks.channel = None
    for end in (master, channel, stage.drain):
        end.close()
