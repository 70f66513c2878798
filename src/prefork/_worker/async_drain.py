"""The request to drain, as something that coroutines wait for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from .drain import Drain


class AsyncDrain:
    """A `Drain` in one event loop, for any number of waiting coroutines.

    To be had by `of`: a loop watches each descriptor for one reader only.
    """

    _in_loops: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncDrain]] = WeakKeyDictionary()

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self._wakers: set[Callable[[], None]] = set()

    @classmethod
    def of(cls, drain: Drain) -> AsyncDrain:
        """Return the one of the running loop."""
        return cls._in_loops.setdefault(asyncio.get_running_loop(), cls(drain))

    async def wait(self, listener: socket.socket | None = None) -> None:
        """Wait until the drain is requested, or until `listener` is readable. Wakes up for nothing else."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        if not self._wakers:
            loop.add_reader(self._drain.descriptor, self._poll)
            loop.add_reader(self._drain.waker, self._poll)
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

    def _poll(self) -> None:
        if self._drain.poll():
            for wake in self._wakers:
                wake()
