"""The control socket: its connections and their requests (docs/control.md).

It is served in the master's loop, so nothing here waits, and no client can cost the daemon much time or memory: a
request is short, a reply is made in pieces as the client reads them, what waits for a client is bounded, and so is the
number of connections: one too many closes the one that has been idle longest, of the user who has the most. There are
no timeouts, since those would wake an idle daemon; an abandoned connection costs a descriptor. Members of the control
group have places and turns of their own, so that they keep neither root nor the daemon's user from it. So have
auxiliary workers, whose connections the master makes, and which only read.

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
from typing import TYPE_CHECKING, Any

from ..._core.actions import Reply
from ..._core.events import CommandReceived
from ..._linux.credentials import peer_of
from ..._wire.places import SOCKET
from ..channels import rights
from .connection import Connection, to_close
from .place import Place, admit, opened
from .replies import Replies
from .requests import LONGEST, MalformedRequest, Request, parse
from .view import DaemonView, Refused, encoded

if TYPE_CHECKING:
    from ..._report.journal import Record
    from ..loop import Master

CONNECTIONS = 64
"""At most, at a time: of root and the daemon's user, and as many of members of the group."""

WAITING = 64 * 1024
"""Bytes that may wait for a client before it loses events."""

READERS = 16
"""Connections of one auxiliary worker, at most: it asks for them, and holds each."""

_TURN = 2
"""Connections served in one turn of the loop: with a piece of a reply each, below a millisecond."""

_ACCEPTED = 8
"""Connections accepted in one turn."""

_PAUSE = 1.0
"""Seconds without accepting when no descriptor is left: else the loop would spin."""

_SO_PEERGROUPS = 59  # asm-generic/socket.h; Python's socket has no name for it
_GONE = select.EPOLLHUP | select.EPOLLERR


