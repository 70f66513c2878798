"""granian: its own worker, which is written in Rust, on our listener.

granian has no public way to serve on an inherited socket. The code below does what its own worker processes do, and
none of the names is public: they are resolved when this module is imported, and a version that has others, or that has
not been tested, is refused: 2.7 had all the names, and did not work. Tested with 2.8.0 and 2.8.7.

It cannot stop accepting without closing connections that have sent no request yet. So its listener is replaced by one
that no client can reach, and it ends when clients have had the time to send one (`outside`).
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import granian

from .._errors import UsageError
from .._worker.draining.async_drain import AsyncDrain
from . import ServerOptions, asgi, batch, outside
from .calls import GRACE, TaskCalls
from .granian_wsgi import Calls
from .lasting_logger import lasting
from .lifespan import State, lifespan, run
from .loops import loop_factory
from .main_thread import MainThread
from .web import rustls
from .web.gone import LONG, is_gone
from .web.limits import gathered

if TYPE_CHECKING:
    from .._worker.handle import Worker
    from . import Application

name = "granian"
protocols = frozenset({"asgi", "wsgi"})
sharing: Literal["sharded"] = "sharded"
check_tls = rustls.check

_TESTED = "2.8."
_LOGGER = "_granian.workers"
_MOST_CONNECTIONS = 65536
"""The most connections that granian accepts at once. Descriptors are scarcer, so that it never matters."""

_LEAST_BUFFER = 8192
"""Bytes, the least that granian accepts for what it gathers of a request."""


class _Private:
    """The private names of granian's that this adapter uses."""

    def __init__(self) -> None:
        native: Any = import_module("granian._granian")
        self.asgi_worker = native.ASGIWorker
        self.wsgi_worker = native.WSGIWorker
        self.signal = native.WorkerSignal
        self.holder = native.SocketHolder
        self.scheduler = import_module("granian._futures")._new_cbscheduler
        self.pieces = import_module("granian.wsgi").ResponseIterWrap
        settings: Any = import_module("granian.http")
        self.options: dict[str, Any] = {
            "threads": 1,
            "backpressure": _MOST_CONNECTIONS,
            "http_mode": "auto",
            "http1_opts": settings.HTTP1Settings(),
            "http2_opts": settings.HTTP2Settings(),
        }
        self.http1 = settings.HTTP1Settings
        for worker in self.asgi_worker, self.wsgi_worker:
            inspect.signature(worker).bind(1, (None, None), None, py_threads=1, **self.options, **rustls.PLAIN)


def _private() -> _Private:
    try:
        if not granian.__version__.startswith(_TESTED):
            raise ImportError(f"tested with {_TESTED}*")
        return _Private()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"granian {granian.__version__} is not supported ({error}): pip install 'prefork[granian]'"
        ) from None


_granian = _private()
_logger = logging.getLogger("_granian")
lasting("_granian.utils")  # It logs what the application raises.


def warm(application: Application, protocol: str, options: ServerOptions) -> None:
    """Import uvloop, if it is installed; this module has imported the rest. And see what the sandbox allows."""
    loop_factory(options)
    batch.try_first()


def serve(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, protocol: str, options: ServerOptions
) -> None:
    """Serve until the worker has drained."""
    batch.begin()  # Before granian has threads, which all take turns.
    logging.getLogger(_LOGGER).addFilter(lambda record: not _is_full(record, worker))
    if protocol == "asgi":
        run(_serve_asgi(worker, listeners, application, options), worker, loop_factory(options))
    else:
        _serve_wsgi(worker, listeners, application, options)


async def _serve_asgi(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, options: ServerOptions
) -> None:
    loop = asyncio.get_running_loop()
    async with lifespan(application, options.lifespan) as state:
        watched = _Application(application, worker, state or {})
        scheduler = _granian.scheduler(loop, watched.request, impl_asyncio=True)
        done = asyncio.Event()
        servers = _Servers(listeners, options, lambda: loop.call_soon_threadsafe(done.set))
        with rustls.secured(worker, options) as tls:
            servers.start(_granian.asgi_worker, scheduler, loop, {"py_threads": 1, "websockets_enabled": True, **tls})
        worker.ready()
        await AsyncDrain.of(worker._drain).wait()

        async def ended() -> None:
            await watched.close_websockets()
            for seconds in outside.drain(worker, listeners, servers.take_no_more, options.keepalive_window):
                await asyncio.sleep(seconds)
            await watched.close_websockets()
            servers.end()
            for seconds in outside.end(listeners, watched.calls.left):
                if done.is_set():
                    break
                await watched.calls.sleep(seconds)
            await asyncio.sleep(GRACE)

        await watched.calls.finish(ended(), lambda: outside.close(listeners))


def _serve_wsgi(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, options: ServerOptions
) -> None:
    loop = asyncio.new_event_loop()  # granian needs one, and does not run it
    answering = Calls(application, worker, options, _granian.pieces)
    main_thread = MainThread() if options.threads == 1 else None
    answer = answering.answer if main_thread is None else main_thread.calling(answering.answer)
    scheduler = _granian.scheduler(loop, answer, impl_asyncio=True)
    done = threading.Event()
    servers = _Servers(listeners, options, done.set)
    with rustls.secured(worker, options) as tls:
        servers.start(_granian.wsgi_worker, scheduler, loop, {"py_threads": options.threads, **tls})
    worker.ready()

    def ended() -> Iterator[float]:
        yield from outside.drain(worker, listeners, servers.take_no_more, options.keepalive_window)
        servers.end()
        for seconds in outside.end(listeners, answering.calls.left):
            if done.is_set():
                break
            yield seconds

    def drain() -> None:
        worker.wait_draining()
        answering.calls.finish(ended(), lambda: outside.close(listeners))

    if main_thread is None:
        drain()
    else:
        main_thread.run(drain)
    loop.close()


