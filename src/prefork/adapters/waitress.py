"""waitress: pure Python; slow clients occupy none of its threads.

Its `run()` wakes up every second, and at its end it drops requests that wait for a thread and closes everything. So its
loop is run from here, one wait at a time: until something comes, or, while connections are open, until it is time to
check for silent ones.

Public: `create_server` with `map` and `sockets`. Read in its source, unchanged for years: `_dispatcher`,
`wasyncore.loop`, `channel_class`, `active_channels`, `task_dispatcher`, and of a channel `requests`, `request`,
`total_outbufs_len`, `last_activity`, `will_close`. Tried with 3.0.0 and 3.0.2.
"""

from __future__ import annotations

import math
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from .._worker.handle import LATE, NO_ROOM_PAUSE
from . import ServerOptions
from .lasting_logger import lasting
from .main_thread import Beside
from .outside import Listener, more_may_come
from .room import Room
from .web.limits import BODY_TOO_LARGE, HEADERS_TOO_LARGE, gathered
from .web.refusals import Refusals
from .wsgi import CountingApplication

if TYPE_CHECKING:
    from .._worker.accept_throttle import AcceptThrottle
    from .._worker.handle import Worker
    from . import Application

name = "waitress"
protocols = frozenset({"wsgi"})
sharing: Literal["shared"] = "shared"

_STALLED = 120.0
"""Seconds, at least, after which a connection is closed that stops in the middle of a request or a response."""
_NEVER = 2**31
"""Seconds: waitress's own checks take place each 30 seconds; those here when one is due."""


def warm(application: Application, protocol: str, options: ServerOptions) -> None:
    """Import what Python imports with the first address lookup; this module has imported the rest."""
    import encodings.idna  # noqa: F401


def serve(
    worker: Worker[Any], listeners: list[socket.socket], application: Application, protocol: str, options: ServerOptions
) -> None:
    """Serve until the worker has drained."""
    lasting("waitress")
    server = _Waitress(worker, listeners, application, options)
    worker.ready()
    if options.threads == 1:
        server.serve_in_main_thread(options.keepalive_window)
    else:
        server.serve(options.keepalive_window)


