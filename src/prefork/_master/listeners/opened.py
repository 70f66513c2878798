"""Listening sockets, owned by the master and handed to workers."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..._core.plan import Listener
from ..._errors import SystemFailure, UsageError
from ..._linux.address import Address, parse
from ..privileges import Identity, acting_as
from . import bind
from .inherited import Given
from .port import Port
from .queues import Queues

_PRIVILEGED = 1024
"""Ports below this one only root may bind (ip(7)), unless the machine is set up otherwise."""


@dataclass(frozen=True, slots=True)
class BindOptions:
    """What decides how an address may be opened.

    `beside_orphans`: workers of a dead master of this very daemon still hold its sockets, so ports are shared with
    them. Otherwise a socket is bound exclusively, and gets SO_REUSEPORT only once it listens: a stranger's bind then
    fails, while a later master of this daemon can bind beside our orphans.

    `identity`: who the mold is that asks, where it has given up root and we have not. It is not trusted with our
    rights: everything is bound with that user's, but for the addresses in `operator`, which whoever started us named.
    """

    beside_orphans: bool = False
    identity: Identity | None = None
    given: Given = field(default_factory=Given)
    operator: frozenset[str] = frozenset()


class _Single:
    """A socket that cannot be one of several: at a Unix address, or given to us."""

    def __init__(
        self, address: Address, sock: socket.socket, identity: Identity | None = None, listener: Listener | None = None
    ) -> None:
        """`listener`: whose mode and owner a path has."""
        self._socket = sock
        self._ours = address.scheme != "fd"
        self._listener = listener
        self._path = address.text if address.scheme == "unix" else None
        self._inode = bind.inode(self._path) if self._path is not None else None
        self._identity = identity
        self.gone = False

    def template(self) -> socket.socket:
        return self._socket

    def open(self, listener: Listener) -> None:
        """Take its options; raises OSError where the path cannot have them."""
        if self._path and self._inode and self._listener and _permits(self._listener) != _permits(listener):
            with acting_as(self._identity):
                bind.change_path(self._path, self._inode, self._listener, listener)
            self._listener = listener
        if self._ours:
            bind.listen(self._socket, listener)

    def withdraw(self, _sharing: str) -> None:
        """Close it. What waits in the queue is still taken by those who have a copy."""
        self.gone = True
        self.close()

    def close(self) -> None:
        self._socket.close()
        # As the user again, and only what we made: the path may lead elsewhere by now.
        with acting_as(self._identity):
            if self._path is not None and bind.inode(self._path) == self._inode:
                bind.unlink(self._path)
        self._path = None

    def give(self, _listener: Listener, _key: str, _pid: int) -> socket.socket:
        return self._socket

    def serves(self, pid: int, whether: bool, abandons: bool = False) -> None: ...
    def ended(self, pid: int) -> None: ...
    def forget(self, key: str) -> None: ...
    def count_again(self) -> None: ...


class Listeners:
    """The open listeners of a daemon, by their records in the plan.

    Several records stand for one place while an option of a listener is being changed.
    """

    def __init__(self, options: BindOptions, queues: Queues | None = None) -> None:
        """`queues`: who finds out which shards stand still."""
        self._options = options
        self._queues = queues
        self._records: dict[Listener, tuple[Address, str]] = {}
        self._places: dict[tuple[Address, str], Port | _Single] = {}
        self._notices: list[str] = []

    def bind(self, listeners: Sequence[Listener]) -> list[str]:
        """Open these, on failure none of them; return what the log should say of it.

        Raises UsageError for an address that is none, SystemFailure otherwise.
        """
        self._notices = []
        given = self._options.given
        names = [listener.name for listener in listeners]
        first = not self._records
        if first:
            given.adopt(names)
        opened: list[Listener] = []
        try:
            for listener in listeners:
                self._open(listener)
                opened.append(listener)
        except Exception:
            self.unbind(opened)
            raise
        if first and (left := given.unclaimed()):
            self._notices.append(f"socket activation brought {', '.join(left)}: no listener has such a name")
        return self._notices

    def unbind(self, listeners: Sequence[Listener]) -> list[str]:
        """Let nothing new come to these; return what the log should say of it.

        Each is closed when the last of its workers has ended.
        """
        notices = []
        for listener in listeners:
            if (at := self._records.pop(listener, None)) is None:
                continue
            place = self._places[at]
            left = [record for record, where in self._records.items() if where == at]
            if isinstance(place, Port):
                left = [record for record in left if record.sharing == listener.sharing]
            if not left:
                place.withdraw(listener.sharing)
                self._sweep()
                continue
            try:
                place.open(left[-1])
            except OSError as error:
                notices.append(f"{left[-1].name} at {left[-1].address} is not as it was: {error.strerror}")
        return notices

    def address_of(self, listener: Listener) -> str:
        """Return the full address that an open listener has: with the port that the kernel chose."""
        return _where(self._places[self._records[listener]].template())

    def close(self) -> None:
        """Close them all."""
        for place in self._places.values():
            place.close()
        self._places.clear()
        self._records.clear()

    def give(self, listener: Listener, key: str, pid: int) -> socket.socket:
        """Return the socket for a process that is to be the worker `key`. Raises OSError where there is no room."""
        return self._places[self._records[listener]].give(listener, key, pid)

    def worker_ready(self, pid: int) -> None:
        """A worker is ready: it takes what comes."""
        for place in self._places.values():
            place.serves(pid, True)

    def worker_draining(self, pid: int, abandoned: Sequence[Listener] = ()) -> None:
        """A worker is to end; nobody takes over the queues of the `abandoned`."""
        left = {self._records.get(listener) for listener in abandoned}
        for at, place in self._places.items():
            place.serves(pid, False, at in left)

    def worker_ended(self, pid: int) -> None:
        """A worker has ended."""
        for place in self._places.values():
            place.ended(pid)
        self._sweep()

    def slot_removed(self, key: str) -> None:
        """There is no such slot any more."""
        for place in self._places.values():
            place.forget(key)

    def orphans_ended(self) -> None:
        """The workers of the former master have had their time."""
        for place in self._places.values():
            place.count_again()

    def _sweep(self) -> None:
        for at in [at for at, place in self._places.items() if place.gone]:
            del self._places[at]

    def _open(self, listener: Listener) -> None:
        try:
            address = parse(listener.address)
        except ValueError as error:
            raise UsageError(f"{listener.address!r} ({listener.name}) is no address: {error}") from None
        at = address, listener.name if address.is_any_port else ""
        try:
            place = self._places.get(at) or self._open_place(listener, address)
            try:
                place.open(listener)
            except OSError:
                if at not in self._places:
                    place.close()
                raise
        except OSError as error:
            reason = _reason(error, address, self._options)
            raise SystemFailure(f"cannot listen on {listener.address} ({listener.name}): {reason}") from None
        if at not in self._records.values():
            self._notices.append(f"listening on {listener.name} at {_where(place.template())}")
        self._places[at], self._records[listener] = place, at

    def _open_place(self, listener: Listener, address: Address) -> Port | _Single:
        identity, orphans = self._options.identity, self._options.beside_orphans
        if address.scheme == "fd" or self._options.given.has(listener.name):
            return self._adopted(listener, address)
        if not address.has_port:
            with acting_as(identity):
                if address.scheme == "unix":
                    return _Single(address, bind.open_path(listener, address.text, orphans), identity, listener)
                return _Single(address, bind.open_socket(address, False))
        if listener.address in self._options.operator:
            identity = None
        with acting_as(identity):
            share = (orphans or self._has_port(address.port)) and listener.reuseport
            sock = bind.open_socket(address, share)
        foreign = bind.count_listening(sock) if share else 0
        foreign -= foreign > 0 and address.scheme == "udp"
        if foreign and not orphans:  # Beside our own at another host there can be strangers at this one.
            sock.close()
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return Port(sock, identity, foreign, self._queues)

    def _has_port(self, port: int) -> bool:
        """Whether we listen there ourselves, at another host: a change from one host to all has both for a moment."""
        return any(address.port == port for address, _ in self._places if port and address.has_port)

    def _adopted(self, listener: Listener, address: Address) -> _Single:
        """Take a socket that the program was started with. How long its queue may be, whoever gave it has said."""
        sock = self._options.given.take(listener.name if address.scheme != "fd" else address.text)
        if sock.type == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            bind.listen(sock, listener)
        sock.setblocking(False)
        if listener.sharing == "sharded":
            self._notices.append(f"{listener.name} is shared, since it is one socket that was given to the program")
        return _Single(Address("fd", text=address.text), sock)


def _permits(listener: Listener) -> tuple[int | None, str, str]:
    """Return what of a listener says who may come to a path."""
    return listener.mode, listener.owner, listener.group


def _where(sock: socket.socket) -> str:
    """Return the address that a socket really has."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix://@{os.fsdecode(name[1:])}" if isinstance(name, bytes) else f"unix://{name}"
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"{'udp' if sock.type == socket.SOCK_DGRAM else 'tcp'}://{host}:{name[1]}"


def _reason(error: OSError, address: Address, options: BindOptions) -> str:
    """Return why an address could not be opened, with what to do about it where that is known."""
    reason = error.strerror or str(error)
    if error.errno == errno.EACCES and 0 < address.port < _PRIVILEGED:
        if options.identity is not None:
            return f"{reason}: a privileged port, asked for by an application that is not privileged"
        return f"{reason}: ports below {_PRIVILEGED} are for root (or CAP_NET_BIND_SERVICE, or socket activation)"
    if error.errno == errno.EADDRINUSE and options.beside_orphans:
        return f"{reason}: perhaps by workers of a former master, which end by themselves"
    return reason