def _is_full(record: logging.LogRecord, worker: Worker[Any]) -> bool:
    """Return whether granian reports that no descriptor is left, which it does at each try; print it once instead.

    It leaves the connection in the queue, and tries again.
    """
    full = f"code: {errno.EMFILE}," in record.getMessage()
    if full:
        worker._report_no_room()
    return full


class _Application(asgi.ClosesWebSockets):
    """The application as granian's scheduler calls it: `request` replaces three nested coroutines.

    granian's answers are so cheap that each of the three is measurable.
    """

    def __init__(self, application: Application, worker: Worker[Any], state: State) -> None:
        super().__init__(application, worker)
        self.calls = TaskCalls(worker, type(self).request, asgi.CountingApplication._websocket)
        self._lasting = state

    async def request(self, watcher: Any) -> None:
        """Handle one request: `watcher` has its scope and the two channels, and gets its result."""
        scope = watcher.scope
        (client, port), (server, at) = scope["client"], scope["server"]  # Ports as text, and "0" for a Unix socket.
        scope["client"], scope["server"] = (client, int(port)) if client else None, (server, int(at) or None)
        scope["root_path"], scope["state"] = "", self._lasting.copy()
        if scope["type"] != "http":
            await self._other(watcher)
            return
        status, sent, gone, receive, send = 0, 0, None, watcher.proto.receive, watcher.proto.send
        activity, method, failed = self._activity, scope["method"], None

        def sending(message: asgi.Message) -> Awaitable[None]:
            nonlocal status, sent, gone
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._drain.requested:
                    message = asgi.closing(scope, message)
            else:
                sent += len(message.get("body", b""))
                if not message.get("more_body", False):
                    gone = monotonic() - begun >= LONG and is_gone(scope, receive)
            return send(message)  # type: ignore[no-any-return]

        begun = activity.begin(f"{method} {scope['path']}")
        try:
            read = receive if method == "GET" else asgi.counted(receive, activity)
            await self._application(scope, read, sending)
            if not status:
                await sending({"type": "http.response.start", "status": 500, "headers": []})
                await sending({"type": "http.response.body", "body": b"Internal Server Error"})
                _logger.error("%s %s: the application returned without starting a response", method, scope["path"])
        except BaseException as error:  # granian answers all of them alike
            status, failed = 500, error
        if gone or (gone is None and is_gone(scope, receive)):
            activity.disconnected()
        if failed is None:
            watcher.done()
        else:
            self._failed(watcher, failed)
        activity.end(status >= 500, status, begun, sent)

    async def _other(self, watcher: Any) -> None:
        try:
            await self._websocket(watcher.scope, watcher.proto.receive, watcher.proto.send)
        except BaseException as error:
            self._failed(watcher, error)
        else:
            watcher.done()

    def _failed(self, watcher: Any, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError) and self.calls.cancelled:
            watcher.done()  # by the drain, and no error of the application's
        else:
            watcher.err(error)


class _Servers:
    """One of granian's workers for each listener; `done` is called when the last one has ended."""

    def __init__(self, listeners: list[socket.socket], options: ServerOptions, done: Callable[[], object]) -> None:
        # Copies, which granian closes itself.
        self._listeners = [(os.dup(listener.fileno()), listener) for listener in listeners]
        self._signals: list[Any] = []
        # It waits as long for the next request as for the rest of a header.
        most = max(_LEAST_BUFFER, gathered(options, _granian.options["http1_opts"].max_buffer_size))
        timeout = round(options.idle_timeout * 1000)
        self._http1 = _granian.http1(header_read_timeout=timeout, max_buffer_size=most)
        self._backlog = options.backlog
        self._left = len(listeners)
        self._done = done

    def start(self, make: Any, scheduler: Any, loop: asyncio.AbstractEventLoop, options: dict[str, Any]) -> None:
        """Begin to accept: granian takes the listener before it starts a thread."""
        for number, listener in self._listeners:
            unix = listener.family == socket.AF_UNIX
            holder = _granian.holder(number, unix, outside.backlog(listener, self._backlog))
            signal = _granian.signal()
            signal.add_cb(self._ended)
            self._signals.append(signal)
            server = make(1, (None, holder), None, **_granian.options | {"http1_opts": self._http1}, **options)
            # The runtime with a thread of its own, the quicker one where threads do not preempt each other.
            (server.serve_mtr_uds if unix else server.serve_mtr)(scheduler, loop, signal)

    def take_no_more(self) -> None:
        """Stop accepting, and go on with the open connections."""
        for number, listener in self._listeners:
            outside.take_away(number, listener)

    def end(self) -> None:
        """Finish what is in flight and close the rest."""
        for signal in self._signals:
            signal.set()

    def _ended(self) -> None:
        self._left -= 1
        if not self._left:
            self._done()
