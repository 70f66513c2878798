"""uvicorn: its protocols, on an accept loop and with an end of our own.

`uvicorn.Server` is not used. It wakes up ten times a second (for the Date header, mostly). At its end it closes
connections that it has accepted and not yet read, closes idle keep-alive connections under the next request, and raises
SIGTERM once more, so that a clean end looks like a death.

Here a draining worker stops accepting, answers requests on its connections with `Connection: close`, closes those that
stay silent for a window, and finishes what is in flight. It closes WebSockets with 1012 (service restart) at once.

Tested with uvicorn 0.53.0 and 0.54.0, asyncio's loop and uvloop, httptools and h11.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import uvicorn
from uvicorn.server import ServerState

from .._worker.async_accept import Accepting
from .._worker.draining.async_drain import AsyncDrain
from . import LOOPBACK, ServerOptions
from .asgi import CountingApplication
from .lasting_logger import lasting
from .lifespan import State, lifespan, run
from .loops import loop_factory
from .native_accepting import NativeAccepting
from .together import written_together
from .web import forwarded, tls
from .web.alike import alike
from .web.client_certificate import announced
from .web.handshakes import Handshakes, SecureTogether
from .web.header import MOST, short
from .web.limits import gathered
from .web.measured import counts_bodies, measured
from .web.patient import patient
from .web.preface import Preface
from .web.refusals import Refusals
from .web.trusted import Trusted

if TYPE_CHECKING:
    import ssl

    from .._worker.activity import Activity
    from .._worker.handle import Worker
    from . import Application

name = "uvicorn"
protocols = frozenset({"asgi"})
sharing: Literal["shared"] = "shared"
check_tls = tls.check
serves_again = True

_logger = lasting("uvicorn.error")


def warm(application: Application, protocol: str, options: ServerOptions) -> None:
    """Import what uvicorn imports at its start: the loop, the parser, the WebSocket protocol."""
    loop_factory(options)
    _config(application, options, {}).get_loop_factory()


def serve(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, protocol: str, options: ServerOptions
) -> None:
    """Serve until the worker has drained."""
    _run(worker, listeners, application, options, {})


def serve_socket(
    application: Application, sock: socket.socket, *, ready: Callable[[], None] = lambda: None, **config: Any
) -> None:
    """Serve on a listening socket until SIGTERM, then drain and return: for workers of the hooks interface.

    `ready` is called when it can serve: give `prefork.ready`. `config`: arguments of `uvicorn.Config`, except those
    about addresses and processes.
    """
    from .._worker.assignment import Assignment
    from .._worker.draining.drain import Drain
    from .._worker.handle import Worker

    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    drain = Drain()
    drain.catch(signal.SIGTERM)
    atexit.register(drain.ignore)
    drain.begin()
    assignment = Assignment("", 0, {}, drain, explicit_ready=True, report_ready=ready, send=lambda _message: None)
    options = ServerOptions(lifespan=config.pop("lifespan", "auto"))
    trusted = config.pop("forwarded_allow_ips", None) or os.environ.get("FORWARDED_ALLOW_IPS") or LOOPBACK
    if config.pop("proxy_headers", True):
        networks = trusted.split(",") if isinstance(trusted, str) else trusted
        application = forwarded.asgi(application, Trusted(each.strip() for each in networks))
    _run(Worker(None, assignment), [sock], application, options, config)


def _run(
    worker: Worker[Any],
    listeners: list[socket.socket],
    application: Application,
    options: ServerOptions,
    config: dict[str, Any],
) -> None:
    factory = _config(application, options, config).get_loop_factory()
    run(_serve(worker, listeners, application, options, config), worker, factory)


async def _serve(
    worker: Worker[Any],
    listeners: list[socket.socket],
    application: Application,
    options: ServerOptions,
    config: dict[str, Any],
) -> None:
    async with lifespan(application, options.lifespan) as state:
        loop = asyncio.get_running_loop()
        context = tls.context_of(worker, options, ["http/1.1"])
        native = type(loop).__module__.startswith("uvloop") and context is None
        connections = _Connections(worker.activity if native else None)
        counting = CountingApplication(application, worker)
        chosen = _config(counting.__call__, options, config)  # an object would be looked up at each call
        counting.counts_bodies = not counts_bodies(chosen.http_protocol_class)
        make = _protocol(chosen, context, options.header_timeout, worker)
        factory = _factory(make, chosen, connections, state or {})
        if options.proxy_protocol:
            factory = partial(Preface, factory, connections, Trusted(options.forwarded_allow_ips), Refusals(worker))
        accepting = _accepting(native, context, options)(worker, listeners, factory)
        await accepting.start()
        worker.ready()
        await AsyncDrain.of(worker._drain).wait()

        async def ended() -> None:
            await accepting.stop(empty=worker.must_drain_backlog)
            await connections.finish(options.keepalive_window)

        await counting.calls.finish(ended(), connections.close)


def _accepting(
    native: bool, context: ssl.SSLContext | None, options: ServerOptions
) -> Callable[..., Accepting | NativeAccepting]:
    """Return what accepts connections: on uvloop its own accept loop, but for TLS."""
    if context is not None:
        return partial(Handshakes, context=context)
    return partial(NativeAccepting, of_unix=options.backlog) if native else Accepting


def _config(application: Any, options: ServerOptions, more: dict[str, Any]) -> uvicorn.Config:
    chosen: dict[str, Any] = {
        "interface": "asgi3",
        "lifespan": "off",  # ours
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,  # ours
        "timeout_keep_alive": options.idle_timeout,
        "h11_max_incomplete_event_size": gathered(options, MOST),
        "loop": options.loop,
    }
    for name in "max_size", "ping_interval", "ping_timeout":
        if given := getattr(options, f"websocket_{name}"):
            chosen[f"ws_{name}"] = given
    config = uvicorn.Config(application, **{**chosen, **more})
    config.load()
    if _logger.level == logging.NOTSET:
        # Which uvicorn, going by the number alone, takes for less than TRACE: it would make a text of each connection.
        _logger.setLevel(_logger.getEffectiveLevel())
    return config


def _protocol(
    config: uvicorn.Config, context: ssl.SSLContext | None, header_timeout: float, worker: Worker[Any]
) -> type[Any]:
    """Return the class of the protocols."""
    loop = asyncio.get_running_loop()
    most = config.h11_max_incomplete_event_size or MOST
    short_header = short(config.http_protocol_class, most, Refusals(worker))
    protocol = measured(patient(short_header, loop, config.timeout_keep_alive, header_timeout), worker.activity)
    if context is None:
        return written_together(protocol, loop)
    make = written_together(protocol, loop, SecureTogether)
    return announced(make) if context.verify_mode else make


def _factory(
    make: type[Any], config: uvicorn.Config, connections: _Connections, state: State
) -> Callable[[], asyncio.Protocol]:
    """Return the protocol factory that `uvicorn.Server.startup` gives to the loop."""
    loop = asyncio.get_running_loop()
    server = _State(config, connections)
    connections.tasks = server.tasks
    return alike(make, config=config, server_state=server, app_state=state, _loop=loop)


class _Connections(set[Any]):
    """The set of open connections that uvicorn's protocols keep, with a way to wait until it is empty.

    With an activity it counts them as open; without one their sockets do.
    """

    def __init__(self, activity: Activity | None) -> None:
        super().__init__()
        self._activity = activity
        self._gone: asyncio.Event | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def add(self, connection: Any) -> None:
        set.add(self, connection)
        if self._activity is not None:
            self._activity.opened()

    def discard(self, connection: Any) -> None:
        if connection not in self:
            return
        set.discard(self, connection)
        if self._activity is not None:
            self._activity.closed()
        if self._gone is not None and not self:
            self._gone.set()

    def remove(self, connection: Any) -> None:
        self.discard(connection)

    async def finish(self, window: float) -> None:
        """Wait until all have closed and the application's tasks are done; silent ones are closed after `window`."""
        for connection in list(self):
            if not hasattr(connection, "cycle"):  # a WebSocket, which closes with 1012
                _shut_down(connection)
        try:
            await asyncio.wait_for(self._empty(), window)
        except TimeoutError:
            pass  # some client is silent, or some request takes longer
        for connection in list(self):
            _shut_down(connection)  # at once where no request is in flight, and else after it
        await self._empty()
        while self.tasks:
            await asyncio.wait(self.tasks)

    def close(self) -> None:
        """Close all at once, by which their applications get their disconnect; what is not yet sent is dropped."""
        for connection in list(self):
            if connection.transport.get_write_buffer_size():
                connection.transport.abort()  # its client does not read, and closing would wait for it
            else:
                connection.transport.close()

    async def _empty(self) -> None:
        while self:  # Again, since a connection that becomes a WebSocket is removed and added.
            self._gone = asyncio.Event()
            await self._gone.wait()


def _shut_down(connection: Any) -> None:
    try:
        connection.shutdown()
    except Exception:  # A WebSocket whose client has not answered its close yet refuses another one.
        connection.transport.close()


class _State(ServerState):
    """uvicorn's state, with response headers made on demand: no timer updates the date."""

    def __init__(self, config: uvicorn.Config, connections: _Connections) -> None:
        self._config = config
        self._second = 0
        self._headers: list[tuple[bytes, bytes]] = []
        super().__init__()
        self.connections = connections

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of a response to a request that begins now."""
        if not 0 <= (now := time.time()) - self._second < 1:
            date = [(b"date", formatdate(now, usegmt=True).encode())] if self._config.date_header else []
            self._headers = date + self._config.encoded_headers
            self._second = int(now)
        return self._headers

    @default_headers.setter
    def default_headers(self, _headers: list[tuple[bytes, bytes]]) -> None:
        """uvicorn's own constructor sets them; they are made on demand."""
