"""granian: its own worker, which is written in Rust, on our listener.

granian has no public way to serve on a socket that it is given. What stands below is what its own worker processes do,
and none of the names is public: they are looked up when this module is imported, and it refuses a version that has
others, or that nobody has tried: in 2.7 all names were the same, and it did not work. Tried with 2.8.0 and 2.8.7.

It cannot stop accepting without closing connections that have not asked anything yet; so a listener that nobody can
reach is put in the place of ours, and it is told to end when clients have had the time to ask (`outside`).
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import granian

from .._errors import UsageError
from .._worker.async_drain import AsyncDrain
from . import ServerOptions, asgi, outside
from .granian_wsgi import Calls
from .lifespan import State, lifespan, run

if TYPE_CHECKING:
    from .._worker.handle import Worker
    from . import Application

name = "granian"
protocols = frozenset({"asgi", "wsgi"})
sharing: Literal["sharded"] = "sharded"

_TRIED = "2.8."
_MOST_CONNECTIONS = 65536
"""granian takes no more than so many at once. Descriptors are scarcer, so that it is no limit of its own."""


class _Private:
    """The names of granian's that this adapter needs and has no right to."""

    def __init__(self) -> None:
        native: Any = import_module("granian._granian")
        self.asgi_worker = native.ASGIWorker
        self.wsgi_worker = native.WSGIWorker
        self.signal = native.WorkerSignal
        self.holder = native.SocketHolder
        self.scheduler = import_module("granian._futures")._new_cbscheduler
        self.pieces = import_module("granian.wsgi").ResponseIterWrap
        settings: Any = import_module("granian.http")
        self.options = {
            "threads": 1,
            "backpressure": _MOST_CONNECTIONS,
            "http_mode": "auto",
            "http1_opts": settings.HTTP1Settings(),
            "http2_opts": settings.HTTP2Settings(),
        }
        for worker in self.asgi_worker, self.wsgi_worker:
            inspect.signature(worker).bind(1, (None, None), None, py_threads=1, **self.options)


def _private() -> _Private:
    try:
        if not granian.__version__.startswith(_TRIED):
            raise ImportError(f"{_TRIED}* is")
        return _Private()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"granian {granian.__version__} is not a version that prefork can drive ({error}): "
            "pip install 'prefork[granian]'"
        ) from None


_granian = _private()


def warm(application: Application, protocol: str, options: ServerOptions) -> None:
    """Nothing is left to import: this module has done it."""
    _loop_factory()


def serve(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, protocol: str, options: ServerOptions
) -> None:
    """Serve until the worker has drained."""
    if protocol == "asgi":
        run(_serve_asgi(worker, listeners, application, options), worker, _loop_factory())
    else:
        _serve_wsgi(worker, listeners, application, options)


async def _serve_asgi(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, options: ServerOptions
) -> None:
    loop = asyncio.get_running_loop()
    async with lifespan(application, options.lifespan) as state:
        watched = _Application(application, worker, options.root_path, state or {})
        scheduler = _granian.scheduler(loop, watched.request, impl_asyncio=True)
        done = asyncio.Event()
        servers = _Servers(listeners, lambda: loop.call_soon_threadsafe(done.set))
        servers.start(_granian.asgi_worker, scheduler, loop, {"py_threads": 1, "websockets_enabled": True})
        _schedule_as_batch()
        worker.ready()
        await AsyncDrain(worker._drain).wait()
        await watched.close_websockets()
        for seconds in outside.drain(worker, listeners, servers.take_no_more, options.keepalive_window):
            await asyncio.sleep(seconds)
        await watched.close_websockets()
        servers.end()
        await done.wait()


