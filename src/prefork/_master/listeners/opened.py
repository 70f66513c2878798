"""The open listeners: sockets that the master owns and passes to workers."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence

from ..._core.plan import Listener
from ..._errors import SystemFailure, UsageError
from ..._linux.address import Address, parse
from ..._records.members import field, replace
from ..._records.record import record
from ..._wire.launch import Identity
from ..forks.privileges import acting_as
from ..paths import trust
from . import bind
from .inherited import Given
from .names import Found, numeric
from .port import Port
from .queues import Queues
from .refused import why_refused

_PRIVILEGED = 1024
"""Only root can bind ports below this one (ip(7)), by default."""


@record
class BindOptions:
    """How addresses are opened.

    `beside_orphans`: workers of a dead master of this daemon still hold its sockets, so ports are shared with them.
    Otherwise a socket is bound exclusively, and gets SO_REUSEPORT only once it listens: another program's bind then
    fails, while a later master of this daemon can bind beside our orphans.

    `orphans_serve`: until a worker of ours is ready they get all new connections to a port.

    `identity`: the user of the mold, if it has dropped root and the master has not. Everything is bound with that
    user's rights, except the addresses in `operator`, which the command that started the daemon named; of these a path
    is bound as the user where another user could change what it leads to.
    """

    beside_orphans: bool = False
    orphans_serve: bool = False
    identity: Identity | None = None
    given: Given = field(default_factory=Given)
    operator: frozenset[str] = frozenset()


class _SingleSocket:
    """A socket that cannot share its address: at a Unix address, or inherited."""

    def __init__(
        self, address: Address, sock: socket.socket, identity: Identity | None = None, listener: Listener | None = None
    ) -> None:
        """`listener`: the listener whose mode and owner the path has."""
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
        """Apply the listener's options. Raises OSError if the path cannot have them."""
        if self._path and self._inode and self._listener and _permissions(self._listener) != _permissions(listener):
            with acting_as(self._identity):
                bind.change_path(self._path, self._inode, self._listener, listener)
            self._listener = listener
        if self._ours:
            bind.listen(self._socket, listener)

    def withdraw(self, _sharing: str) -> None:
        """Close it here. Workers with a copy still accept what waits in the queue."""
        self.gone = True
        self.close()

    def close(self) -> None:
        self._socket.close()
        # With the rights of the user, and only if the path is still ours.
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
    def orphan_ended(self) -> None: ...
    def orphans_drain(self) -> None: ...
    def admit_again(self) -> None: ...


