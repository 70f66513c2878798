"""hypercorn by its public `serve`, on asyncio's loop.

HTTP/1.1, HTTP/2 (by ALPN with TLS), WebSockets.

It ends when its `shutdown_trigger` returns, and drops idle connections then. So the drain happens inside the trigger:
the loop stops watching the listener, clients are answered with `Connection: close` until they have gone or the window
has passed, and only then the trigger returns. Tested with 0.17.3 and 0.18.0.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import hypercorn.asyncio
import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config, Sockets
from hypercorn.events import Closed, Event, Updated
from hypercorn.logging import Logger

from .._worker.accept_throttle import BATCH
from .._worker.draining.async_drain import AsyncDrain
from . import ServerOptions, outside
from .asgi import FAILED, ClosesWebSockets, CountingApplication
from .calls import TaskCalls
from .lasting_logger import lasting
from .lifespan import lifespan, run
from .loops import loop_factory
from .web import tls
from .web.client_certificate import added, extension
from .web.handshakes import HANDSHAKE
from .web.limits import gathered

if TYPE_CHECKING:
    from .._worker.activity import Activity
    from .._worker.handle import Worker
    from . import Application

name = "hypercorn"
protocols = frozenset({"asgi"})
sharing: Literal["shared"] = "shared"
check_tls = tls.check

_FOR_EVER = 10**9
"""Seconds that hypercorn gives requests in flight. The drain's end is decided here."""
_STUCK, _POLL = 0.1, 0.02
"""Seconds without anything in flight after which hypercorn is stuck, and until the first look; later ones are rarer."""


def warm(application: Application, protocol: str, options: ServerOptions) -> None:
    """Import what hypercorn imports with the first connection of a kind."""
    import hypercorn.protocol  # noqa: F401

    if options.loop != "auto":
        loop_factory(options)


def serve(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, protocol: str, options: ServerOptions
) -> None:
    """Serve until the worker has drained."""
    factory = None if options.loop == "auto" else loop_factory(options)
    run(_serve(worker, listeners, application, options), worker, factory)


async def _serve(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, options: ServerOptions
) -> None:
    loop = asyncio.get_running_loop()
    config = _Config(listeners, options, tls.context_of(worker, options, ["h2", "http/1.1"]))
    config.logger_class = partial(_Log, worker.activity)  # type: ignore[assignment]
    config.graceful_timeout = _FOR_EVER
    config.errorlog = lasting("hypercorn.error")  # for the application to configure; warnings on stderr

    def take_no_more() -> None:
        for sock in config.listeners:
            loop.remove_reader(sock)

    async def drained() -> None:
        """Wait for the drain, as hypercorn's shutdown trigger: hypercorn awaits it when it accepts."""
        worker.ready()
        await drain.wait()
        await watched.close_websockets()
        for seconds in outside.drain(worker, listeners, take_no_more, options.keepalive_window):
            await asyncio.sleep(seconds)
        await watched.close_websockets()
        closing.set_result(None)

    def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # asyncio leaves the connection in the queue, and reports each of its tries, one a second.
        if context.get("message") == "socket.accept() out of system resource":
            worker._report_no_room()
        elif not _is_of_tls(context.get("exception")):
            loop.default_exception_handler(context)

    loop.set_exception_handler(failed)
    drain = AsyncDrain.of(worker._drain)
    closing: asyncio.Future[None] = loop.create_future()
    async with lifespan(application, options.lifespan) as state:
        watched = ClosesWebSockets(application, worker, state)
        serving: asyncio.Future[None] = asyncio.ensure_future(
            hypercorn.asyncio.serve(_Requests(watched), config, shutdown_trigger=drained, mode="asgi")
        )
        begun = asyncio.ensure_future(drain.wait())
        await asyncio.wait([serving, begun], return_when=asyncio.FIRST_COMPLETED)
        close = partial(_close, listeners)
        ended = _ended(serving, closing, watched.calls, lambda: outside.sending(listeners), close)
        await watched.calls.finish(ended, close)