class Control:
    """The socket and its connections. `group`: its members may control the daemon, besides its user and root."""

    def __init__(
        self, master: Master, place: Place, view: DaemonView, replies: Replies, group: int | None = None
    ) -> None:
        """Serve the clients of a socket that listens."""
        self._master = master
        self._view = view
        self._replies = replies
        self._group = group
        self._place, self._listener = place.directory, place.listener
        self._connections: dict[int, Connection] = {}
        self._grants = 0
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._of_members = select.epoll()
        master.selector.register(self._epoll, selectors.EVENT_READ, self._serve)
        master.selector.register(self._of_members, selectors.EVENT_READ, self._serve_members)

    def admit(self, group: int | None) -> None:
        """Admit the members of this group from now on, instead of the former. Raises OSError."""
        admit(self._place, group)
        self._group = group

    @property
    def is_there(self) -> bool:
        """Whether the socket was not removed."""
        return os.access(SOCKET, os.F_OK, dir_fd=self._place)

    def move(self, directory: str) -> None:
        """Listen in this directory, as the socket was removed. Raises SystemFailure, OSError."""
        place = opened(directory, self._group)
        self._epoll.unregister(self._listener)
        self._listener.close()
        os.close(self._place)
        self._place, self._listener = place.directory, place.listener
        self._epoll.register(self._listener, select.EPOLLIN)

    def descriptors(self) -> list[int]:
        """Return the descriptors that a fork of the master has no use for."""
        return [
            *(self._place, self._listener.fileno(), self._epoll.fileno(), self._of_members.fileno()),
            *self._connections,
        ]

    def close(self) -> None:
        """Close all connections, and remove the socket."""
        self._master.selector.unregister(self._epoll)
        self._master.selector.unregister(self._of_members)
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._listener.close()
        self._epoll.close()
        self._of_members.close()
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

    def _serve_members(self) -> None:
        for descriptor, events in self._of_members.poll(0, _TURN):
            if connection := self._connections.get(descriptor):
                self._handle(connection, events)

    def _epoll_of(self, connection: Connection) -> select.epoll:
        return self._of_members if connection.member or connection.reader else self._epoll

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
        member = uid not in (0, os.geteuid())
        if member and (self._group is None or self._group not in (gid, *_groups(accepted))):
            rights.close(accepted)
            return
        alike = [each for each in self._connections.values() if each.member == member and not each.reader]
        if len(alike) >= CONNECTIONS:
            self._drop(to_close(alike))
        self._add(Connection(accepted, pid, uid, member, refuses=rights.refuse(accepted)))

    def _add(self, connection: Connection) -> None:
        connection.socket.setblocking(False)
        self._connections[connection.socket.fileno()] = connection
        connection.events = select.EPOLLIN
        self._epoll_of(connection).register(connection.socket, connection.events)

    def connect_reader(self, grant: int = 0) -> int:
        """Return the client's end of a connection that only reads, of a new grant or of this one. Raises OSError."""
        if not grant:
            self._grants += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        reader = grant or self._grants
        self._add(Connection(ours, os.getpid(), os.geteuid(), False, reader, refuses=rights.refuse(ours)))
        return theirs.detach()

    def _connection_for(self, connection: Connection) -> int:
        """Return the descriptor of another connection for a client that only reads. Raises Refused."""
        if not connection.reader:
            raise Refused("this request is for auxiliary workers: connect to the socket once more")
        if len([each for each in self._connections.values() if each.reader == connection.reader]) >= READERS:
            raise Refused(f"a worker has at most {READERS} connections")
        try:
            return self.connect_reader(connection.reader)
        except OSError as error:
            raise Refused(f"no descriptor is left for a connection: {error.strerror}") from None

    def _handle(self, connection: Connection, events: int) -> None:
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

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None) is not None:
            self._cease_waiting(connection)
            connection.watches = False
            self._epoll_of(connection).unregister(connection.socket)
            connection.close()

    def _advance(self, connection: Connection, proceed: bool = False) -> None:
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

    def _listen_for(self, connection: Connection) -> None:
        """Have epoll wait for what this connection can go on with; it always reports a hang-up."""
        events = 0
        if connection.outgoing or connection.more:
            events = select.EPOLLOUT
        elif connection.readable and not connection.busy:
            events = select.EPOLLIN
        if events != connection.events:
            connection.events = events
            self._epoll_of(connection).modify(connection.socket, events)

    @staticmethod
    def _next_piece(connection: Connection, pieces: Iterator[bytes]) -> None:
        piece = next(pieces, None)
        if piece is not None:
            connection.outgoing += piece
        else:
            connection.pieces, connection.watches = None, connection.follows

    # Requests.

    def _next_request(self, connection: Connection) -> None:
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

    def _refuse(self, connection: Connection, why: str) -> None:
        """Send the error and close: what follows a malformed request cannot be understood."""
        connection.outgoing += encoded({"ok": False, "error": "malformed", "text": why})
        connection.closing = True
        connection.incoming.clear()

    def _serve_request(self, connection: Connection, request: Request) -> None:
        if connection.reader and request.what in ("stacks", "profile", "command"):
            raise Refused("this connection only reads")
        match request.what:
            case "hello":
                connection.outgoing += encoded(self._view.hello())
            case "status":
                connection.pieces = self._view.status()
            case "scoreboard":
                connection.passes = self._view.means.scoreboard()
                connection.outgoing += encoded({"ok": True})
            case "connection":
                connection.passes = self._connection_for(connection)
                connection.outgoing += encoded({"ok": True})
            case "events":
                connection.pieces, connection.follows = self._view.history(), request.events
            case "explain":
                connection.outgoing += encoded(self._view.slot(request.slot))
            case "stacks":
                self._view.means.stacks(self._await(connection), request.slot, request.force)
            case "profile":
                asked = request.slot, request.seconds, request.rate, request.idle
                connection.passes = self._view.means.profile(*asked)
                connection.outgoing += encoded({"ok": True})
            case "command":
                assert request.command is not None
                connection.watches = request.events
                self._master.enqueue(CommandReceived(self._await(connection), request.command, connection.client))

    def _await(self, connection: Connection) -> int:
        """Return the id of the reply that this connection waits for."""
        connection.waits_for = self._replies.expect(lambda reply: self._answer(connection, reply))
        return connection.waits_for

    def _cease_waiting(self, connection: Connection) -> None:
        if connection.waits_for is not None:
            self._replies.forget(connection.waits_for)
            connection.waits_for = None

    def _answer(self, connection: Connection, reply: Reply) -> None:
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
    def _send_event(connection: Connection, line: bytes) -> None:
        """Send an event to a client that watches, or count it as lost if the client is too far behind."""
        if connection.lost:
            line = encoded({"event": "lost", "count": connection.lost}) + line
        if len(connection.outgoing) + len(line) > WAITING:
            connection.lost += 1
            return
        connection.lost = 0
        connection.outgoing += line


def _groups(connected: socket.socket) -> Sequence[int]:
    """Return the supplementary groups of the peer."""
    try:
        data = connected.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)  # Python gives no more room.
    except OSError:  # More than 256 groups, or an old kernel: then its first one has to do.
        return ()
    return struct.unpack(f"{len(data) // 4}I", data)
