"""The lengths of shards' queues, read only while something waits.

A listening socket is readable while a connection waits in its queue. The master sleeps on all of them in one epoll and
wakes for the first waiting connection; then it samples the queues ten times a second, with TCP_INFO, until all are
empty. Further connections do not wake it meanwhile, and an idle daemon's master sleeps.
"""

from __future__ import annotations

import select
import selectors
import socket
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..._core.watch.stalls import Stalls
from ..._records.record import record

if TYPE_CHECKING:
    from ..loop import Master

_INTERVAL = 0.1
"""Seconds between two samples."""
_UNACKED = struct.Struct("24xI")
"""struct tcp_info of <linux/tcp.h> up to tcpi_unacked: of a listening socket, the length of its accept queue."""


@record
class Queue:
    """The accept queue of a socket, and its workers' pids; `stall(whether)` is called when it stalls or recovers."""

    socket: socket.socket
    workers: Iterable[int]
    stall: Callable[[bool], None]


class Queues:
    """The sampled queues. `counted(pid)` returns a worker's counters, whose change shows that it is alive."""

    def __init__(self, master: Master, counted: Callable[[int], object]) -> None:
        self._master = master
        self._counted = counted
        self._epoll = select.epoll()
        self._queues: dict[int, Queue] = {}
        self._stalls = Stalls()
        self._stalled: frozenset[int] = frozenset()
        self._sleep()

    def close(self) -> None:
        """Stop sampling."""
        if self._epoll in self._master.selector.get_map():
            self._master.selector.unregister(self._epoll)
        self._epoll.close()

    def add(self, queue: Queue) -> None:
        """Sample this queue too, if it is a TCP socket's."""
        if queue.socket.type == socket.SOCK_STREAM:
            self._queues[queue.socket.fileno()] = queue
            self._epoll.register(queue.socket, select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """Stop sampling the queue of a socket that is about to be closed here; workers may still have it open."""
        if self._queues.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)

    def _sleep(self) -> None:
        self._master.selector.register(self._epoll, selectors.EVENT_READ, self._wake)

    def _wake(self) -> None:
        self._master.selector.unregister(self._epoll)
        self._master.later(_INTERVAL, self._sample)

    def _sample(self) -> None:
        if self._epoll.closed:
            return
        waiting = {number: _length(queue.socket) for number, queue in self._queues.items()}
        stalled = self._stalls.add_sample(
            {
                number: (length, [self._counted(pid) for pid in self._queues[number].workers] if length else None)
                for number, length in waiting.items()
            }
        )
        for number in stalled ^ self._stalled:
            if number in self._queues:
                self._queues[number].stall(number in stalled)
        self._stalled = stalled
        if any(waiting.values()):
            self._master.later(_INTERVAL, self._sample)
        else:
            self._sleep()


def _length(sock: socket.socket) -> int:
    length: int = _UNACKED.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size))[0]
    return length
