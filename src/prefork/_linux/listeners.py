"""Listening sockets, owned by the master and handed to workers."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from urllib.parse import urlsplit

from .._core.plan import Listener
from .._errors import MisuseError, WorldError
from .privileges import Identity, acting_as
from .steering import take_all_that_is_new

BACKLOG = 2048
_PRIVILEGED = 1024
"""Ports below this one only root may bind (ip(7))."""


class Listeners:
    """The open listeners of a daemon, by their records in the plan.

    `identity`: who the mold is that asks for them, where it has given up root and we have not. It is not trusted with
    our rights: paths are made as that user, and a privileged port is refused.

    `beside_orphans`: workers of a dead master of this very daemon still hold its sockets, so the port is shared with
    them. Otherwise a socket is bound exclusively, and gets SO_REUSEPORT only once it listens: a stranger's bind then
    fails, while a later master of this daemon can bind beside our orphans.
    """

    def __init__(self, beside_orphans: bool, identity: Identity | None = None) -> None:
        self._beside_orphans = beside_orphans
        self._identity = identity
        self._open: dict[Listener, socket.socket] = {}

    def bind(self, listeners: Sequence[Listener]) -> None:
        """Open these; on failure none of them. Raises MisuseError for an address that is none, WorldError otherwise."""
        opened: dict[Listener, socket.socket] = {}
        try:
            for listener in listeners:
                opened[listener] = self._bind(listener)
        except Exception:
            for sock in opened.values():
                sock.close()
            raise
        self._open.update(opened)

    def unbind(self, listeners: Sequence[Listener]) -> None:
        """Close these."""
        for listener in listeners:
            if (sock := self._open.pop(listener, None)) is not None:
                sock.close()
                if sock.family == socket.AF_UNIX and listener.address not in [one.address for one in self._open]:
                    _unlink(urlsplit(listener.address).path)

    def descriptor(self, listener: Listener) -> int:
        """Return the descriptor of an open listener."""
        return self._open[listener].fileno()

    def where(self, listener: Listener) -> str:
        """Return the full address that an open listener has: with the port that the kernel chose."""
        sock = self._open[listener]
        if sock.family == socket.AF_UNIX:
            return listener.address
        host, port = sock.getsockname()[:2]
        return f"tcp://{f'[{host}]' if ':' in host else host}:{port}"

    def leave_nothing_to_orphans(self) -> None:
        """Somebody is ready to serve here: what is new comes to us alone, so that orphans can drain without a loss."""
        if self._beside_orphans:
            self._beside_orphans = False
            for sock in self._open.values():
                if sock.family != socket.AF_UNIX:
                    take_all_that_is_new(sock)

    def close(self) -> None:
        """Close them all."""
        self.unbind(list(self._open))

    def _bind(self, listener: Listener) -> socket.socket:
        for record, sock in self._open.items():  # An option was changed: both records share the socket.
            if record.address == listener.address:
                return sock.dup()
        parts = urlsplit(listener.address)
        try:
            if parts.scheme == "unix" and parts.path:
                with acting_as(self._identity):
                    return self._bind_unix(parts.path)
            if parts.scheme == "tcp" and parts.hostname and parts.port is not None:
                return self._bind_tcp(parts.hostname, parts.port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise WorldError(f"cannot listen on {listener.address} ({listener.name}): {reason}") from None
        except ValueError as error:
            raise MisuseError(f"{listener.address!r} ({listener.name}) is no address: {error}") from None
        raise MisuseError(f"{listener.address!r} ({listener.name}) is no address: give tcp://host:port or unix:///path")

    def _bind_tcp(self, host: str, port: int) -> socket.socket:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if 0 < port < _PRIVILEGED and self._identity is not None:
            raise PermissionError(errno.EACCES, "a privileged port, asked for by an application that is not privileged")
        sock = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._beside_orphans:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Inherited by what is accepted.
            sock.bind(address)
            return _listening(sock)
        except BaseException:
            sock.close()
            raise

    def _bind_unix(self, path: str) -> socket.socket:
        self._clear_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(path)
            return _listening(sock)
        except BaseException:
            sock.close()
            raise

    def _clear_stale(self, path: str) -> None:
        """Remove the socket that a dead process left. Raises OSError for a live one, and for what is no socket."""
        try:
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise OSError(errno.EEXIST, "there is something else of this name, not a socket")
        except FileNotFoundError:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            refused = probe.connect_ex(path) in (errno.ECONNREFUSED, errno.ENOENT)
        if not refused and not self._beside_orphans:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        _unlink(path)


def _listening(sock: socket.socket) -> socket.socket:
    sock.listen(BACKLOG)
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # Nobody has left one, or the program has removed it.
