"""What some servers do not report or do, done from outside.

granian and hypercorn do not report how many connections they have, and cannot stop accepting without closing those that
have sent no request yet. All this is for draining only: it polls, and walks over all descriptors.
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._linux.steering import turn_away
from .._worker.handle import EMPTYING, LATE

if TYPE_CHECKING:
    from .._worker.handle import Worker

_POLL, _SLOW_POLL = 0.01, 0.1
"""Seconds between two polls; of what lasts, the first and the longest."""
_STUCK = 0.1
"""Seconds without anything in flight after which a server that has not ended waits for something that never comes."""
# struct tcp_info of linux/tcp.h. Of a listener, tcpi_sacked is the longest that its queue may be.
_ESTABLISHED, _SACKED = 1, slice(28, 32)


def drain(
    worker: Worker[Any], listeners: list[socket.socket], stop: Callable[[], None], window: float
) -> Iterator[float]:
    """Drain up to the point where the server may close its connections; yield seconds to sleep.

    `stop` makes the server stop accepting. Then it goes on answering, with `Connection: close`, until no connection is
    open or `window` seconds have passed.
    """
    begun = time.monotonic()
    while more_may_come(worker, begun, listeners):
        yield _POLL
    stop()
    end = time.monotonic() + window
    yield _POLL  # for what was accepted in this very moment
    while time.monotonic() < end and connections(listeners):
        yield _POLL


def end(listeners: list[socket.socket], left: Callable[[], bool]) -> Iterator[float]:
    """Yield seconds to sleep while a server ends that was told to; close its connections when nothing is in flight.

    A server may wait for the rest of half a request. In flight is what the application has not returned from, by
    `left`, and what has been sent and not received. Infinity: sleep until nothing is left.
    """
    since, pause = time.monotonic(), _POLL
    while True:
        yield math.inf if (busy := left()) else pause
        if busy or sending(listeners):
            since = time.monotonic()
            pause = min(2 * pause, _SLOW_POLL)  # a client that is slow may be so for minutes
        elif time.monotonic() - since > _STUCK:
            close(listeners)


def more_may_come(worker: Worker[Any], begun: float, listeners: Iterable[socket.socket]) -> bool:
    """Return whether to go on accepting, in a drain since `begun`, because no other worker drains the backlog."""
    drained = time.monotonic() - begun
    return worker.must_drain_backlog and drained < EMPTYING and (drained < LATE or any(map(queued, listeners)))


def connections(listeners: Iterable[socket.socket]) -> int:
    """Return how many open connections this process has accepted from `listeners`.

    They are recognised by their local address, which connections that the application has opened do not have. One that
    its client has closed does not count: the server may keep it while the application works on it.
    """
    return _open_at({_place(listener) for listener in listeners})


def sending(listeners: Iterable[socket.socket]) -> bool:
    """Return whether a connection that was accepted from `listeners` has data that its client has not received."""
    return any(_unsent(sock) for sock in _accepted({_place(listener) for listener in listeners}))


def close(listeners: Iterable[socket.socket]) -> None:
    """Shut down all connections that were accepted from `listeners`: the server takes their clients for gone."""
    for sock in _accepted({_place(listener) for listener in listeners}):
        with suppress(OSError):  # Its client has just closed it.
            sock.shutdown(socket.SHUT_RDWR)


def leave_port(port: int, patience: float = 0.0) -> int:
    """Leave a TCP port that other processes listen at, too, and let this process's connections there end.

    For a server that binds for itself, by SO_REUSEPORT, and would drop its backlog when it closes. New connections go
    to the other processes, the backlog is accepted for a second at most, and then this process's listener is shut
    down. Return how many connections are open when `patience` seconds more have passed, or 0 as soon as none is. To be
    called in a thread of its own where the server needs this one. Raises OSError where the kernel cannot do it.
    """
    # Each once, whatever copies there are: the first that is made here may get the number that the list was read by.
    found = [sock for number in os.listdir("/proc/self/fd") if (sock := _listener_at(port, int(number)))]
    listeners = {os.fstat(sock.fileno()).st_ino: sock for sock in found}.values()
    for listener in listeners:
        turn_away(listener)
    begun = time.monotonic()
    while (waited := time.monotonic() - begun) < LATE or (waited < EMPTYING and any(map(queued, listeners))):
        time.sleep(_POLL)
    for listener in listeners:
        with listener:
            listener.shutdown(socket.SHUT_RDWR)
    time.sleep(LATE)  # for what was accepted in this very moment, and is no descriptor yet
    end = time.monotonic() + patience
    while (left := _open_at({port})) and time.monotonic() < end:
        time.sleep(_SLOW_POLL)
    return left


def take_away(number: int, like: socket.socket) -> None:
    """Replace a server's listener, the descriptor `number`, by one that no client can reach.

    The server goes on polling it, and gets no connections. The real one lives on in other processes.
    """
    with socket.socket(like.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as dead:
        if like.family == socket.AF_UNIX:
            dead.bind("")  # an abstract name that the kernel chooses
        else:
            dead.bind(("127.0.0.1" if like.family == socket.AF_INET else "::1", 0))
        dead.listen(1)
        os.dup2(dead.fileno(), number, inheritable=False)


class Listener(socket.socket):
    """A listener for servers that bind and listen themselves: its address and backlog do not change."""

    @classmethod
    def of(cls, listener: socket.socket) -> Listener:
        """Return one with a descriptor of its own, since servers close their listeners."""
        return cls(fileno=os.dup(listener.fileno()))

    def bind(self, address: Any, /) -> None:
        """Do nothing: it is bound."""

    def listen(self, backlog: int = 0, /) -> None:
        """Do nothing: all processes share the backlog."""


def backlog(listener: socket.socket, of_unix: int) -> int:
    """Return a listener's backlog as the master has set it, for a server that sets it again; `of_unix` of a path."""
    if listener.family == socket.AF_UNIX:
        return of_unix  # The kernel reports it by netlink alone, which a service may be forbidden.
    (longest,) = struct.unpack("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)[_SACKED])
    return int(longest)


def queued(listener: socket.socket) -> bool:
    """Return whether a connection waits to be accepted."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    return bool(waiting.poll(0))


def _listener_at(port: int, number: int) -> socket.socket | None:
    sock = _copy(number)
    if sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and _place(sock) == port:
        return sock
    if sock is not None:
        sock.close()
    return None


def _copy(number: int) -> socket.socket | None:
    """Return a copy of the socket with this descriptor; None where there is none any more."""
    try:
        if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
            return socket.socket(fileno=os.dup(number))
    except OSError:
        pass
    return None


def _open_at(places: set[object]) -> int:
    return sum(map(_is_established, _accepted(places)))


def _accepted(places: set[object]) -> Iterator[socket.socket]:
    """Yield a copy of each connection at one of these places, whatever its state; it is closed before the next one."""
    for number in os.listdir("/proc/self/fd"):
        sock = _copy(int(number))
        if sock is None:
            continue
        with sock:
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and _place(sock) in places:
                yield sock


def _is_established(sock: socket.socket) -> bool:
    return sock.family == socket.AF_UNIX or sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


def _unsent(sock: socket.socket) -> int:
    """Return how many bytes the kernel has still to send (tcp(7), unix(7): SIOCOUTQ)."""
    (unsent,) = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))
    return int(unsent)


def _place(sock: socket.socket) -> object:
    """Return the port or the path: a listener for all addresses has another address than its connections."""
    name = sock.getsockname()
    return name[1] if isinstance(name, tuple) else name
