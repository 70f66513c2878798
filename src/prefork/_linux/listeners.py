"""Listening sockets, owned by the master and handed to workers."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from .._core.address import Address, parse
from .._core.plan import Listener
from .._errors import MisuseError, WorldError
from . import bind
from .given import Given
from .privileges import Identity, acting_as
from .steering import take_all_that_is_new

_PRIVILEGED = 1024
"""Ports below this one only root may bind (ip(7)), unless the machine is set up otherwise."""


@dataclass(frozen=True, slots=True)
class Circumstances:
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


@dataclass(eq=False, slots=True)
class _Place:
    """One address that is open. Several records stand for it while an option of a listener is being changed."""

    address: Address
    socket: socket.socket
    records: list[Listener]
    inode: tuple[int, int] | None = None


class Listeners:
    """The open listeners of a daemon, by their records in the plan."""

    def __init__(self, circumstances: Circumstances) -> None:
        self._circumstances = circumstances
        self._beside_orphans = circumstances.beside_orphans
        self._places: dict[Listener, _Place] = {}
        self._news: list[str] = []

    def bind(self, listeners: Sequence[Listener]) -> list[str]:
        """Open these, on failure none of them; return what the log should say of it.

        Raises MisuseError for an address that is none, WorldError otherwise.
        """
        self._news = []
        given = self._circumstances.given
        names = [listener.name for listener in listeners]
        first = not self._places
        if first:
            given.adopt(names)
        opened: list[Listener] = []
        try:
            for listener in listeners:
                self._places[listener] = self._open(listener)
                opened.append(listener)
        except Exception:
            self.unbind(opened)
            raise
        if first and (left := given.unclaimed(names)):
            self._news.append(f"socket activation brought {', '.join(left)}: no listener has such a name")
        return self._news

    def unbind(self, listeners: Sequence[Listener]) -> None:
        """Close these."""
        for listener in listeners:
            if (place := self._places.pop(listener, None)) is None:
                continue
            place.records.remove(listener)
            if place.records:
                bind.listen(place.socket, place.records[-1])
            else:
                self._close(place)

    def descriptor(self, listener: Listener) -> int:
        """Return the descriptor of an open listener."""
        return self._places[listener].socket.fileno()

    def where(self, listener: Listener) -> str:
        """Return the full address that an open listener has: with the port that the kernel chose."""
        return _where(self._places[listener].socket)

    def leave_nothing_to_orphans(self) -> None:
        """Somebody is ready to serve here: what is new comes to us alone, so that orphans can drain without a loss."""
        if self._beside_orphans:
            self._beside_orphans = False
            for place in self._places.values():
                if place.address.has_port:
                    take_all_that_is_new(place.socket)

    def close(self) -> None:
        """Close them all."""
        self.unbind(list(self._places))

    def _open(self, listener: Listener) -> _Place:
        try:
            address = parse(listener.address)
        except ValueError as error:
            raise MisuseError(f"{listener.address!r} ({listener.name}) is no address: {error}") from None
        try:
            for place in self._places.values():  # An option was changed, or the name.
                if place.address == address and (not address.is_any_port or place.records[0].name == listener.name):
                    bind.listen(place.socket, listener)
                    place.records.append(listener)
                    return place
            place = self._open_place(listener, address)
        except OSError as error:
            reason = _reason(error, address, self._circumstances)
            raise WorldError(f"cannot listen on {listener.address} ({listener.name}): {reason}") from None
        return place

    def _open_place(self, listener: Listener, address: Address) -> _Place:
        given = self._circumstances.given
        if address.scheme == "fd" or given.has(listener.name):
            return self._adopted(listener, address)
        identity = self._circumstances.identity
        if listener.address in self._circumstances.operator and address.has_port:
            identity = None
        with acting_as(identity):
            if address.scheme == "unix":
                return self._open_path(listener, address)
            sock = bind.open_socket(address, self._beside_orphans and listener.reuseport)
        try:
            bind.listen(sock, listener)
            if address.has_port and listener.reuseport:
                bind.share_port(sock)
        except BaseException:
            sock.close()
            raise
        return _Place(address, sock, [listener])

    def _open_path(self, listener: Listener, address: Address) -> _Place:
        path = address.text
        sock = bind.open_path(listener, path, self._beside_orphans)
        bind.listen(sock, listener)
        return _Place(address, sock, [listener], bind.inode(path))

    def _adopted(self, listener: Listener, address: Address) -> _Place:
        """Take a socket that the program was started with. How long its queue may be, whoever gave it has said."""
        sock = self._circumstances.given.take(listener.name if address.scheme != "fd" else address.text)
        if sock.type == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            bind.listen(sock, listener)
        sock.setblocking(False)
        return _Place(address, sock, [listener])

    def _close(self, place: _Place) -> None:
        place.socket.close()
        if place.inode is not None:
            # As the user again, and only what we made: the path may lead elsewhere by now.
            with acting_as(self._circumstances.identity):
                if bind.inode(place.address.text) == place.inode:
                    bind.unlink(place.address.text)


def _where(sock: socket.socket) -> str:
    """Return the address that a socket really has."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix://@{os.fsdecode(name[1:])}" if isinstance(name, bytes) else f"unix://{name}"
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"{'udp' if sock.type == socket.SOCK_DGRAM else 'tcp'}://{host}:{name[1]}"


def _reason(error: OSError, address: Address, circumstances: Circumstances) -> str:
    """Return why an address could not be opened, with what to do about it where that is known."""
    reason = error.strerror or str(error)
    if error.errno == errno.EACCES and 0 < address.port < _PRIVILEGED:
        if circumstances.identity is not None:
            return f"{reason}: a privileged port, asked for by an application that is not privileged"
        return f"{reason}: ports below {_PRIVILEGED} are for root (or CAP_NET_BIND_SERVICE, or socket activation)"
    if error.errno == errno.EADDRINUSE and circumstances.beside_orphans:
        return f"{reason}: perhaps by workers of a former master, which end by themselves"
    return reason
