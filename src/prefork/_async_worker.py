"""The handle inside a worker that is an `async def`: a module apart, so that others do without asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from ._connection import Connection
from ._giving_way import BATCH
from ._worker import NO_ROOM_PAUSE, Accepted, C, Handle, accept_one

if TYPE_CHECKING:
    from ._linux.assignment import Assignment


class AsyncWorker(Handle[C]):
    """The handle of a worker that is an `async def`: the same names, for use in one event loop."""

    def __init__(self, context: C, assignment: Assignment) -> None:
        super().__init__(context, assignment)
        self._wakers: set[Callable[[], None]] = set()

    async def accept(self, name: str) -> AsyncGenerator[Accepted, None]:
        """As `Worker.accept`; the accepted sockets are non-blocking, as the loop's calls want them."""
        giving_way, accepted = self.giving_way(), 0
        # A descriptor of its own: a loop watches each descriptor for one reader only.
        with self.listener(name).dup() as listener:
            self._about_to_wait()
            while self._takes_more():
                if giving_way and not self.draining and (pause := giving_way.pause()):
                    await asyncio.sleep(pause)
                    continue
                match accept_one(listener):
                    case "nothing" if self.draining:
                        return
                    case "nothing":
                        await self._wake_by(listener)
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

    async def wait_draining(self, timeout: float | None = None) -> bool:
        """As `Worker.wait_draining`."""
        self._about_to_wait()
        try:
            async with asyncio.timeout(timeout):
                await self._wake_by(None)
        except TimeoutError:
            pass  # what it ended with is the answer below
        return self.draining

    async def _wake_by(self, listener: socket.socket | None) -> None:
        """Until `listener` is readable or this worker is to drain. Wakes up for nothing else."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        if not self._wakers:
            loop.add_reader(self._drain.descriptor, self._look)
            loop.add_reader(self._drain.waker, self._look)
        self._wakers.add(wake)
        if listener is not None:
            loop.add_reader(listener, wake)
        try:
            await woken
        finally:
            if listener is not None:
                loop.remove_reader(listener)
            self._wakers.discard(wake)
            if not self._wakers:
                loop.remove_reader(self._drain.descriptor)
                loop.remove_reader(self._drain.waker)

    def _look(self) -> None:
        if self._drain.look():
            for wake in self._wakers:
                wake()