class _Waitress:
    """waitress's servers, one for each listener, and what its loop waits for."""

    def __init__(
        self, worker: Worker[Any], listeners: list[socket.socket], application: Application, options: ServerOptions
    ) -> None:
        self._worker = worker
        self._map: dict[int, Any] = {}
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        counting = CountingApplication(application, worker, options.threads)
        self._calls = counting.calls
        self._tasks = _OneHere() if options.threads == 1 else ThreadedTaskDispatcher()
        self._tasks.set_thread_count(options.threads)
        for family in _families(listeners):
            create_server(
                counting,
                map=self._map,
                _dispatcher=self._tasks,
                sockets=family,
                threads=options.threads,
                clear_untrusted_proxy_headers=False,  # the application may read them, trusted or not
                connection_limit=files,  # never reached: `Room` is asked before
                max_request_header_size=gathered(options, Adjustments.max_request_header_size),
                # A body of this size is refused already.
                max_request_body_size=(options.limit_request_body or Adjustments.max_request_body_size - 1) + 1,
                channel_timeout=_NEVER,
                cleanup_interval=_NEVER,
            )
        self._idle_timeout = options.idle_timeout
        self._next_check = math.inf
        self._servers = [server for server in self._map.values() if isinstance(server, BaseWSGIServer)]
        for server in self._servers:
            server.channel_class = _channel_class(worker)
        room = Room(worker)
        self._gates = [_Gate(server, worker.accept_throttle(), room) for server in self._servers]
        self._map |= {gate.number: gate for gate in self._gates}

    def serve(self, window: float) -> None:
        """Serve until the worker has drained."""
        self._serve()
        self._drain(window)

    def serve_in_main_thread(self, window: float) -> None:
        """Serve, with the only thread for requests here, and the loop in another one."""
        with Beside(lambda: self.serve(window), self._tasks.shutdown):
            self._tasks.run_here()

    def _serve(self) -> None:
        with self._watching(self._worker._drain.descriptor):
            while not self._worker.draining:
                self._turn(min(self._until_check(), *(gate.pause() for gate in self._gates)))

    def _until_check(self) -> float:
        """Close connections that were silent for too long if one may have been; return the seconds until the next may.

        One that is opened, or sends, in the meantime is not due before that.
        """
        now = time.time()
        if now >= self._next_check or self._next_check == math.inf:
            due = {channel: self._due(channel) for channel in self._channels() if not channel.requests}
            for channel in due:
                channel.will_close |= due[channel] <= now
            later = [at for at in due.values() if at > now]
            self._next_check = min([now + self._idle_timeout, *later]) if self._channels() else math.inf
        return max(0.0, self._next_check - now)

    def _due(self, channel: HTTPChannel) -> float:
        idle = channel.request is None and not channel.total_outbufs_len
        last: float = channel.last_activity
        return last + (self._idle_timeout if idle else max(_STALLED, self._idle_timeout))

    def _drain(self, window: float) -> None:
        """Stop accepting, answer requests within `window` seconds, and finish."""
        for gate in self._gates:
            gate.accept_throttle = None
        begun = time.monotonic()
        while more_may_come(self._worker, begun, [gate.listener for gate in self._gates]):
            self._turn(LATE / 10)
        for gate in self._gates:
            del self._map[gate.number]
        with self._watching(self._worker._drain.cut_short):
            self._finish(time.monotonic() + window, window)
        if self._channels() or self._calls.left():
            self._calls.finish(iter(()), self._close_connections)
        self._servers[0].task_dispatcher.shutdown(timeout=math.inf)  # the master's timeout ends first
        wasyncore.close_all(self._map)

    def _finish(self, end: float, window: float) -> None:
        """Answer what is in flight, until no connection is left, or until `cut_at`; close silent ones from `end` on."""
        while (channels := self._channels()) and (cut := self._worker._drain.until_cut()):
            rest = end - time.monotonic()
            if rest <= 0:
                # Nothing reports when a connection with half a request has been silent for too long.
                rest = window if any(channel.request for channel in channels) else math.inf
                for channel in channels:
                    if self._is_forgotten(channel) or _is_silent(channel, window):
                        channel.will_close = True
            self._turn(min(rest, cut))

    def _close_connections(self) -> None:
        """Close all connections: a thread that writes to one gets an exception. Requests in the queue are lost."""
        self._tasks.set_thread_count(0)
        for channel in self._channels():
            channel.will_close = True
            channel.handle_close()  # now: `will_close` alone would wait for a client that does not read

    def _is_forgotten(self, channel: HTTPChannel) -> bool:
        """Return whether no thread works on a connection's request, and none will: one has ended without answering."""
        threads = self._servers[0].task_dispatcher
        with threads.lock:
            return bool(channel.requests) and not threads.queue and not threads.active_count

    @contextmanager
    def _watching(self, descriptor: int) -> Iterator[None]:
        """Let the loop wake when this descriptor of the drain, or its waker, is readable."""
        watch = _DrainWatch(self._worker)
        numbers = descriptor, self._worker._drain.waker
        self._map |= dict.fromkeys(numbers, watch)
        yield
        for number in numbers:
            del self._map[number]

    def _turn(self, timeout: float) -> None:
        wasyncore.loop(timeout=timeout if timeout < math.inf else None, use_poll=True, map=self._map, count=1)

    def _channels(self) -> list[HTTPChannel]:
        return [channel for server in self._servers for channel in server.active_channels.values()]


def _families(listeners: list[socket.socket]) -> list[list[Listener]]:
    """Return the sockets of addresses and ports, and those of paths: one server of waitress's takes only one sort."""
    unix = [Listener.of(listener) for listener in listeners if listener.family == socket.AF_UNIX]
    others = [Listener.of(listener) for listener in listeners if listener.family != socket.AF_UNIX]
    return [family for family in (others, unix) if family]


def _is_silent(channel: HTTPChannel, window: float) -> bool:
    if channel.requests or channel.total_outbufs_len:
        return False
    return channel.request is None or time.time() - channel.last_activity >= window


