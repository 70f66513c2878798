"""The handle inside a worker: what it is, what it was given, and how it learns that it is to drain."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ._activity import Activity, Request
from ._connection import Connection
from ._errors import MisuseError
from ._giving_way import GivingWay

if TYPE_CHECKING:
    from ._linux.assignment import Assignment

C = TypeVar("C")
Accepted = tuple[socket.socket, Any]

# accept(2): the connection was lost before it was accepted, which concerns nobody but its client.
_CONNECTION_LOST = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
    }
)
# The process or the host has no room for one more. The connection stays in the queue, so the listener stays
# readable: waiting for it would not wait.
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EMPTYING = 1.0  # seconds that a draining orphan may take connections on
NO_ROOM_PAUSE = 0.1  # seconds
_LONGEST_POLL = 2**31 - 1  # milliseconds, of which poll(2) takes an int


class Handle(Generic[C]):
    """What a worker's handle has whether or not there is an event loop."""

    def __init__(self, context: C, assignment: Assignment) -> None:
        self._assignment = assignment
        self._drain = assignment.drain
        self.context = context
        self.activity = Activity(assignment.row)
        if assignment.row is not None:
            # The row is this process's: a child that the application forks would count the same connections there.
            os.register_at_fork(after_in_child=self.activity.leave_row)
        self._empty_until: float | None = None

    @property
    def key(self) -> str:
        """Which worker this is, such as `web/0`."""
        return self._assignment.key

    @property
    def generation(self) -> int:
        """Which imported version of the application this is; it grows with every reload."""
        return self._assignment.generation

    @property
    def draining(self) -> bool:
        """Whether this worker is to finish what is in flight, take nothing new, and return."""
        return self._drain.noticed

    def listener(self, name: str) -> socket.socket:
        """The listening socket of this name. Raises MisuseError where the plan gives this worker none.

        It is non-blocking, and has to stay so: the flag belongs to all processes that hold it. Another
        worker may be first at a connection that was seen here, so `accept` may raise BlockingIOError even
        when it is readable.
        """
        listeners = self._assignment.listeners
        if name not in listeners:
            given = ", ".join(sorted(listeners)) or "none"
            raise MisuseError(f"worker {self.key} has no listener {name!r} (it has: {given})")
        return listeners[name]

    def ready(self) -> None:
        """Say that this worker can do its work; saying it again does nothing.

        The first wait, in `accept` or `wait_draining`, says it by itself, unless the kind is
        `ready="explicit"`.
        """
        self._assignment.report_ready()

    def report_worn_out(self, reason: str) -> None:
        """Ask for a successor, and say why, such as "500 requests". This worker serves on until it is told to drain.

        Limits of the kind (`max_requests` and its like) ask by themselves.
        """
        self._assignment.report_worn_out(reason)

    def request(self, label: str) -> Request:
        """Count one request as in flight while a `with` block runs; it has failed when the block raises."""
        return self.activity.request(label)

    def giving_way(self) -> GivingWay | None:
        """For an accept loop of one's own: what tells it when to leave the listeners to workers with fewer connections.

        Its `pause()` is asked before each accept, or before every few; `activity.opened()` and `closed()` count the
        connections. `accept` does all this by itself. None where no other worker accepts from the same queue.
        """
        peers = self._assignment.peers
        return None if peers is None else GivingWay(self.activity.look, peers.look)

    def _takes_more(self) -> bool:
        """Whether to accept: until the drain. An orphan then empties the queue, for a while: it may be the last one.

        A new master has a queue of its own beside ours, and what waits in ours would be reset when it is closed.
        """
        if not self.draining:
            return True
        if self._empty_until is None:
            self._empty_until = time.monotonic() + EMPTYING
        return self._drain.orphaned and time.monotonic() < self._empty_until

    def _about_to_wait(self) -> None:
        if not self._assignment.explicit_ready:
            self.ready()


class Worker(Handle[C]):
    """The handle of a worker that is a plain function."""

    def accept(self, name: str) -> Generator[Accepted, None, None]:
        """Connections at a listener, as `socket.accept` gives them, until this worker drains.

        While there are none it sleeps. Raises MisuseError for a listener that it has not got.
        """
        listener, giving_way = self.listener(name), self.giving_way()
        with select.epoll() as waiting:
            # Not EPOLLEXCLUSIVE, which wakes one worker instead of all: where that one is being killed, or drains, at
            # this very moment, nobody else is told, and the connection waits for the next one to come.
            waiting.register(listener, select.EPOLLIN)
            waiting.register(self._drain.descriptor, select.EPOLLIN)
            waiting.register(self._drain.waker, select.EPOLLIN)
            self._about_to_wait()
            while self._takes_more():
                if giving_way and not self.draining and (pause := giving_way.pause()):
                    self.wait_draining(pause)
                    continue
                match accept_one(listener):
                    case "nothing" if self.draining:
                        return
                    case "nothing":
                        waiting.poll()
                        self._drain.look()
                    case "no room":
                        self.wait_draining(NO_ROOM_PAUSE)
                    case (connection, address):
                        yield Connection(connection, self.activity), address

    def wait_draining(self, timeout: float | None = None) -> bool:
        """Sleep until this worker is to drain, or so many seconds; whether it is."""
        self._about_to_wait()
        waiting = select.poll()
        waiting.register(self._drain.descriptor, select.POLLIN)
        waiting.register(self._drain.waker, select.POLLIN)
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not self.draining:
            rest = end - time.monotonic()
            woken = waiting.poll(min(max(0, math.ceil(rest * 1000)), _LONGEST_POLL) if end < math.inf else None)
            if not self._drain.look() and not woken and rest <= 0:
                break
        return self.draining


def accept_one(listener: socket.socket) -> Accepted | Literal["nothing", "no room"]:
    """The next connection of a non-blocking listener, or why there is none. Raises OSError otherwise."""
    while True:
        try:
            return listener.accept()
        except BlockingIOError:
            return "nothing"
        except OSError as error:
            if error.errno in _NO_ROOM:
                return "no room"
            if error.errno not in _CONNECTION_LOST:
                raise
