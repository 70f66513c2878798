"""The control socket: its connections and their requests (docs/control.md).

It is served in the master's loop, so nothing here waits, and no client can cost the daemon much time or memory: a
request is short, a reply is made in pieces as the client reads them, what waits for a client is bounded, and so is the
number of connections: one too many closes the one that has been idle longest. There are no timeouts, since those would
wake an idle daemon; an abandoned connection costs a descriptor.

It takes the interpreter's own `_socket`: the module around it has nothing for it, and is not in a master with hooks.

Little is done in one turn of the loop. While a request is being served, nothing more is read from its connection. A
client that closes the connection before its request is read has requested nothing; later, it gets no outcome.
"""

from __future__ import annotations

import _socket as socket
import errno
import os
import select
import selectors
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..._core.actions import Reply
from ..._core.events import CommandReceived
from ..._errors import SystemFailure
from ..._linux.credentials import peer_of
from ..._wire.places import SOCKET
from ..channels import rights
from .replies import Replies
from .requests import LONGEST, MalformedRequest, Request, parse
from .view import DaemonView, Refused, encoded

if TYPE_CHECKING:
    from ..._report.journal import Record
    from ..loop import Master

CONNECTIONS = 64
"""At most, at a time."""

WAITING = 64 * 1024
"""Bytes that may wait for a client before it loses events."""

_TURN = 2
"""Connections served in one turn of the loop: with a piece of a reply each, below a millisecond."""

_ACCEPTED = 8
"""Connections accepted in one turn."""

_BACKLOG = 128

_PAUSE = 1.0
"""Seconds without accepting when no descriptor is left: else the loop would spin."""

_SO_PEERGROUPS = 59  # asm-generic/socket.h; Python's socket has no name for it
_GONE = select.EPOLLHUP | select.EPOLLERR


@dataclass(eq=False, slots=True)
class _Connection:
    """A connected client."""

    socket: socket.socket
    client: str  # its user and process, for the record
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)
    pieces: Iterator[bytes] | None = None  # what is left of a reply
    waits_for: int | None = None  # the command whose outcome it gets
    watches: bool = False
    follows: bool = False  # it will watch when it has the earlier events
    lost: int = 0  # events for which there was no room
    readable: bool = True  # the client has not closed its side
    passes: int | None = None  # a descriptor to send with the next bytes, and to close
    refuses: bool = True  # the kernel refuses descriptors for it
    closing: bool = False  # it is closed when the last byte is written
    events: int = 0  # that epoll waits for

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        return bool(self.outgoing) or self.pieces is not None or self.waits_for is not None or self.watches

    def send(self) -> int:
        """Write what there is room for, with the descriptor to pass; return the number of bytes."""
        control = []
        if self.passes is not None:
            control.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", self.passes)))
        count = self.socket.sendmsg([self.outgoing], control, socket.MSG_NOSIGNAL)
        self.close_passed()
        return count

    def close(self) -> None:
        """Close it, without waiting for what the client has sent."""
        self.close_passed()
        if self.refuses:
            self.socket.close()
        else:
            rights.close(self.socket)

    def close_passed(self) -> None:
        """Close the descriptor to pass."""
        if self.passes is not None:
            os.close(self.passes)
            self.passes = None

    @property
    def more(self) -> bool:
        """Whether there is more to do once the client has read what waits."""
        return self.pieces is not None or (not self.busy and b"\n" in self.incoming)