def _channel_class(worker: Worker[Any]) -> type[HTTPChannel]:
    """Return a class of connections that are counted, and get `Connection: close` while the worker drains."""

    class Task(WSGITask):  # type: ignore[misc]
        def get_environment(self) -> dict[str, Any]:
            known = self.environ is not None
            environ: dict[str, Any] = super().get_environment()
            if not known:
                environ |= self.channel.near_end
                if not environ["REMOTE_ADDR"]:
                    del environ["REMOTE_HOST"], environ["REMOTE_PORT"]
            return environ

        def build_response_header(self) -> bytes:
            if worker.draining:
                self.request.headers["CONNECTION"] = "close"  # as if the client had asked for it
            header: bytes = super().build_response_header()
            return header

    class Refusal(ErrorTask):  # type: ignore[misc]
        def execute(self) -> None:
            error = self.request.error
            if error.code in (HEADERS_TOO_LARGE, BODY_TOO_LARGE):
                refusals.log(error.code, error.body)
            super().execute()

    refusals = Refusals(worker)

    class Channel(HTTPChannel):  # type: ignore[misc]
        task_class = Task
        error_task_class = Refusal
        will_close: bool

        def __init__(self, server: Any, sock: socket.socket, *rest: Any, **more: Any) -> None:
            self.near_end = _near_end(sock)  # now: when a thread answers, the loop may have closed the socket
            super().__init__(server, sock, *rest, **more)

        def send_continue(self) -> None:
            if self.request.error is None:  # else it is refused, and its body would be read in vain
                super().send_continue()

        def handle_close(self) -> None:
            with self.outbuf_lock:  # The loop and the thread of the request may both come here.
                if (self.requests or self.total_outbufs_len) and not self.will_close:  # else this side closes
                    worker.activity.disconnected()
                self.will_close = True
            super().handle_close()

        def add_channel(self, map: dict[int, Any] | None = None) -> None:  # noqa: A002 - its name
            super().add_channel(map)
            worker.activity.opened()

        def del_channel(self, map: dict[int, Any] | None = None) -> None:  # noqa: A002 - its name
            open_before = len(self.server.active_channels)
            super().del_channel(map)
            if len(self.server.active_channels) < open_before:
                worker.activity.closed()

    return Channel


def _near_end(sock: socket.socket) -> dict[str, str]:
    """Return what the environ says of this end of a connection, as granian does, in place of `waitress.invalid`.

    On a Unix socket waitress has the path as the port, and a client with the address "localhost" and the port "None".
    """
    address = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        # An abstract name is bytes, and no text of WSGI.
        return {"SERVER_NAME": address if isinstance(address, str) else "", "SERVER_PORT": "0", "REMOTE_ADDR": ""}
    return {"SERVER_NAME": address[0]}


class _OneHere(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Tasks for one thread, that of the caller."""

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        self._thread_no = thread_no

    def run_here(self) -> None:
        """Work until the shutdown."""
        self.handler_thread(self._thread_no)


class _Gate:
    """Replaces one server in the loop's map, and applies the accept throttle."""

    accepting = False

    def __init__(self, server: BaseWSGIServer, accept_throttle: AcceptThrottle | None, room: Room) -> None:
        self.listener: socket.socket = server.socket
        self.number = self.listener.fileno()
        self._server = server
        self.accept_throttle = accept_throttle
        self._room = room
        self._until = -math.inf

    def pause(self) -> float:
        """Return for how many seconds the listener is left alone; infinity where it is not."""
        rest = self._until - time.monotonic()
        return rest if rest > 0 else math.inf

    def readable(self) -> bool:
        """Return whether to wait for connections."""
        return bool(self._server.readable()) and self.pause() == math.inf  # it closes silent connections, too

    def writable(self) -> bool:
        """Never."""
        return False

    def handle_read_event(self) -> None:
        """Accept one connection."""
        if self.accept_throttle is not None and (pause := self.accept_throttle.pause()):
            self._until = time.monotonic() + pause
        elif not self._room.is_left():
            self._until = time.monotonic() + NO_ROOM_PAUSE
        else:
            self._server.handle_accept()

    def handle_close(self) -> None:
        """Nothing hangs up a listener."""


class _DrainWatch:
    """Wakes waitress's loop when the worker is to drain, or to cut its drain short."""

    accepting = False

    def __init__(self, worker: Worker[Any]) -> None:
        self._drain = worker._drain

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Never."""
        return False

    def handle_read_event(self) -> None:
        """Read what has come."""
        self._drain.poll()

    def handle_close(self) -> None:
        """Neither of the two is ever hung up."""
