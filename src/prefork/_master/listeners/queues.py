"""How much waits in the queues of shards: looked at while something does, and at no other time.

A listening socket is readable while something waits in it. So the master sleeps on all of them at once, and wakes when
a connection comes to workers that had none waiting; then it looks ten times a second, with TCP_INFO, until nothing
waits any more. It is not woken by a connection meanwhile, and never where nothing comes.
"""

from __future__ import annotations

import select
import selectors
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._core.stalls import Stalls

if TYPE_CHECKING:
    from ..loop import Master

LOOK = 0.1
"""Seconds."""
_UNACKED = struct.Struct("24xI")
"""struct tcp_info of <linux/tcp.h> up to tcpi_unacked: for a listening socket, how many wait to be accepted."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of a socket: the pids of those who take from it, and whom to tell that it stands still, or moves."""

    socket: socket.socket
    workers: Iterable[int]
    stall: Callable[[bool], None]


class Queues:
    """The queues that are looked at. `counted` returns what a worker has counted so far, by its pid."""

    def __init__(self, master: Master, counted: Callable[[int], object]) -> None:
        self._master = master
        self._counted = counted
        self._epoll = select.epoll()
        self._queues: dict[int, Queue] = {}
        self._stalls = Stalls()
        self._stalled: frozenset[int] = frozenset()
        self._sleep()

    def close(self) -> None:
        """Look at none of them any more."""
        if self._epoll in self._master.selector.get_map():
            self._master.selector.unregister(self._epoll)
        self._epoll.close()

    def add(self, queue: Queue) -> None:
        """Look at this one too, if it is a TCP socket's."""
        if queue.socket.type == socket.SOCK_STREAM:
            self._queues[queue.socket.fileno()] = queue
            self._epoll.register(queue.socket, select.EPOLLIN)

    def remove(self, sock: socket.socket) -> None:
        """No longer look at this one, which is about to be closed here: others may have it open."""
        if self._queues.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)

    def _sleep(self) -> None:
        self._master.selector.register(self._epoll, selectors.EVENT_READ, self._wake)

    def _wake(self) -> None:
        self._master.selector.unregister(self._epoll)
        self._master.later(LOOK, self._look)

    def _look(self) -> None:
        if self._epoll.closed:
            return
        waiting = {number: _length(queue.socket) for number, queue in self._queues.items()}
        stalled = self._stalls.look(
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
            self._master.later(LOOK, self._look)
        else:
            self._sleep()


def _length(sock: socket.socket) -> int:
    length: int = _UNACKED.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size))[0]
    return length