def _serve_wsgi(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, options: ServerOptions
) -> None:
    loop = asyncio.new_event_loop()  # granian asks for one, and only keeps it
    calls = Calls(application, worker, options.root_path, _granian.pieces)
    scheduler = _granian.scheduler(loop, calls.answer, impl_asyncio=True)
    done = threading.Event()
    servers = _Servers(listeners, done.set)
    servers.start(_granian.wsgi_worker, scheduler, loop, {"py_threads": options.threads})
    worker.ready()
    worker.wait_draining()
    for seconds in outside.drain(worker, listeners, servers.take_no_more, options.keepalive_window):
        time.sleep(seconds)
    servers.end()
    done.wait()
    loop.close()


class _Application(asgi.ClosesWebSockets):
    """The application as granian's scheduler calls it: `request` is what is otherwise three coroutines, one in another.

    granian's answers cost so little that each of them could be measured.
    """

    def __init__(self, application: Application, worker: Worker[Any], root_path: str, state: State) -> None:
        super().__init__(application, worker)
        self._root_path = root_path
        self._lasting = state

    async def request(self, watcher: Any) -> None:
        """One request: `watcher` has its scope and the two channels, and is told how it has ended."""
        scope = watcher.scope
        scope.update(root_path=self._root_path, state=self._lasting.copy())
        if scope["type"] != "http":
            await self._other(watcher)
            return
        failed, receive, send = False, watcher.proto.receive, watcher.proto.send

        def sending(message: asgi.Message) -> Awaitable[None]:
            nonlocal failed
            if message["type"] == "http.response.start":
                failed = message["status"] >= 500
                if self._drain.requested:
                    message = asgi.closing(scope, message)
            return send(message)  # type: ignore[no-any-return]

        self._activity.begin(f"{scope['method']} {scope['path']}")
        try:
            await self._application(scope, receive, sending)
        except BaseException as error:  # granian says the same of all of them
            failed = True
            watcher.err(error)
        else:
            watcher.done()
        self._activity.end(failed)

    async def _other(self, watcher: Any) -> None:
        try:
            await self._websocket(watcher.scope, watcher.proto.receive, watcher.proto.send)
        except BaseException as error:
            watcher.err(error)
        else:
            watcher.done()


def _schedule_as_batch() -> None:
    """Let this thread, when it is woken, not take the processor from who runs there: sched(7), SCHED_BATCH.

    granian's thread wakes this one with each request, while it holds the interpreter's lock: woken at once, this thread
    could only wait for that lock, and give the processor back. So that each request cost two changes of threads for
    nothing, a fifth of all. It has the same share of the processor as before. Threads and processes that it starts are
    as usual; where somebody has chosen how this one is scheduled, or a sandbox forbids it, it stays as it is.
    """
    with suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER and os.getpriority(os.PRIO_PROCESS, 0) >= 0:
            os.sched_setscheduler(0, os.SCHED_BATCH | os.SCHED_RESET_ON_FORK, os.sched_param(0))


class _Servers:
    """One of granian's workers for each listener; `done` is called when the last one has ended."""

    def __init__(self, listeners: list[socket.socket], done: Callable[[], object]) -> None:
        # Numbers of its own, which it closes itself.
        self._listeners = [(os.dup(listener.fileno()), listener) for listener in listeners]
        self._signals: list[Any] = []
        self._left = len(listeners)
        self._done = done

    def start(self, make: Any, scheduler: Any, loop: asyncio.AbstractEventLoop, options: dict[str, Any]) -> None:
        """Accept from now on: granian takes the listener before it starts a thread."""
        for number, listener in self._listeners:
            unix = listener.family == socket.AF_UNIX
            holder = _granian.holder(number, unix, outside.backlog(listener))
            signal = _granian.signal()
            signal.add_cb(self._ended)
            self._signals.append(signal)
            server = make(1, (None, holder), None, **_granian.options, **options)
            # Its runtime of one thread: that of several, here with one, changes threads more often for the same work.
            (server.serve_str_uds if unix else server.serve_str)(scheduler, loop, signal)

    def take_no_more(self) -> None:
        """Go on with the connections that there are."""
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


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
