"""The events of a daemon as they come, with a deadline for each wait."""

from __future__ import annotations

import json
import select
from collections import deque
from collections.abc import Callable
from time import monotonic
from types import TracebackType

from ..._client.answers.event import Event
from ..._client.connection import connected
from ..._wire.places import PROTOCOL


class Following:
    """A connection that yields the recent events of a daemon, and then new ones. Opened when it is entered.

    `hung_up`: the daemon has ended.
    """

    def __init__(self, directory: str, deadline: float) -> None:
        """`deadline`: of all waits together, by `time.monotonic`."""
        self._directory, self._deadline = directory, deadline
        self._rest, self._lines = b"", deque[bytes]()
        self.hung_up = False

    def __enter__(self) -> Following:
        self._socket = connected(self._directory)
        request = {"protocol": PROTOCOL, "request": "events", "follow": True}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        self._waiting = select.poll()
        self._waiting.register(self._socket, select.POLLIN)
        self.next()  # The reply: from here on no event is missed.
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self._socket.close()

    def next(self, patience: float | None = None) -> Event | None:
        """Return the next event; None if none comes in time, or the daemon has ended.

        `patience`: seconds to wait for it, if that is before the deadline.
        """
        while not self._lines:
            left = self._deadline - monotonic()
            if not self._waiting.poll(1000 * max(0.0, left if patience is None else min(left, patience))):
                return None
            data = self._socket.recv(1 << 16)
            if not data:
                self.hung_up = True
                return None
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._lines.extend(lines)
        event: Event = json.loads(self._lines.popleft())
        return event

    def until(self, wanted: Callable[[Event], bool]) -> Event | None:
        """Return the first event that is wanted; None if none comes in time, or the daemon has ended."""
        while (event := self.next()) is not None:
            if wanted(event):
                return event
        return None
