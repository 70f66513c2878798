"""One write for all that is written in one turn of the event loop.

A response's head goes out with its first piece.

uvicorn writes head and body pieces one by one, each a system call and a packet, and the client wakes up for each. ASGI
lets a server keep the head until a piece of the body comes. Here it waits for the end of the turn at most: the head of
a slow answer goes out at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

_MOST = 16384
"""Bytes: longer data is not kept, and not copied."""


class Together:
    """A transport that keeps one write until the next one, or the end of the turn."""

    closed = False
    """Whether this side has closed it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._call_soon = loop.call_soon
        self._kept: bytes | None = None
        self.is_closing = transport.is_closing  # asked for each response

    def write(self, data: bytes) -> None:
        """Write, as a transport."""
        if len(data) > _MOST:
            # Two writes, since many connections may send the same data, and a copy would be each connection's own.
            self._flush()
        elif self._kept is not None:
            data = self._kept + data
            self._kept = None
        else:
            self._kept = bytes(data)
            self._call_soon(self._flush)
            return
        self.transport.write(data)

    def close(self) -> None:
        """Close when all is written, as a transport."""
        self.closed = True
        self._flush()
        self.transport.close()

    def abort(self) -> None:
        """Close at once, as a transport."""
        self.closed = True
        self.transport.abort()

    def of_websocket(self) -> Any:
        """Return the transport for the connection when it has become a WebSocket: frames go out at once."""
        self._flush()
        return self.transport

    def _flush(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None and not self.is_closing():
            self.transport.write(kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def written_together(
    protocol: type[Any], loop: asyncio.AbstractEventLoop, kind: type[Together] = Together
) -> type[Any]:
    """Return a subclass of one of uvicorn's protocols that uses `Together`."""

    made = protocol.connection_made

    class WrittenTogether(protocol):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            made(self, transport)
            self.transport: Any = kind(transport, loop)

        def handle_websocket_upgrade(self, *event: Any) -> None:
            self.transport = self.transport.of_websocket()
            super().handle_websocket_upgrade(*event)

    return WrittenTogether
