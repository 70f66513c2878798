"""The control socket: its connections and their requests (docs/control.md).

It is served in the master's one loop, so nothing here waits, and whoever connects can cost the daemon neither time nor
memory: a request is short, a reply is made in pieces as its reader takes them, what waits for one reader is bounded,
and so is the number of connections: where there are too many, who has been idle longest is cut off. There are no
timeouts, since those would wake up an idle daemon; an abandoned connection is a descriptor, no more.

Little is done in one turn of the loop. While a request is being served nothing more is read from its connection. Who
hangs up before a request is read has not asked; who does so later is not told the outcome.
"""

from __future__ import annotations

import array
import errno
import os
import select
import selectors
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._core.actions import Reply
from ..._core.events import CommandReceived
from ..._errors import SystemFailure
from ..._linux.credentials import peer_of
from ..._wire.places import PROTOCOL, SOCKET
from .replies import Replies
from .requests import LONGEST, MalformedRequest, Request, parse
from .view import DaemonView, encoded

if TYPE_CHECKING:
    from ..._report.journal import Record
    from ..loop import Master

CONNECTIONS = 64
"""So many at a time."""

WAITING = 64 * 1024
"""Bytes that may wait for a reader before it loses events."""

_TURN = 2
"""Connections that are attended to in one turn of the loop: with a piece of a reply each, below a millisecond."""

_ACCEPTED = 8
"""New ones in one turn."""

_BACKLOG = 128

_PAUSE = 1.0
"""Seconds without accepting anybody when there is no descriptor left: else the loop would turn for nothing."""

_SO_PEERGROUPS = 59  # asm-generic/socket.h; Python's socket has no name for it
_GONE = select.EPOLLHUP | select.EPOLLERR


@dataclass(eq=False, slots=True)
class _Connection:
    """One who has connected."""

    socket: socket.socket
    who: str
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)
    pieces: Iterator[bytes] | None = None  # what is left of a reply
    waits_for: int | None = None  # the command whose outcome is to be told
    watches: bool = False
    follows: bool = False  # it will watch when it has been told what happened before
    lost: int = 0  # events that there was no room for
    hears: bool = True  # more may come
    passes: int | None = None  # a descriptor that goes with the next bytes; ours to close
    dismissed: bool = False  # when the last byte is written, it is closed
    events: int = 0  # what epoll waits for

    @property
    def busy(self) -> bool:
        """Whether a request of its is being served."""
        return bool(self.outgoing) or self.pieces is not None or self.waits_for is not None or self.watches

    def send(self) -> int:
        """Write as much as there is room for, with the descriptor that goes with it; return how many bytes."""
        control = []
        if self.passes is not None:
            control.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [self.passes]).tobytes()))
        count = self.socket.sendmsg([self.outgoing], control, socket.MSG_NOSIGNAL)
        self.forget()
        return count

    def forget(self) -> None:
        """Close the descriptor that was to be passed."""
        if self.passes is not None:
            os.close(self.passes)
            self.passes = None

    @property
    def more(self) -> bool:
        """Whether there is something to go on with as soon as its reader has taken what there is."""
        return self.pieces is not None or (not self.busy and b"\n" in self.incoming)


