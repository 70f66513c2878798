"""Finds the order in which the kernel lists the sockets of one port (`listeners.port`).

The master that knew it is dead, and each socket that died with it has let the last one take its place. Nothing lists
the order, but it can be tried: with every socket made to drop what comes from one source port, and with new connections
sent to one place of the list, the socket in that place counts a dropped packet (sk_drops in SO_MEMINFO). No connection
begins, no other client's packet is dropped, and the sockets serve on meanwhile.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from ...._linux import steering

_SO_MEMINFO = 55  # <asm-generic/socket.h>
_DROPS = 8
"""The place of the dropped packets among nine numbers (SK_MEMINFO_DROPS of <linux/sock_diag.h>)."""
_TRIES = 3


class UnknownOrder(Exception):
    """The order cannot be found; the text says why."""


def in_order(sockets: Sequence[socket.socket]) -> list[int]:
    """Return the places in `sockets` of those of one port, in the kernel's order. Raises UnknownOrder."""
    if len(sockets) == 1:
        return [0]
    try:
        return _tried(sockets)
    except OSError as error:
        raise UnknownOrder(f"the sockets of one port cannot be told apart: {error.strerror}") from None
    finally:
        for sock in sockets:
            with suppress(OSError):
                steering.admit(sock)


def _tried(sockets: Sequence[socket.socket]) -> list[int]:
    with _Probe(sockets[0]) as probe:
        for sock in sockets:
            steering.drop_from(sock, probe.port)
        order: list[int] = []
        for place in range(len(sockets)):
            steering.choose(sockets[0], [place])
            order.append(_hit(sockets, probe))
    if sorted(order) != list(range(len(sockets))):
        raise UnknownOrder("a socket of the port is missing: a process that is not adopted has it")
    return order


def _hit(sockets: Sequence[socket.socket], probe: _Probe) -> int:
    """Return which socket has dropped a packet of the probe's: others may drop packets of other clients' meanwhile."""
    suspects = set(range(len(sockets)))
    for _ in range(_TRIES):
        before = [_drops(sock) for sock in sockets]
        probe.send()
        suspects &= {place for place, sock in enumerate(sockets) if _drops(sock) != before[place]}
        if len(suspects) == 1:
            return suspects.pop()
    raise UnknownOrder("the kernel does not count what the sockets of one port drop")


def _drops(sock: socket.socket) -> int:
    return int(struct.unpack("=9I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))[_DROPS])


class _Probe:
    """A client of the port, always from the same source port."""

    def __init__(self, of: socket.socket) -> None:
        self._of = of
        self._to = of.getsockname()
        self._sock = self._made()
        self._sock.bind((self._to[0], 0))
        self.port = int(self._sock.getsockname()[1])

    def __enter__(self) -> _Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def _made(self) -> socket.socket:
        sock = socket.socket(self._of.family, self._of.type)
        sock.setblocking(False)
        if sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock

    def send(self) -> None:
        """Send one packet to the port: a SYN, which is not answered, or a datagram."""
        if self._sock.type == socket.SOCK_DGRAM:
            self._sock.sendto(b"", self._to)
            return
        self._sock.close()
        self._sock = self._made()
        self._sock.bind((self._to[0], self.port))
        if (error := self._sock.connect_ex(self._to)) not in (0, errno.EINPROGRESS):
            raise OSError(error, f"no connection to {self._to}")
