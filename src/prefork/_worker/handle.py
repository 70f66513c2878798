"""The handle that a worker's function is called with: its identity, its listeners, and the request to drain."""

from __future__ import annotations

import errno
import math
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from .._errors import UsageError
from .accept_throttle import SLACK, AcceptThrottle
from .activity import Activity, Request
from .connection import Connection
from .draining import drain
from .peers import Peers

if TYPE_CHECKING:
    from .assignment import Assignment

C = TypeVar("C")
Accepted = tuple[socket.socket, Any]

# Plain numbers, found here: see `Handle._stream`.
_SOL_SOCKET, _SO_TYPE, _SOCK_STREAM = socket.SOL_SOCKET, socket.SO_TYPE, int(socket.SOCK_STREAM)

# accept(2): the connection was lost before it was accepted, which concerns its client alone.
_CONNECTION_LOST = frozenset(
    {
        *(errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        *(errno.ENONET, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EPERM, errno.EPROTO),
    }
)
# The process or the host has no room for one more. The connection stays in the backlog, so the listener stays
# readable, and waiting for it would return at once.
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
EMPTYING = 1.0  # seconds, at most, that a draining worker accepts from a backlog that no other worker accepts from
LATE = 0.25  # seconds, at least: a connection that has begun is in the backlog a round trip later
NO_ROOM_PAUSE = 0.1  # seconds
_SHOWN = 5  # labels of what is cut, at most


def draining() -> bool:
    """Return whether this process is a worker that has been asked to drain: to finish what is in flight, and to end."""
    return drain.current is not None and drain.current.requested


class Handle(Generic[C]):
    """What the handles of workers with and without an event loop have in common. `context` is the worker's own."""

    def __init__(self, context: C, assignment: Assignment) -> None:
        self._assignment = assignment
        self._drain = assignment.drain
        self._drain.become_current()
        self.context = context
        self.activity = Activity(assignment.board, assignment.row)
        if assignment.row >= 0:
            self.activity.wake = assignment.report_busy
        self._throttle: AcceptThrottle | None = None
        self._empty_until: float | None = None
        self._full = False

    @property
    def key(self) -> str:
        """The worker's slot, such as `web/0`."""
        return self._assignment.key

    @property
    def generation(self) -> int:
        """The number of the imported version of the application; each reload has a larger one."""
        return self._assignment.generation

    @property
    def draining(self) -> bool:
        """Whether the master has asked this worker to finish what is in flight, accept nothing new, and return."""
        return self._drain.requested

    def listener(self, name: str) -> socket.socket:
        """Return the listening socket of this name. Raises UsageError where the plan gives this worker none.

        It is non-blocking and must stay so: all processes that hold it share the flag. Another worker may accept a
        connection first, so `accept` may raise BlockingIOError even when the socket is readable.
        """
        listeners = self._assignment.listeners
        if name not in listeners:
            given = ", ".join(sorted(listeners)) or "none"
            raise UsageError(f"worker {self.key} has no listener {name!r} (it has: {given})")
        return listeners[name]

    def _stream(self, name: str) -> socket.socket:
        """Return a listener of connections. Raises UsageError for one of datagrams, too."""
        listener = self.listener(name)
        # Not `type`, which makes a number a member of an enumeration: twelve pages of each worker.
        if listener.getsockopt(_SOL_SOCKET, _SO_TYPE) != _SOCK_STREAM:
            raise UsageError(f"listener {name!r} has no connections to accept: it receives datagrams (recvfrom)")
        return listener

    @property
    def must_drain_backlog(self) -> bool:
        """Whether no other worker will accept from a backlog of this worker's: then it accepts all that waits there.

        True when the slot, the listener or the daemon ends, and for an orphan. False while not draining.
        """
        return self.draining and (self._drain.orphaned or bool(self._assignment.backlogs_to_drain()))

    def ready(self) -> None:
        """Report to the master that this worker can do its work; calling it again does nothing.

        The first wait, in `accept` or `wait_draining`, does it unless the kind has `ready="explicit"`.
        """
        self._assignment.report_ready()

    def request_replacement(self, reason: str) -> None:
        """Ask the master for a successor. `reason` is for the log, such as "500 requests".

        This worker serves on until it is asked to drain. The kind's own limits, such as `max_requests`, do the same.
        """
        from .._wire.messages import ReplacementRequested  # Here: a program that imports prefork has no use for it.

        self._assignment.send(ReplacementRequested(reason))

    def request(self, label: str) -> Request:
        """Return a context manager that counts one request, failed where its block raises.

        `label` names it in the scoreboard, such as `GET /orders`; 64 bytes at most.
        """
        return self.activity.request(label)

    def accept_throttle(self) -> AcceptThrottle | None:
        """Return the throttle of an accept loop: when to leave connections to less loaded workers.

        Before each accept, wait as many seconds as its `pause()` returns; count connections by `activity.opened()` and
        `closed()`. `accept` does all this itself. None if no other worker accepts from the same backlog.
        """
        board, row = self._assignment.board, self._assignment.row
        if board is None or row < 0 or not board.group(row):
            return None
        return AcceptThrottle(self.activity.polled, Peers(board, row).read)

    def _pause(self) -> float:
        """Return how many seconds `accept` leaves the backlog to others. Called while more than SLACK are open."""
        if self.draining:
            return 0.0
        if self._throttle is None:
            self._throttle = self.accept_throttle() or AcceptThrottle(lambda: 0, tuple)
        return self._throttle.pause()

    def _report_cut(self, labels: Iterable[str]) -> None:
        """Print what is in flight at the end of a drain, when it is cut."""
        counted = Counter(labels)
        shown = [f"{label} ({count} times)" if count > 1 else label for label, count in counted.most_common(_SHOWN)]
        if len(counted) > _SHOWN:
            shown.append("others")
        what = f"{counted.total()} in flight: {', '.join(shown)}" if shown else "a response is still being sent"
        text = f"{self.key}: requests cut after {self._drain.drained():.1f} s of draining ({what}); the worker ends"
        print(text, file=sys.stderr, flush=True)

    def _report_no_room(self) -> None:
        """Print, once, that connections wait in the backlog because no descriptor is left for them."""
        if not self._full:
            self._full = True
            then = "connections wait in the queue until one is free"
            print(f"{self.key}: no descriptor is left for a connection; {then}", file=sys.stderr, flush=True)

    def _takes_more(self, name: str) -> bool:
        """Return whether to accept: until the drain, and then for EMPTYING seconds if no other worker will.

        An orphan may be the last one: a new master has a backlog of its own beside this one, and closing this one would
        reset what waits there.
        """
        if not self.draining:
            return True
        if self._empty_until is None:
            self._empty_until = time.monotonic() + EMPTYING
        if not self._drain.orphaned and name not in self._assignment.backlogs_to_drain():
            return False
        return time.monotonic() < self._empty_until

    def _late(self) -> float:
        """Return how many seconds a draining worker goes on polling an empty backlog; 0 when LATE has passed."""
        if self._empty_until is None:
            return 0.0
        return max(0.0, self._empty_until - EMPTYING + LATE - time.monotonic())

    def _about_to_wait(self) -> None:
        if not self._assignment.explicit_ready:
            self.ready()


class Worker(Handle[C]):
    """The handle of a worker whose function is a plain one."""

    def accept(self, name: str) -> Generator[Accepted, None, None]:
        """Yield connections of a listener, each a socket and the client's address, until this worker drains.

        It sleeps while there are none. Raises UsageError for a listener that the worker does not have, or of datagrams.
        """
        listener = self._stream(name)
        with select.epoll() as waiting:
            # Not EPOLLEXCLUSIVE, which wakes one worker instead of all: if that one is killed or drains at this very
            # moment, no other wakes up, and the connection waits until the next one comes.
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
                        self._report_no_room()
                        self.wait_draining(NO_ROOM_PAUSE)
                    case (connection, address):
                        yield Connection(connection, self.activity), address

    def wait_draining(self, timeout: float | None = None) -> bool:
        """Sleep until the master asks this worker to drain, or for `timeout` seconds; return `draining`."""
        self._about_to_wait()
        waiting = select.poll()
        waiting.register(self._drain.descriptor, select.POLLIN)
        waiting.register(self._drain.waker, select.POLLIN)
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not self.draining:
            rest = end - time.monotonic()
            woken = waiting.poll(min(max(0, math.ceil(rest * 1000)), drain.LONGEST_POLL) if end < math.inf else None)
            if not self._drain.poll() and not woken and rest <= 0:
                break
        return self.draining


def _readable(listener: socket.socket, timeout: float) -> bool:
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    return bool(waiting.poll(math.ceil(timeout * 1000)))


def accept_one(listener: socket.socket) -> Accepted | Literal["nothing", "no room"]:
    """Return the next connection of a non-blocking listener, or why there is none. Raises OSError otherwise."""
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
