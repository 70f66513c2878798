"""The request to drain, as something that coroutines wait for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar
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
        self._wakers: dict[int, set[Callable[[], None]]] = {drain.descriptor: set(), drain.cut_short: set()}

    @classmethod
    def of(cls, drain: Drain) -> AsyncDrain:
        """Return the one of the running loop."""
        return cls._in_loops.setdefault(asyncio.get_running_loop(), cls(drain))

    async def wait(self, listener: socket.socket | None = None) -> None:
        """Wait until the drain is requested, or until `listener` is readable. Wakes up for nothing else."""
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        with self._watched(self._drain.descriptor, woken) as wake:
            if listener is not None:
                loop.add_reader(listener, wake)
            try:
                await woken
            finally:
                if listener is not None:
                    loop.remove_reader(listener)

    async def wait_for(self, ending: asyncio.Future[Any]) -> bool:
        """Wait for `ending`, or until it is time to cut what is in flight; return whether it has ended."""
        woken = asyncio.get_running_loop().create_future()
        with self._watched(self._drain.cut_short, woken):
            while not ending.done() and (rest := self._drain.until_cut()):
                await asyncio.wait([ending, woken], timeout=rest, return_when=asyncio.FIRST_COMPLETED)
        return ending.done()

    @contextmanager
    def _watched(self, descriptor: int, woken: asyncio.Future[None]) -> Iterator[Callable[[], None]]:
        """Set the result of `woken` when this descriptor is readable; read the signals that come meanwhile."""
        loop = asyncio.get_running_loop()
        wakers = self._wakers[descriptor]

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        if not any(self._wakers.values()):
            loop.add_reader(self._drain.waker, self._drain.poll)
        if not wakers:
            loop.add_reader(descriptor, self._wake, wakers)
        wakers.add(wake)
        try:
            yield wake
        finally:
            wakers.discard(wake)
            if not wakers:
                loop.remove_reader(descriptor)
            if not any(self._wakers.values()):
                loop.remove_reader(self._drain.waker)

    @staticmethod
    def _wake(wakers: set[Callable[[], None]]) -> None:
        for wake in wakers:
            wake()