def _is_of_tls(error: BaseException | None) -> bool:
    """Return whether a connection failed in TLS, which is its client's affair; it may come out of a task group."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(ssl.SSLError)[1] is None
    return isinstance(error, ssl.SSLError)


def _close(listeners: list[socket.socket]) -> None:
    """Close all connections.

    hypercorn lets an application go on sending then, as often as it can until it is cancelled, and asyncio would log
    each time: thousands of lines, at which the worker would wait where its log is a pipe that is not read.
    """
    logging.getLogger("asyncio").addFilter(lambda record: record.msg != "socket.send() raised exception.")
    outside.close(listeners)


async def _ended(
    serving: asyncio.Future[None],
    closing: asyncio.Future[None],
    calls: TaskCalls,
    sending: Callable[[], bool],
    close: Callable[[], None],
) -> None:
    """Wait for the end of hypercorn, which begins when its trigger returns; end it when nothing is in flight.

    It may wait for ever for a connection's task: after an exception in the midst of a response, where the client's next
    request had come already, it waits to be allowed to read that one.
    """
    await asyncio.wait([serving, closing], return_when=asyncio.FIRST_COMPLETED)
    since, pause = time.monotonic(), _POLL
    while not serving.done() and time.monotonic() - since < _STUCK:
        await asyncio.wait([serving], timeout=pause)
        if calls.left() or sending():
            await calls.returned()
            since, pause = time.monotonic(), min(2 * pause, _STUCK / 2)
    if not serving.done():
        close()  # Over TLS it waits for an alert of each client, also when cancelled, and a silent one sends none.
        await asyncio.wait([serving], timeout=_STUCK)
    serving.cancel()
    try:
        await serving
    except asyncio.CancelledError:
        pass  # by this, or by hypercorn, which cancels the tasks that it gathers


class _Config(Config):
    """hypercorn's configuration, with existing listeners."""

    # The connections that asyncio accepts at a wake-up; the listener's backlog stays the master's.
    backlog = BATCH

    ssl_handshake_timeout = HANDSHAKE

    def __init__(self, listeners: list[socket.socket], options: ServerOptions, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self.keep_alive_timeout: Any = options.idle_timeout
        self.h11_max_incomplete_size = gathered(options, self.h11_max_incomplete_size)
        self.h2_max_header_list_size = gathered(options, self.h2_max_header_list_size)
        self.websocket_max_message_size = options.websocket_max_size or self.websocket_max_message_size
        self.websocket_ping_interval = options.websocket_ping_interval or None
        self.listeners = [outside.Listener.of(listener) for listener in listeners]
        self._context = context
        verified = context is not None and context.verify_mode
        hypercorn.asyncio.run.TCPServer = _Announcing if verified else _Connection  # type: ignore[attr-defined]

    @property
    def ssl_enabled(self) -> bool:
        return self._context is not None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        return self._context

    def create_sockets(self) -> Sockets:
        secure, insecure = (self.listeners, []) if self.ssl_enabled else ([], self.listeners)
        return Sockets(secure_sockets=list(secure), insecure_sockets=list(insecure), quic_sockets=[])


class _Log(Logger):
    """hypercorn's log, to which it reports the end of each request: without a response where the client has gone."""

    def __init__(self, activity: Activity, config: Config) -> None:
        super().__init__(config)
        self._activity = activity

    async def access(self, request: Any, response: Any, request_time: float) -> None:
        """Count a client that has gone; the access log is prefork's own."""
        if response is None and FAILED not in request:
            self._activity.disconnected()


class _Connection(TCPServer):
    """A connection that ends when its client has closed it; hypercorn has no option for another class.

    hypercorn would keep an idle one, and its descriptor, until the keep-alive time is over. And it lets an error of one
    connection's close end all that it serves: with TLS a client may send on when the server has closed.
    """

    async def _close(self) -> None:
        with suppress(OSError):  # Of TLS, too: ssl.SSLError is one.
            await super()._close()

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        """Send what the protocol has to send; close where it waits for a request that cannot come."""
        gone = isinstance(event, Updated) and event.idle and self.reader.at_eof()
        await super().protocol_send(Closed() if gone else event)


class _Announcing(_Connection):
    """A connection whose requests have the certificate that the client has presented."""

    async def run(self) -> None:
        """Handle the connection."""
        if (found := extension(self.writer.get_extra_info("ssl_object"))) is not None:
            self.app = added(self.app, found)
        await super().run()


class _Requests:
    """The application without its lifespan, which prefork runs; hypercorn has no option to leave it out."""

    def __init__(self, application: CountingApplication) -> None:
        self._application = application

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return _understand(receive, send)
        return self._application(scope, receive, send)


async def _understand(receive: Any, send: Any) -> None:
    for event in "startup", "shutdown":
        await receive()
        await send({"type": f"lifespan.{event}.complete"})
