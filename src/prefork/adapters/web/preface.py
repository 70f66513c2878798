"""What reads the PROXY header of an accepted connection, and then gives the connection to uvicorn's protocol.

Only peers that are trusted send one. Others are served as usual: what they send is a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableSet
from typing import Any

from .proxy_header import End, parse
from .refusals import Refusals
from .trusted import Trusted

_PATIENCE = 5.0
"""Seconds until the header is complete: a balancer sends it at once."""


class Preface(asyncio.Protocol):
    """The protocol of a connection until its header has come. `connections` has it meanwhile, as the server's own."""

    transport: asyncio.Transport
    cycle = None
    """For a drain, which looks at each connection: no request is in flight."""

    def __init__(
        self, make: Callable[[], Any], connections: MutableSet[Any], trusted: Trusted, refusals: Refusals
    ) -> None:
        self._make = make
        self._connections = connections
        self._trusted = trusted
        self._refusals = refusals
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the header, if the peer is trusted."""
        self.transport = transport
        self._peer = _host(transport)
        if not self._trusted.peer(self._peer):
            self._hand_on(transport)
            return
        self._connections.add(self)
        late = "its PROXY header has not come in time"
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._refuse, late)

    def data_received(self, data: bytes) -> None:
        """Read the header."""
        self._data += data
        try:
            header = parse(self._data)
        except ValueError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._end()
            self._data = self._data[header.length :]
            self._hand_on(Named(self.transport, *header.ends) if header.ends else self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it: a balancer that only checks whether the port answers."""
        self._end()

    def shutdown(self) -> None:
        """Close it, at the end of the drain."""
        self.transport.close()

    def _refuse(self, why: str) -> None:
        self._end()
        self._refusals.note(f"connection from {self._peer or 'a Unix socket'} closed: {why}")
        self.transport.abort()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._connections.discard(self)

    def _hand_on(self, transport: Any) -> None:
        protocol = self._make()
        self.transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._data:
            protocol.data_received(self._data)


class Named:
    """A transport with other ends than its socket's: the client, and the address that it has connected to."""

    def __init__(self, transport: asyncio.Transport, client: End, server: End) -> None:
        self._transport = transport
        self._ends = {"peername": client, "sockname": server}
        self._ends["socket"] = _Socket(transport.get_extra_info("socket"), client, server)  # type: ignore[assignment]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the header says of the ends, and of all else what the transport does."""
        return self._ends[name] if name in self._ends else self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Socket:
    def __init__(self, sock: Any, client: End, server: End) -> None:
        self.fileno = sock.fileno
        self.getpeername = lambda: client
        self.getsockname = lambda: server


def _host(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""