class Listeners:
    """The open listeners of a daemon, by their records in the plan.

    Several records name one address while an option of a listener is changed.
    """

    def __init__(self, options: BindOptions, queues: Queues | None = None) -> None:
        """`queues`: finds the stalled shards."""
        self._options = options
        self._queues = queues
        self._records: dict[Listener, tuple[Address, str]] = {}
        self._places: dict[tuple[Address, str], Port | _SingleSocket] = {}
        self._notices: list[str] = []
        self._found: Found = {}
        self._orphans_serve = options.orphans_serve

    def bind(self, listeners: Sequence[Listener], found: Found | None = None) -> list[str]:
        """Open all of these listeners, or none; return lines for the log. `found` has the addresses of host names.

        Raises UsageError for an invalid address, else SystemFailure.
        """
        self._notices, self._found = [], found or {}
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
            self._notices.append(f"socket activation: no listener is named {', '.join(left)}; not used")
        return self._notices

    def unbind(self, listeners: Sequence[Listener]) -> list[str]:
        """Refuse new connections at these listeners; return lines for the log.

        Each is closed when the last of its workers has exited.
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
                notices.append(f"{left[-1].name}: options at {left[-1].address} not restored: {error.strerror}")
        return notices

    def address_of(self, listener: Listener) -> str:
        """Return the address of an open listener, with the port that the kernel chose."""
        place = self._records.get(listener)
        return listener.address if place is None else _actual_address(self._places[place].template())

    def addresses(self) -> dict[str, str]:
        """Return the address of each open listener, by its name."""
        return {listener.name: self.address_of(listener) for listener in self._records}

    def close(self) -> None:
        """Close all listeners."""
        for place in self._places.values():
            place.close()
        self._places.clear()
        self._records.clear()

    def give(self, listener: Listener, key: str, pid: int) -> socket.socket:
        """Return the socket for a process that becomes the worker `key`. Raises OSError if none can be opened."""
        return self._places[self._records[listener]].give(listener, key, pid)

    def is_own_queue(self, listener: Listener) -> bool:
        """Return whether new connections to a listener can be refused by its socket: no other program holds it."""
        place = self._places[self._records[listener]]
        return isinstance(place, Port) and place.template().type == socket.SOCK_STREAM

    def worker_ready(self, pid: int) -> None:
        """Note that a worker is ready and accepts connections."""
        for place in self._places.values():
            place.serves(pid, True)

    def worker_draining(self, pid: int, backlogs: Sequence[Listener] = ()) -> None:
        """Note that a worker drains; no other worker takes over the queues of the `backlogs` listeners."""
        left = {self._records.get(listener) for listener in backlogs}
        for at, place in self._places.items():
            place.serves(pid, False, at in left)

    def worker_ended(self, pid: int) -> None:
        """Note that a worker has exited."""
        for place in self._places.values():
            place.ended(pid)
        self._sweep()

    def slot_removed(self, key: str) -> None:
        """Note that a slot has been removed."""
        for place in self._places.values():
            place.forget(key)

    def orphan_ended(self) -> None:
        """Note that a worker of a dead master has ended, and others have not."""
        for place in self._places.values():
            place.orphan_ended()

    def orphans_ended(self) -> None:
        """Note that all workers of a dead master have ended; count the sockets that processes of theirs still hold."""
        for place in self._places.values():
            place.orphans_drain()
            place.count_again()
        self._sweep()

    def admit_again(self) -> None:
        """Admit new connections where an orphan may have closed a socket to them that adopted workers have, too."""
        for place in self._places.values():
            place.admit_again()

    def orphans_drain(self) -> None:
        """Note that the workers of a dead master accept no further connections."""
        self._orphans_serve = False
        for place in self._places.values():
            place.orphans_drain()

    def _sweep(self) -> None:
        for at in [at for at, place in self._places.items() if place.gone]:
            del self._places[at]

    def _open(self, listener: Listener) -> None:
        try:
            address = parse(listener.address)
        except ValueError as error:
            raise UsageError(f"{listener.address!r} ({listener.name}) is not an address: {error}") from None
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
            where = replace(address, host=self._found.get(address.host, address.host))
            reason = _reason(error, where, self._options)
            raise SystemFailure(f"cannot listen on {listener.address} ({listener.name}): {reason}") from None
        if at not in self._records.values():
            self._notices.append(f"{listener.name}: listening on {_actual_address(place.template())}")
        self._places[at], self._records[listener] = place, at

    def _open_place(self, listener: Listener, address: Address) -> Port | _SingleSocket:
        identity, orphans = self._options.identity, self._options.beside_orphans
        if address.scheme == "fd" or self._options.given.has(listener.name):
            return self._open_inherited(listener, address)
        if listener.address in self._options.operator and _is_safe(address):
            identity = None
        if not address.has_port:
            with acting_as(identity):
                if address.scheme == "unix":
                    return _SingleSocket(address, bind.open_path(listener, address.text, orphans), identity, listener)
                return _SingleSocket(address, bind.open_socket(address, False))
        address = replace(address, host=numeric(address.host, self._found))
        with acting_as(identity):
            share = (orphans or self._has_port(address.port)) and listener.reuseport
            sock = bind.open_socket(address, share)
        foreign = bind.count_listening(sock) if share else 0
        foreign -= foreign > 0 and address.scheme == "udp"
        if foreign and not orphans:  # Beside our port at another host, other programs may listen at this one.
            sock.close()
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        port = Port(sock, identity, foreign, self._queues)
        port.orphans_serve = self._orphans_serve
        return port

    def _has_port(self, port: int) -> bool:
        """Return whether we listen at this port at another host: a change from one host to all needs both."""
        return any(address.port == port for address, _ in self._places if port and address.has_port)

    def _open_inherited(self, listener: Listener, address: Address) -> _SingleSocket:
        """Use an inherited socket; its backlog stays as it was passed."""
        sock = self._options.given.take(listener.name if address.scheme != "fd" else address.text)
        if sock.type == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            bind.listen(sock, listener)
        sock.setblocking(False)
        if listener.sharing == "sharded":
            self._notices.append(f"{listener.name}: shared instead of sharded, since its socket is inherited")
        return _SingleSocket(Address("fd", text=address.text), sock)


def _is_safe(address: Address) -> bool:
    """Return whether no other user could have root make or remove something elsewhere than at this address."""
    try:
        return address.scheme != "unix" or trust.why_redirectable(os.path.dirname(address.text)) is None
    except OSError:
        return False


def _permissions(listener: Listener) -> tuple[int | None, str, str]:
    """Return the options of a listener that set the permissions of its path."""
    return listener.mode, listener.owner, listener.group


def _actual_address(sock: socket.socket) -> str:
    """Return the address that a socket is bound to."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix://@{os.fsdecode(name[1:])}" if isinstance(name, bytes) else f"unix://{name}"
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"{'udp' if sock.type == socket.SOCK_DGRAM else 'tcp'}://{host}:{name[1]}"


def _reason(error: OSError, address: Address, options: BindOptions) -> str:
    """Return why an address could not be opened, with what to do about it if that is known."""
    reason = why_refused(error, address)
    if error.errno == errno.EACCES and 0 < address.port < _PRIVILEGED:
        if options.identity is not None:
            return f"{reason}: the application's user cannot bind ports below {_PRIVILEGED}: use --bind"
        return f"{reason}: ports below {_PRIVILEGED} need root, CAP_NET_BIND_SERVICE or socket activation"
    if error.errno == errno.EADDRINUSE and options.beside_orphans:
        return f"{reason}; perhaps a worker of the previous master, which exits by itself: try again later"
    return reason
