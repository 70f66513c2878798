"""The handle inside a worker that is an `async def`: a module apart, so that others do without asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from . import _async_streams
from ._async_drain import AsyncDrain
from ._connection import Connection
from ._giving_way import BATCH, SLACK
from ._worker import NO_ROOM_PAUSE, Accepted, C, Handle, accept_one

if TYPE_CHECKING:
    from ._linux.assignment import Assignment


class AsyncWorker(Handle[C]):
    """The handle of a worker that is an `async def`: the same names, for use in one event loop."""

    def __init__(self, context: C, assignment: Assignment) -> None:
        super().__init__(context, assignment)
        self._drained = AsyncDrain(self._drain)

    async def accept(self, name: str) -> AsyncGenerator[Accepted, None]:
        """As `Worker.accept`; the accepted sockets are non-blocking, as the loop's calls want them."""
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
                        await self._drained.wait(listener)
                    case "no room":
                        await self.wait_draining(NO_ROOM_PAUSE)
                    case (connection, address):
                        counted = Connection(connection, self.activity)
                        counted.setblocking(False)
                        yield counted, address
                        # While there are more, this loop would let no task begin with what it has.
                        accepted += 1
                        if accepted % BATCH == 0:
                            await asyncio.sleep(0)

    async def serve_asyncio(self, handler: _async_streams.Handler, name: str, *, window: float = 1.0) -> None:
        """Call `handler(reader, writer)` for each connection at a listener, until this worker drains.

        As with `asyncio.start_server`, but the connection is closed when the handler has returned. It returns when all
        handlers have. So that loops over a silent connection end, `reader` is at its end `window` seconds after the
        drain began; a handler that wants to say goodbye itself looks at `draining`. Raises MisuseError for a
        listener that this worker has not got.
        """
        await _async_streams.serve(self, handler, name, window)

    async def wait_draining(self, timeout: float | None = None) -> bool:
        """As `Worker.wait_draining`."""
        self._about_to_wait()
        try:
            async with asyncio.timeout(timeout):
                await self._drained.wait()
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