class Control:
    """The socket and its connections. `group`: its members may steer the daemon besides its user and root."""

    def __init__(
        self, master: Master, directory: str, view: DaemonView, replies: Replies, group: int | None = None
    ) -> None:
        """Listen. Raises SystemFailure where the socket cannot be made."""
        self._master = master
        self._view = view
        self._replies = replies
        self._group = group
        self._place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener = _listen(self._place, group)
        self._connections: dict[int, _Connection] = {}
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        master.selector.register(self._epoll, selectors.EVENT_READ, self._serve)

    def admit(self, group: int | None) -> None:
        """Let the members of this group in from now on, instead of those of the former. Raises OSError."""
        _admit(self._place, group)
        self._group = group

    def close(self) -> None:
        """Hang up on everybody, and remove the socket."""
        self._master.selector.unregister(self._epoll)
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._listener.close()
        self._epoll.close()
        try:
            os.unlink(SOCKET, dir_fd=self._place)
        except FileNotFoundError:
            pass  # Somebody has tidied up.
        os.close(self._place)

    def publish(self, records: Sequence[Record]) -> None:
        """Show what has happened to all who watch."""
        watching = [connection for connection in self._connections.values() if connection.watches]
        if watching:
            lines = [encoded(record) for record in records]
            for connection in watching:
                for line in lines:
                    self._show(connection, line)
                self._advance(connection)

    # Connections.

    def _serve(self) -> None:
        newcomers = False
        for descriptor, events in self._epoll.poll(0, _TURN):
            if connection := self._connections.get(descriptor):
                self._attend(connection, events)
            else:
                newcomers |= descriptor == self._listener.fileno()
        if newcomers:  # Last, since they may be given the numbers of those who have gone.
            self._accept()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED):
            try:
                accepted, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    self._epoll.modify(self._listener, 0)
                    self._master.later(_PAUSE, self._accept_again)
                    return
                continue  # It has gone before it was accepted.
            self._admit(accepted)

    def _accept_again(self) -> None:
        if not self._epoll.closed:
            self._epoll.modify(self._listener, select.EPOLLIN)

    def _admit(self, accepted: socket.socket) -> None:
        """Take in who may steer this daemon; anybody else is not even told what this is."""
        pid, uid, gid = peer_of(accepted)
        if uid not in (0, os.geteuid()) and (self._group is None or self._group not in (gid, *_groups(accepted))):
            accepted.close()
            return
        if len(self._connections) >= CONNECTIONS:
            everyone = self._connections.values()
            self._drop(next((one for one in everyone if not one.busy), next(iter(everyone))))
        accepted.setblocking(False)
        connection = _Connection(accepted, f"uid {uid} (pid {pid})")
        self._connections[accepted.fileno()] = connection
        connection.events = select.EPOLLIN
        self._epoll.register(accepted, connection.events)

    def _attend(self, connection: _Connection, events: int) -> None:
        if events & _GONE:
            self._drop(connection)
            return
        try:
            if events & select.EPOLLIN:
                data = connection.socket.recv(LONGEST)
                connection.incoming += data
                connection.hears = bool(data)
            self._advance(connection, take=True)
        except BlockingIOError:
            pass  # A wake-up for nothing.
        except OSError:
            self._drop(connection)  # ECONNRESET, EPIPE: it has gone.

    def _drop(self, connection: _Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None) is not None:
            if connection.waits_for is not None:
                self._replies.forget(connection.waits_for)
            connection.watches = False
            self._epoll.unregister(connection.socket)
            connection.forget()
            connection.socket.close()

    def _advance(self, connection: _Connection, take: bool = False) -> None:
        """Write what can be written. `take`: but first make the next piece or serve the next request, if it is time."""
        if take and not connection.outgoing and not connection.dismissed:
            if connection.pieces is not None:
                self._next_piece(connection, connection.pieces)
            elif not connection.busy:
                self._next_request(connection)
        try:
            if connection.outgoing:
                del connection.outgoing[: connection.send()]
        except BlockingIOError:
            pass  # Its reader is slow: EPOLLOUT says when there is room.
        except OSError:
            self._drop(connection)
            return
        ended = connection.dismissed or not (connection.hears or connection.busy or connection.more)
        if ended and not connection.outgoing:
            self._drop(connection)
        else:
            self._listen_for(connection)

    def _listen_for(self, connection: _Connection) -> None:
        """Have epoll wait for what this connection can go on with; that it hangs up is always told."""
        events = 0
        if connection.outgoing or connection.more:
            events = select.EPOLLOUT
        elif connection.hears and not connection.busy:
            events = select.EPOLLIN
        if events != connection.events:
            connection.events = events
            self._epoll.modify(connection.socket, events)

    @staticmethod
    def _next_piece(connection: _Connection, pieces: Iterator[bytes]) -> None:
        piece = next(pieces, None)
        if piece is not None:
            connection.outgoing += piece
        else:
            connection.pieces, connection.watches = None, connection.follows

    # Requests.

    def _next_request(self, connection: _Connection) -> None:
        line, end, rest = connection.incoming.partition(b"\n")
        try:
            if len(line) > LONGEST:
                raise MalformedRequest(f"a request has at most {LONGEST} bytes")
            if end:
                connection.incoming = rest
                self._take(connection, parse(bytes(line)))
        except MalformedRequest as error:
            self._refuse(connection, str(error))

    def _refuse(self, connection: _Connection, why: str) -> None:
        """Say what is wrong, and hang up: who speaks another language would go on in it."""
        connection.outgoing += encoded({"ok": False, "error": "malformed", "text": why})
        connection.dismissed = True
        connection.incoming.clear()

    def _take(self, connection: _Connection, request: Request) -> None:
        match request.what:
            case "hello":
                who = {"ok": True, "protocol": PROTOCOL, "name": self._view.name(), "pid": os.getpid()}
                connection.outgoing += encoded(who)
            case "status":
                connection.pieces = self._view.status()
            case "scoreboard":
                connection.passes = self._view.scoreboard()
                connection.outgoing += encoded({"ok": True})
            case "events":
                connection.pieces, connection.follows = self._view.history(), request.events
            case "explain":
                connection.outgoing += encoded(self._view.slot(request.slot))
            case "stacks":
                self._view.stacks(self._await(connection), request.slot, request.force)
            case "command":
                assert request.command is not None
                connection.watches = request.events
                self._master.enqueue(CommandReceived(self._await(connection), request.command, connection.who))

    def _await(self, connection: _Connection) -> int:
        """Return the number by which the outcome will be told to this connection."""
        connection.waits_for = self._replies.expect(lambda reply: self._answer(connection, reply))
        return connection.waits_for

    def _answer(self, connection: _Connection, reply: Reply) -> None:
        """Send the outcome of a command."""
        connection.waits_for, connection.watches = None, False
        message: dict[str, Any] = {"ok": reply.ok, "text": reply.text}
        if not reply.ok:
            message["error"] = "failed"
        if reply.data is not None:
            message["data"] = reply.data
        connection.outgoing += encoded(message)
        self._advance(connection)

    @staticmethod
    def _show(connection: _Connection, line: bytes) -> None:
        """Let a watcher have an event, or count it as lost where it is too far behind."""
        if connection.lost:
            line = encoded({"event": "lost", "count": connection.lost}) + line
        if len(connection.outgoing) + len(line) > WAITING:
            connection.lost += 1
            return
        connection.lost = 0
        connection.outgoing += line


