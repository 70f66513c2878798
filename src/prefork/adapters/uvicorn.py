"""uvicorn on a socket of ours, ended without losing a request.

Told to end, a stock uvicorn closes connections that it has accepted and not yet read, closes idle keep-alive
connections under the next request, and raises SIGTERM once more, so that a clean end looks like a death. Here a worker
stops accepting, lets every accepted connection deliver its request (for half a second), says `Connection: close` with
each response so that clients know (for a second), finishes what is in flight, and exits 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Literal

import uvicorn
from uvicorn.server import ServerState

if TYPE_CHECKING:
    from .._worker import Worker
    from . import Application, ServerOptions

name = "uvicorn"
protocols = frozenset({"asgi"})
sharing: Literal["shared"] = "shared"

FIRST_REQUEST = 0.5
"""How long, in seconds, an accepted connection may take to deliver its first request once draining has begun."""
KEEPALIVE_WINDOW = 1.0
"""How long, in seconds, idle connections are kept so that their next request is answered with `Connection: close`."""

_CLOSE = (b"connection", b"close")
_LOOK = 0.005
"""uvicorn's connections do not tell when they fall idle, so while draining, and only then, they are looked at."""


def warm(application: Application, protocol: str, options: ServerOptions) -> None:
    """Import the parts that uvicorn itself imports only when it starts."""
    uvicorn.Config(application, log_config=None).load()


def serve(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, protocol: str, options: ServerOptions
) -> None:
    """Serve until the worker is to drain, then return."""
    config = uvicorn.Config(
        application, log_config=None, access_log=False, lifespan=options.lifespan, root_path=options.root_path
    )
    DrainingServer(config, worker.ready).run(sockets=[listener.dup() for listener in listeners])


def serve_socket(app: Any, sock: socket.socket, **options: Any) -> None:
    """Serve `app` on a listening socket until SIGTERM, then drain and return. `options` are uvicorn.Config's."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) if sock.family != socket.AF_UNIX else None
    config = uvicorn.Config(app, **{"log_config": None, "access_log": False, **options})
    DrainingServer(config).run(sockets=[sock])


class DrainingServer(uvicorn.Server):
    """A uvicorn server that makes no wake-up while it is idle, and loses nothing when it ends."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._ready = ready
        self._state = self.server_state = _DatedState(config)
        self._told_to_end = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing here, and so raise nothing again at the end: `startup` asks the loop."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does; TERM begins the drain."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._told_to_end.set)
        await super().startup(sockets)
        self._ready()

    async def main_loop(self) -> None:
        """Wait to be told, instead of looking ten times a second."""
        await self._told_to_end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down as uvicorn does."""
        # Not by closing the servers yet: asyncio drops, unread, what it has accepted in this very turn of the loop and
        # finds a closed server behind. (uvloop does not, and has no reader here to remove.)
        for sock in sockets or ():
            asyncio.get_running_loop().remove_reader(sock)
        await _a_few_turns()
        for server in self.servers:
            server.close()
        self._state.closing = True
        for connection in list(self.server_state.connections):
            _tell_to_close(connection)
        await _a_few_turns()
        begun = time.monotonic()
        while self._awaited(time.monotonic() - begun):
            await asyncio.sleep(_LOOK)
        await super().shutdown(sockets)

    def _awaited(self, elapsed: float) -> bool:
        """Tell whether some connection may still send a request that we should answer."""
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is None and elapsed < FIRST_REQUEST and hasattr(connection, "cycle"):
                return True
            if cycle is not None and cycle.response_complete and elapsed < KEEPALIVE_WINDOW:
                return True
        return False


class _DatedState(ServerState):
    """uvicorn's state, with response headers that are right when they are asked for: nothing wakes up to renew them."""

    closing = False

    def __init__(self, config: uvicorn.Config) -> None:
        self._config = config
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of a response that starts now."""
        second = int(time.time())
        if second != self._second:
            date = [(b"date", formatdate(second, usegmt=True).encode())] if self._config.date_header else []
            self._headers = date + self._config.encoded_headers
            self._second = second
        return [*self._headers, _CLOSE] if self.closing else self._headers

    @default_headers.setter
    def default_headers(self, _headers: list[tuple[bytes, bytes]]) -> None:
        """uvicorn's own constructor sets them; they are made on demand."""


async def _a_few_turns() -> None:
    """Let what has been accepted become a connection."""
    for _ in range(5):
        await asyncio.sleep(0)


def _tell_to_close(connection: Any) -> None:
    if not hasattr(connection, "cycle"):  # A WebSocket: told to go elsewhere (1012).
        connection.shutdown()
        return
    cycle = connection.cycle
    if cycle is not None and not cycle.response_started:  # It took its headers when its request began.
        cycle.default_headers = [*cycle.default_headers, _CLOSE]
