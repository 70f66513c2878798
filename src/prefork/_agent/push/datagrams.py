"""Datagrams to a server, by UDP or over a Unix socket; nothing here waits for it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from ..._linux.address import parse


class Datagrams:
    """Sends to a full address: `udp://host:port`, `unix:///path` or `unix://@name`."""

    def __init__(self, address: str) -> None:
        self._address = parse(address)
        self._socket: socket.socket | None = None

    def send(self, datagrams: Iterable[bytes]) -> str | None:
        """Send all; return why one was not sent. Of a closed port the kernel knows from the next datagram on."""
        try:
            self._socket = self._socket or self._connected()
            for each in datagrams:
                self._socket.send(each)
        except BlockingIOError:
            return "its queue is full"
        except OSError as error:
            self.close()  # The name, or the path, may be another server's by the next time.
            return error.strerror or str(error)
        return None

    def close(self) -> None:
        """Close the socket; the next datagram opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        family, address = self._resolved()
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made

    def _resolved(self) -> tuple[socket.AddressFamily, Any]:
        if self._address.scheme == "udp":
            found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
            return found[0][0], found[0][4]
        mark = "\0" if self._address.scheme == "abstract" else ""
        return socket.AF_UNIX, mark + self._address.text
