"""The accept loop of workers with an event loop: a few connections a wake-up, none while a peer has fewer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .accept_throttle import BATCH
from .connection import Connection
from .handle import EMPTYING, LATE, NO_ROOM_PAUSE, Accepted, accept_one

if TYPE_CHECKING:
    from .handle import Handle


class Accepting:
    """Accepts from some listeners, from `start` to `stop`, and makes a protocol of the running loop of each connection.

    Only documented calls of the loop are used, so that it works on asyncio's loop and on uvloop.
    """

    def __init__(
        self, worker: Handle[Any], listeners: Iterable[socket.socket], factory: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        # Descriptors of its own: a loop watches each descriptor for one reader only.
        self._listeners = [listener.dup() for listener in listeners]
        self._factory = factory
        self._activity = worker.activity
        self._report_no_room = worker._report_no_room
        self._throttle = worker.accept_throttle()
        self._connecting: set[asyncio.Task[Any]] = set()
        self._stopped = False

    async def start(self) -> None:
        """Begin to accept."""
        for listener in self._listeners:
            self._loop.add_reader(listener, self._readable, listener)

    async def stop(self, *, empty: bool) -> None:
        """Stop accepting, after draining the backlogs if `empty`. All accepted connections have their protocols then.

        No connection is closed here: a loop that closes its server drops, unread, what it accepted in the same turn.
        """
        end = self._loop.time() + EMPTYING
        if empty:
            self._throttle = None
            await asyncio.sleep(LATE)
        self._stopped = True
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            while empty and self._loop.time() < end and not isinstance(accepted := accept_one(listener), str):
                self._connect(accepted)
            listener.close()
        while self._connecting:
            await asyncio.wait(self._connecting)

    def _readable(self, listener: socket.socket) -> None:
        if self._throttle is not None and (pause := self._throttle.pause()):
            self._pause(listener, pause)
            return
        for _ in range(BATCH):
            match accept_one(listener):
                case "nothing":
                    return
                case "no room":
                    self._report_no_room()
                    self._pause(listener, NO_ROOM_PAUSE)
                    return
                case accepted:
                    self._connect(accepted)

    def _pause(self, listener: socket.socket, seconds: float) -> None:
        self._loop.remove_reader(listener)
        self._loop.call_later(seconds, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if not self._stopped:
            self._loop.add_reader(listener, self._readable, listener)

    def _connect(self, accepted: Accepted) -> None:
        # Counted from here on, since the throttle asks how many are open before the next few.
        connection = Connection(accepted[0], self._activity)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[Any]) -> None:
        self._connecting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler(
                {"message": "an accepted connection could not be set up", "exception": error}
            )