def _listen(place: int, group: int | None) -> socket.socket:
    """Return the listening socket, in the directory `place`. Raises SystemFailure."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    path = f"/proc/self/fd/{place}/{SOCKET}"  # However long the directory's own name is: a socket's has 107 bytes.
    mask = os.umask(0o177)
    try:
        if os.path.lexists(path):  # A master that was killed has left it; we hold the lock.
            os.unlink(path)
        listener.bind(path)
        if group is not None:
            _admit(place, group)
    except OSError as error:
        listener.close()
        raise SystemFailure(f"the control socket cannot be made: {error.strerror}") from None
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    return listener


def _admit(place: int, group: int | None) -> None:
    """Open the directory `place` and the socket in it to a group; to no group but the master's for None."""
    owner = os.getegid() if group is None else group
    for path, modes in (f"/proc/self/fd/{place}/{SOCKET}", (0o600, 0o660)), (f"/proc/self/fd/{place}", (0o700, 0o710)):
        os.chown(path, -1, owner)
        os.chmod(path, modes[group is not None])


def _groups(connected: socket.socket) -> Sequence[int]:
    """Return the groups of the peer, besides its first."""
    try:
        data = connected.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)  # Python gives no more room.
    except OSError:  # More than 256 groups, or an old kernel: then its first one has to do.
        return ()
    return array.array("I", data)