class Control:
    """The socket and its connections. `group`: its members may control the daemon, besides its user and root."""

    def __init__(
        self, master: Master, directory: str, view: DaemonView, replies: Replies, group: int | None = None
    ) -> None:
        """Listen. Raises SystemFailure if the socket cannot be made."""
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
        """Admit the members of this group from now on, instead of the former. Raises OSError."""
        _admit(self._place, group)
        self._group = group

    def descriptors(self) -> list[int]:
        """Return the descriptors that a fork of the master has no use for."""
        return [self._place, self._listener.fileno(), self._epoll.fileno(), *self._connections]

    def close(self) -> None:
        """Close all connections, and remove the socket."""
        self._master.selector.unregister(self._epoll)
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._listener.close()
        self._epoll.close()
        try:
            os.unlink(SOCKET, dir_fd=self._place)
        except FileNotFoundError:
            pass  # Another process has removed it.
        os.close(self._place)

    def publish(self, records: Sequence[Record]) -> None:
        """Send records to all clients that watch."""
        watching = [connection for connection in self._connections.values() if connection.watches]
        if watching:
            lines = [encoded(record) for record in records]
            for connection in watching:
                for line in lines:
                    self._send_event(connection, line)
                self._advance(connection)

    # Connections.

    def _serve(self) -> None:
        new_connections = False
        for descriptor, events in self._epoll.poll(0, _TURN):
            if connection := self._connections.get(descriptor):
                self._handle(connection, events)
            else:
                new_connections |= descriptor == self._listener.fileno()
        if new_connections:  # Last, since they may get the descriptors of closed ones.
            self._accept()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED):
            try:
                number, _address = self._listener._accept()  # type: ignore[attr-defined]  # typeshed has it not
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    self._epoll.modify(self._listener, 0)
                    self._master.later(_PAUSE, self._accept_again)
                    return
                continue  # The client closed it before it was accepted.
            self._admit(socket.socket(fileno=number))

    def _accept_again(self) -> None:
        if not self._epoll.closed:
            self._epoll.modify(self._listener, select.EPOLLIN)

    def _admit(self, accepted: socket.socket) -> None:
        """Add the connection of a user who may control the daemon; close any other without a reply."""
        pid, uid, gid = peer_of(accepted)
        if uid not in (0, os.geteuid()) and (self._group is None or self._group not in (gid, *_groups(accepted))):
            rights.close(accepted)
            return
        if len(self._connections) >= CONNECTIONS:
            everyone = self._connections.values()
            self._drop(next((one for one in everyone if not one.busy), next(iter(everyone))))
        accepted.setblocking(False)
        connection = _Connection(accepted, f"uid {uid} (pid {pid})", refuses=rights.refuse(accepted))
        self._connections[accepted.fileno()] = connection
        connection.events = select.EPOLLIN
        self._epoll.register(accepted, connection.events)

    def _handle(self, connection: _Connection, events: int) -> None:
        if events & _GONE:
            self._drop(connection)
            return
        try:
            if events & select.EPOLLIN:
                if not connection.refuses and rights.offered(connection.socket, LONGEST):
                    self._drop(connection)  # A client has no descriptors to send.
                    return
                data = connection.socket.recv(LONGEST)
                connection.incoming += data
                connection.readable = bool(data)
            self._advance(connection, proceed=True)
        except BlockingIOError:
            pass  # Nothing to read.
        except OSError:
            self._drop(connection)  # ECONNRESET, EPIPE: the client has closed it.

    def _drop(self, connection: _Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None) is not None:
            self._cease_waiting(connection)
            connection.watches = False
            self._epoll.unregister(connection.socket)
            connection.close()

    def _advance(self, connection: _Connection, proceed: bool = False) -> None:
        """Write what can be written. `proceed`: before, make the next piece or serve the next request, if due."""
        if proceed and not connection.outgoing and not connection.closing:
            if connection.pieces is not None:
                self._next_piece(connection, connection.pieces)
            elif not connection.busy:
                self._next_request(connection)
        try:
            if connection.outgoing:
                del connection.outgoing[: connection.send()]
        except BlockingIOError:
            pass  # The client is slow: EPOLLOUT reports when there is room.
        except OSError:
            self._drop(connection)
            return
        ended = connection.closing or not (connection.readable or connection.busy or connection.more)
        if ended and not connection.outgoing:
            self._drop(connection)
        else:
            self._listen_for(connection)

    def _listen_for(self, connection: _Connection) -> None:
        """Have epoll wait for what this connection can go on with; it always reports a hang-up."""
        events = 0
        if connection.outgoing or connection.more:
            events = select.EPOLLOUT
        elif connection.readable and not connection.busy:
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
                self._serve_request(connection, parse(bytes(line)))
        except MalformedRequest as error:
            self._refuse(connection, str(error))
        except Refused as error:
            self._cease_waiting(connection)
            connection.outgoing += encoded({"ok": False, "error": "failed", "text": str(error)})

    def _refuse(self, connection: _Connection, why: str) -> None:
        """Send the error and close: what follows a malformed request cannot be understood."""
        connection.outgoing += encoded({"ok": False, "error": "malformed", "text": why})
        connection.closing = True
        connection.incoming.clear()

    def _serve_request(self, connection: _Connection, request: Request) -> None:
        match request.what:
            case "hello":
                connection.outgoing += encoded(self._view.hello())
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
                self._master.enqueue(CommandReceived(self._await(connection), request.command, connection.client))

    def _await(self, connection: _Connection) -> int:
        """Return the id of the reply that this connection waits for."""
        connection.waits_for = self._replies.expect(lambda reply: self._answer(connection, reply))
        return connection.waits_for

    def _cease_waiting(self, connection: _Connection) -> None:
        if connection.waits_for is not None:
            self._replies.forget(connection.waits_for)
            connection.waits_for = None

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
    def _send_event(connection: _Connection, line: bytes) -> None:
        """Send an event to a client that watches, or count it as lost if the client is too far behind."""
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
    rights.refuse(listener)  # Before the first client: connections are made with it.
    path = f"/proc/self/fd/{place}/{SOCKET}"  # For a directory of any length: a socket's path has at most 107 bytes.
    mask = os.umask(0o177)
    try:
        if os.path.lexists(path):  # Left by a master that was killed; this one holds the lock.
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
    """Give a group access to the directory `place` and the socket in it; None for no group."""
    owner = os.getegid() if group is None else group
    for path, modes in (f"/proc/self/fd/{place}/{SOCKET}", (0o600, 0o660)), (f"/proc/self/fd/{place}", (0o700, 0o710)):
        os.chown(path, -1, owner)
        os.chmod(path, modes[group is not None])


def _groups(connected: socket.socket) -> Sequence[int]:
    """Return the supplementary groups of the peer."""
    try:
        data = connected.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)  # Python gives no more room.
    except OSError:  # More than 256 groups, or an old kernel: then its first one has to do.
        return ()
    return struct.unpack(f"{len(data) // 4}I", data)
