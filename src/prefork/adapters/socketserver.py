"""The standard library's socketserver in a worker; http.server and wsgiref too.

Its `serve_forever` polls every half second whether to end. Here `Worker.accept` waits for connections, and the server's
documented methods do the rest. For stream sockets.
"""

from __future__ import annotations

import math
import socket
import socketserver
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._worker.draining.sleeper import Sleeper
from .outside import Listener

if TYPE_CHECKING:
    from .._worker.handle import Worker


def serve(
    worker: Worker[Any],
    name: str,
    server: type[socketserver.TCPServer],
    handler: type[socketserver.BaseRequestHandler],
    *,
    window: float = 1.0,
) -> None:
    """Serve the listener of this name until the worker drains, and return when all handlers have returned.

    `server` is a class; one with `socketserver.ThreadingMixIn` handles many connections at once. A connection counts as
    one request. `window` seconds after the drain began, reading from clients ends, so that handlers of silent clients
    return. A server that handles one connection at a time cannot do this: its handlers need a `timeout`. Raises
    UsageError for a listener that the worker does not have.
    """
    with _made(server, handler, worker)(worker.listener(name)) as serving:
        for connection, address in worker.accept(name):
            serving.take(connection, address)
        serving.finish(window)


def _made(server: Any, handler: type[socketserver.BaseRequestHandler], worker: Worker[Any]) -> Any:
    """Return a subclass of the server's class that works on a worker's listener."""

    class Served(server):  # type: ignore[misc]
        # These would be set on a socket that all processes share.
        allow_reuse_address = allow_reuse_port = False

        def __init__(self, listener: socket.socket) -> None:
            super().__init__(listener.getsockname(), handler, bind_and_activate=False)
            made: Any = self  # whose type mypy cannot know
            made.socket.close()
            made.socket = Listener.of(listener)
            self.server_bind()  # which notes the server's name and port
            self.server_activate()
            self._open: set[socket.socket] = set()
            self._sleeper = Sleeper(worker._drain)

        def take(self, connection: socket.socket, address: Any) -> None:
            """Do what `handle_request` does with an accepted connection."""
            try:
                if self.verify_request(connection, address):
                    self._open.add(connection)
                    self.process_request(connection, address)
                else:
                    self.shutdown_request(connection)
            except Exception:
                self.handle_error(connection, address)
                self.shutdown_request(connection)
            self.service_actions()

        def finish_request(self, connection: socket.socket, address: Any) -> None:
            with worker.request(handler.__name__):
                super().finish_request(connection, address)

        def close_request(self, connection: socket.socket) -> None:
            super().close_request(connection)
            self._open.discard(connection)
            if worker.draining:
                self._sleeper.wake()

        def finish(self, window: float) -> None:
            """Wait until no connection is open; after the window, reading from silent clients ends.

            Before the master's timeout writing ends, too.
            """
            silent = time.monotonic() + window
            while self._open and worker._drain.until_cut():
                if (rest := silent - time.monotonic()) <= 0:
                    self._shut(socket.SHUT_RD)
                self._sleeper.sleep(rest if rest > 0 else math.inf)
            if self._open:
                worker._report_cut([handler.__name__] * len(self._open))
                self._shut(socket.SHUT_RDWR)
                while self._open:
                    self._sleeper.sleep(math.inf)

        def _shut(self, how: int) -> None:
            for connection in list(self._open):
                with suppress(OSError):  # Its handler, or its client, has just closed it.
                    connection.shutdown(how)

    return Served
