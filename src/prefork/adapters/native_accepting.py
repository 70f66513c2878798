"""uvloop's own accept loop, on listeners that several workers share: stopped while another worker has clearly fewer.

It costs half of what an accept loop in Python does, and accepts one connection a wake-up. It cannot be paused, but to
close it and to make another one takes 10 µs. A transport is attached to its server in the same step in which it is
accepted, so that no connection is lost in between. asyncio's own loop attaches it in another task, and a server that is
closed before loses the connection; there `_worker.async_accept` is used.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from .._worker.handle import EMPTYING, LATE, NO_ROOM_PAUSE
from .outside import backlog, queued
from .room import Room

if TYPE_CHECKING:
    from .._worker.handle import Handle


class NativeAccepting:
    """Accepts from some listeners, from `start` to `stop`, and makes a protocol of each connection.

    The protocols' owner counts them as open, in `worker.activity`. `of_unix` is the backlog of Unix listeners.
    """

    def __init__(
        self,
        worker: Handle[Any],
        listeners: Iterable[socket.socket],
        factory: Callable[[], asyncio.Protocol],
        of_unix: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # Copies: the draining worker closes them, and must not close its handle's.
        self._servers: dict[socket.socket, asyncio.Server | None] = {each.dup(): None for each in listeners}
        self._factory = factory
        self._of_unix = of_unix
        self._throttle = worker.accept_throttle()
        self._descriptors = Room(worker)
        self._room = 0
        self._stopped = False

    async def start(self) -> None:
        """Begin to accept."""
        for listener in self._servers:
            await self._listen(listener)

    async def stop(self, *, empty: bool) -> None:
        """Stop accepting, after draining the backlogs if `empty`; all accepted connections then have protocols."""
        if empty:
            self._throttle = None
            end = self._loop.time() + EMPTYING
            await asyncio.sleep(LATE)
            while any(map(queued, self._servers)) and self._loop.time() < end:
                await asyncio.sleep(0.001)
        self._stopped = True
        for listener in self._servers:
            self._close(listener)
            listener.close()
        await asyncio.sleep(0)  # What was accepted in this turn is connected in the next.

    async def _listen(self, listener: socket.socket) -> None:
        if self._stopped:
            return
        try:
            copy = listener.dup()
        except OSError:
            self._loop.call_later(NO_ROOM_PAUSE, self._retry, listener)
            return
        # It calls listen(2) again, so the backlog, which all processes share, must be given again.
        self._servers[listener] = await self._loop.create_server(
            partial(self._accepted, listener), sock=copy, backlog=backlog(listener, self._of_unix)
        )

    def _accepted(self, listener: socket.socket) -> asyncio.Protocol:
        if seconds := self._pause():
            # Not at once: it has accepted a connection that it has not passed on yet.
            self._loop.call_soon(self._pause_listener, listener, seconds)
        return self._factory()

    def _pause(self) -> float:
        if not self._descriptors.is_left():  # libuv would accept, and close at once.
            return NO_ROOM_PAUSE
        if self._throttle is None:
            return 0.0
        if self._room:
            self._room -= 1
            return 0.0
        pause = self._throttle.pause()
        self._room = self._throttle.room
        return pause

    def _pause_listener(self, listener: socket.socket, seconds: float) -> None:
        self._close(listener)
        self._loop.call_later(seconds, self._retry, listener)

    def _retry(self, listener: socket.socket) -> None:
        if self._stopped:
            return
        if seconds := self._pause():
            self._loop.call_later(seconds, self._retry, listener)
        else:
            self._coming_back = self._loop.create_task(self._listen(listener))

    def _close(self, listener: socket.socket) -> None:
        server = self._servers[listener]
        if server is not None:
            server.close()
            self._servers[listener] = None
