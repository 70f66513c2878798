"""The handle inside a worker: what it is, what it was given, and how it learns that it is to drain."""

from __future__ import annotations

import errno
import math
import select
import socket
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from .._errors import UsageError
from .accept_throttle import SLACK, AcceptThrottle
from .activity import Activity, Request
from .connection import Connection
from .peers import Peers

if TYPE_CHECKING:
    from .assignment import Assignment

C = TypeVar("C")
Accepted = tuple[socket.socket, Any]

# Plain numbers, found here: see `Handle._stream`.
_SOL_SOCKET, _SO_TYPE, _SOCK_STREAM = socket.SOL_SOCKET, socket.SO_TYPE, int(socket.SOCK_STREAM)

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
EMPTYING = 1.0  # seconds that a queue which nobody takes over is emptied, at most
LATE = 0.25  # seconds that it is looked at, at least: a connection that has begun is in the queue a round trip later
NO_ROOM_PAUSE = 0.1  # seconds
_LONGEST_POLL = 2**31 - 1  # milliseconds, of which poll(2) takes an int


class Handle(Generic[C]):
    """What a worker's handle has whether or not there is an event loop."""

    def __init__(self, context: C, assignment: Assignment) -> None:
        self._assignment = assignment
        self._drain = assignment.drain
        self.context = context
        self.activity = Activity(assignment.board, assignment.row)
        if assignment.row >= 0:
            self.activity.wake = assignment.report_busy
        self._throttle: AcceptThrottle | None = None
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
        return self._drain.requested

    def listener(self, name: str) -> socket.socket:
        """The listening socket of this name. Raises UsageError where the plan gives this worker none.

        It is non-blocking, and has to stay so: the flag belongs to all processes that hold it. Another
        worker may be first at a connection that was seen here, so `accept` may raise BlockingIOError even
        when it is readable.
        """
        listeners = self._assignment.listeners
        if name not in listeners:
            given = ", ".join(sorted(listeners)) or "none"
            raise UsageError(f"worker {self.key} has no listener {name!r} (it has: {given})")
        return listeners[name]

    def _stream(self, name: str) -> socket.socket:
        """A listener that connections are accepted from. Raises UsageError for one of datagrams, too."""
        listener = self.listener(name)
        # Not `type`, which makes a number a member of an enumeration: twelve pages of each worker.
        if listener.getsockopt(_SOL_SOCKET, _SO_TYPE) != _SOCK_STREAM:
            raise UsageError(f"listener {name!r} has no connections to accept: it receives datagrams (recvfrom)")
        return listener

    @property
    def must_drain_backlog(self) -> bool:
        """Whether nobody takes over a queue that this worker accepts from: then it takes all that waits there first.

        So it is where the slot, the listener or the daemon goes, and for an orphan. False while not draining.
        """
        return self.draining and (self._drain.orphaned or bool(self._assignment.backlogs_to_drain()))

    def ready(self) -> None:
        """Say that this worker can do its work; saying it again does nothing.

        The first wait, in `accept` or `wait_draining`, says it by itself, unless the kind is
        `ready="explicit"`.
        """
        self._assignment.report_ready()

    def request_replacement(self, reason: str) -> None:
        """Ask for a successor, and say why, such as "500 requests". This worker serves on until it is told to drain.

        Limits of the kind (`max_requests` and its like) ask by themselves.
        """
        self._assignment.request_replacement(reason)

    def request(self, label: str) -> Request:
        """Count one request as in flight while a `with` block runs; it has failed when the block raises."""
        return self.activity.request(label)

    def accept_throttle(self) -> AcceptThrottle | None:
        """For an accept loop of one's own: what tells it when to leave the listeners to workers with fewer connections.

        Its `pause()` is asked before each accept; `activity.opened()` and `closed()` count the connections. `accept`
        does all this by itself. None where no other worker accepts from the same queue.
        """
        board, row = self._assignment.board, self._assignment.row
        if board is None or row < 0 or not board.group(row):
            return None
        return AcceptThrottle(self.activity.polled, Peers(board, row).read)

    def _pause(self) -> float:
        """How long, in seconds, `accept` leaves the queue to others. To be asked while more than SLACK are open."""
        if self.draining:
            return 0.0
        if self._throttle is None:
            self._throttle = self.accept_throttle() or AcceptThrottle(lambda: 0, tuple)
        return self._throttle.pause()

    def _takes_more(self, name: str) -> bool:
        """Whether to accept: until the drain. A queue that nobody takes over is then emptied, for a while.

        An orphan may be the last one: a new master has a queue of its own beside ours, and what waits in ours would be
        reset when it is closed.
        """
        if not self.draining:
            return True
        if self._empty_until is None:
            self._empty_until = time.monotonic() + EMPTYING
        if not self._drain.orphaned and name not in self._assignment.backlogs_to_drain():
            return False
        return time.monotonic() < self._empty_until

    def _late(self) -> float:
        """How long to go on looking at an empty queue once draining, in seconds; 0 when that has been long enough."""
        if self._empty_until is None:
            return 0.0
        return max(0.0, self._empty_until - EMPTYING + LATE - time.monotonic())

    def _about_to_wait(self) -> None:
        if not self._assignment.explicit_ready:
            self.ready()


class Worker(Handle[C]):
    """The handle of a worker that is a plain function."""

    def accept(self, name: str) -> Generator[Accepted, None, None]:
        """Connections at a listener, as `socket.accept` gives them, until this worker drains.

        While there are none it sleeps. Raises UsageError for a listener that it has not got, or of datagrams.
        """
        listener = self._stream(name)
        with select.epoll() as waiting:
            # Not EPOLLEXCLUSIVE, which wakes one worker instead of all: where that one is being killed, or drains, at
            # this very moment, nobody else is told, and the connection waits for the next one to come.
            waiting.register(listener, select.EPOLLIN)
            waiting.register(self._drain.descriptor, select.EPOLLIN)
            waiting.register(self._drain.waker, select.EPOLLIN)
            self._about_to_wait()
            while self._takes_more(name):
                if self.activity.open > SLACK and (pause := self._pause()):
                    self.wait_draining(pause)
                    continue
                match accept_one(listener):
                    case "nothing" if self.draining:
                        if not _readable(listener, self._late()):
                            return
                    case "nothing":
                        waiting.poll()
                        self._drain.poll()
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
            if not self._drain.poll() and not woken and rest <= 0:
                break
        return self.draining


def _readable(listener: socket.socket, timeout: float) -> bool:
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    return bool(waiting.poll(math.ceil(timeout * 1000)))


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
