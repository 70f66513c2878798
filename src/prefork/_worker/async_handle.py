"""The handle of a worker that is an `async def`: a module apart, so that other workers need not import asyncio."""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any, SupportsIndex

from .accept_throttle import BATCH, SLACK
from .async_accept import Accepting
from .async_loop import run
from .callbacks.calls import within
from .connection import Connection
from .draining import drain
from .draining.async_drain import AsyncDrain
from .handle import NO_ROOM_PAUSE, Accepted, C, Handle, accept_one


async def wait_draining() -> None:
    """Wait until this worker is asked to drain; elsewhere than in a worker, for ever.

    For streams and other long requests of an application, which are cut at the end of `drain_timeout`.
    """
    if drain.current is None:
        await asyncio.get_running_loop().create_future()
    else:
        await AsyncDrain.of(drain.current).wait()


class AsyncWorker(Handle[C]):
    """The handle of a worker whose function is an `async def`: as `Worker`, for use in one event loop."""

    async def accept(self, name: str) -> AsyncGenerator[Accepted, None]:
        """Yield connections as `Worker.accept` does; the accepted sockets are non-blocking."""
        accepted = 0
        # A descriptor of its own: a loop watches each descriptor for one reader only.
        with self._stream(name).dup() as listener:
            self._about_to_wait()
            while self._takes_more(name):
                if self.activity.open > SLACK and (pause := self._pause()):
                    await asyncio.sleep(pause)
                    continue
                match accept_one(listener):
                    case "nothing" if self.draining:
                        if not await _readable(listener, self._late()):
                            return
                    case "nothing":
                        await AsyncDrain.of(self._drain).wait(listener)
                    case "no room":
                        self._report_no_room()
                        await self.wait_draining(NO_ROOM_PAUSE)
                    case (connection, address):
                        counted = Connection(connection, self.activity)
                        counted.setblocking(False)
                        yield counted, address
                        # While there are more, this loop would not let the tasks of accepted connections run.
                        accepted += 1
                        if accepted % BATCH == 0:
                            await asyncio.sleep(0)

    async def serve_asyncio(self, handler: Handler, name: str, *, window: float = 1.0) -> None:
        """Call `handler(reader, writer)` for each connection at a listener, until this worker drains.

        As `asyncio.start_server`, but the connection is closed when its handler returns. It returns when all handlers
        have. `window` seconds after the drain began every `reader` is at its end, so that handlers of silent clients
        return; a handler that closes in its own way reads `draining`. Raises UsageError for a listener that the worker
        does not have.
        """
        await _serve_streams(self, handler, name, window)

    async def wait_draining(self, timeout: float | None = None) -> bool:
        """Wait until the master asks this worker to drain, or for `timeout` seconds; return `draining`."""
        self._about_to_wait()
        try:
            async with asyncio.timeout(timeout):
                await AsyncDrain.of(self._drain).wait()
        except TimeoutError:
            pass  # what it ended with is the answer below
        return self.draining


async def _readable(listener: socket.socket, timeout: float) -> bool:
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()
    loop.add_reader(listener, seen.set)
    try:
        async with asyncio.timeout(timeout):
            await seen.wait()
    except TimeoutError:
        pass  # what it ended with is the answer below
    finally:
        loop.remove_reader(listener)
    return seen.is_set()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


async def _serve_streams(worker: AsyncWorker[Any], handler: Handler, name: str, window: float) -> None:
    """See `AsyncWorker.serve_asyncio`."""
    streams = _Streams(handler)
    accepting = Accepting(worker, [worker.listener(name)], streams.protocol)
    await accepting.start()
    await worker.wait_draining()
    await accepting.stop(empty=worker.must_drain_backlog)
    ended = asyncio.ensure_future(streams.ended(window))
    if not await AsyncDrain.of(worker._drain).wait_for(ended):
        ended.cancel()
        worker._report_cut([f"a connection at {name}"] * streams.count)
        await streams.cut(worker._drain.deadline)


class _Reader(asyncio.StreamReader):
    """A reader that can be ended from this side; what comes after that is dropped, so that closing resets nothing."""

    ended = False

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        if not self.ended:
            super().feed_data(data)

    def end(self) -> None:
        self.ended = True
        self.feed_eof()


class _Streams:
    """The connections of one listener, each with the task that handles it."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._open: dict[asyncio.Task[None], asyncio.StreamReader] = {}
        self._writers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(_Reader(), self._connected)

    @property
    def count(self) -> int:
        """How many handlers have not returned."""
        return len(self._open)

    async def ended(self, window: float) -> None:
        """Wait until all handlers have returned; after `window` seconds what they read ends."""
        if self._open:
            await asyncio.wait(self._open, timeout=window)
        while self._open:
            for reader in self._open.values():
                assert isinstance(reader, _Reader)
                reader.end()
            await asyncio.wait(self._open)

    async def cut(self, deadline: float) -> None:
        """Close the connections and cancel the handlers; wait for them until half of the time to `deadline` is left."""
        for task, writer in self._writers.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.wait(self._open, timeout=(deadline - time.monotonic()) / 2)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(reader, writer))
        self._open[task], self._writers[task] = reader, writer
        task.add_done_callback(self._closed)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handler(reader, writer)
        except ConnectionError:
            pass  # the client has closed
        finally:
            writer.close()

    def _closed(self, task: asyncio.Task[None]) -> None:
        del self._open[task], self._writers[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a connection's handler failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)


Function = Callable[[AsyncWorker[Any]], Awaitable[object]]


def live(worker: AsyncWorker[Any], function: Function, lifespan: Callable[..., Any] | None) -> None:
    """Run the worker's function in an event loop, within its lifespan: a generator, or an asynchronous one."""
    run(within(_live(worker, function, lifespan), worker), worker.activity)


async def _live(worker: AsyncWorker[Any], function: Function, lifespan: Callable[..., Any] | None) -> None:
    if lifespan is not None and inspect.isasyncgenfunction(lifespan):
        async with asynccontextmanager(lifespan)(worker):
            await function(worker)
        return
    with contextmanager(lifespan)(worker) if lifespan else nullcontext():
        await function(worker)
