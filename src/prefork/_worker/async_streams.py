"""`AsyncWorker.serve_asyncio`: a coroutine for each connection, as with asyncio.start_server, and a gentle end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex

from ._async_accepting import Accepting

if TYPE_CHECKING:
    from ._async_worker import AsyncWorker

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


async def serve(worker: AsyncWorker[Any], handler: Handler, name: str, window: float) -> None:
    """See `AsyncWorker.serve_asyncio`."""
    streams = _Streams(handler)
    accepting = Accepting(worker, [worker.listener(name)], streams.protocol)
    await accepting.start()
    await worker.wait_draining()
    await accepting.stop(empty=worker.last_of_listener)
    await streams.finish(window)


class _Reader(asyncio.StreamReader):
    """A reader that can be ended from our side; what comes after that is dropped, so that closing resets nothing."""

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

    def protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(_Reader(), self._connected)

    async def finish(self, window: float) -> None:
        """Until every handler has returned; after `window` seconds what they read ends."""
        if self._open:
            await asyncio.wait(self._open, timeout=window)
        for reader in self._open.values():
            assert isinstance(reader, _Reader)
            reader.end()
        while self._open:
            await asyncio.wait(self._open)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(reader, writer))
        self._open[task] = reader
        task.add_done_callback(self._closed)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handler(reader, writer)
        except ConnectionError:
            pass  # the client has gone, which is its right
        finally:
            writer.close()

    def _closed(self, task: asyncio.Task[None]) -> None:
        del self._open[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a connection's handler failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
