"""Accepting connections that begin with a TLS handshake, on the loop's own TLS.

A handshake is a round trip or two, in which a connection is no protocol's yet. A worker that drains waits for those
that have begun, and a client that fails in it, or sends nothing, is the client's own affair.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..._worker.async_accept import Accepting
from ..._worker.connection import Connection
from ..together import Together

if TYPE_CHECKING:
    from ..._worker.handle import Accepted, Handle

HANDSHAKE, _AT_END = 15.0, 2.0
"""Seconds that a client may take for it, and from the begin of a drain on."""
_FLUSH = 3600.0
"""Seconds that a client may take to read what is left of a response: as long as without TLS, where nothing ends it."""
_POLL = 0.25
"""Seconds between two looks at what is left."""


class Handshakes(Accepting):
    """Accepts, and makes a protocol of each connection once its handshake is done.

    On asyncio's loop and on uvloop: uvloop's own accept loop does not show which handshakes are under way.
    """

    def __init__(
        self,
        worker: Handle[Any],
        listeners: Iterable[socket.socket],
        factory: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
    ) -> None:
        super().__init__(worker, listeners, factory)
        self._context = context

    async def stop(self, *, empty: bool) -> None:
        """Stop as `Accepting`, and cut the handshakes of clients that are too slow."""
        cut = self._loop.call_later(_AT_END, self._cut)
        await super().stop(empty=empty)
        cut.cancel()

    def _cut(self) -> None:
        for task in self._connecting:
            task.cancel()

    def _connect(self, accepted: Accepted) -> None:
        connecting = self._loop.connect_accepted_socket(
            self._factory,
            Connection(accepted[0], self._activity),
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE,
            ssl_shutdown_timeout=_FLUSH,
        )
        task = self._loop.create_task(connecting)
        self._connecting.add(task)
        task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[Any]) -> None:
        # A handshake fails by an OSError: ssl.SSLError, a reset, a time-out.
        if not task.cancelled() and isinstance(task.exception(), OSError):
            self._connecting.discard(task)
        else:
            super()._connected(task)


class SecureTogether(Together):
    """`Together` over TLS, whose end does not wait for the client.

    TLS ends a connection by an alert of each side. A client that is silent, as in a pool, sends none, and a drain would
    wait for it: so once the last byte and the alert are on their way, nothing more is read.
    """

    def close(self) -> None:
        """Close when all is written, as a transport."""
        ending = None if self.is_closing() else self._own()
        super().close()
        if ending is not None:
            self._end(ending)

    def of_websocket(self) -> Any:
        """Return this transport, which keeps no write any more: a WebSocket's end must not wait either."""
        self._flush()
        self.write = self.transport.write  # type: ignore[method-assign]
        return self

    def _own(self) -> socket.socket | None:
        """Return the connection by a descriptor of our own; None where it is lost, or no descriptor is left."""
        found = self.get_extra_info("socket")
        try:
            return None if found is None else socket.socket(fileno=os.dup(found.fileno()))
        except OSError:
            return None

    def _end(self, ending: socket.socket) -> None:
        if self.transport.get_write_buffer_size():
            self._loop.call_later(_POLL, self._end, ending)
            return
        with ending, suppress(OSError):  # The client has closed it.
            ending.shutdown(socket.SHUT_RD)
