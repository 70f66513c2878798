"""The thread that follows the daemon's events for the page."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from ..._errors import PreforkError
from ..._report.sentences import Record

EVERY = 1.0
"""Seconds between two readings of the scoreboard, and between two attempts to reach a master."""

Arrived = Callable[[list[Record], bool], None]
"""Called with new events, and whether they are the first ones of a connection."""


class Events(Protocol):
    """Where the events come from."""

    def events(self, follow: bool) -> Iterator[Record]:
        """Yield the recent events and then new ones, until the daemon ends. Blocks; may raise PreforkError."""


class Follower:
    """Follows the events while a page watches, and connects again to a daemon that has ended.

    Nothing can end the wait for an event from outside. So after the last watcher the thread sleeps until the next event
    comes, and ends then; a watcher that comes earlier finds it still there.
    """

    def __init__(self, source: Events, arrived: Arrived, gone: Callable[[], None]) -> None:
        self._source = source
        self._arrived = arrived
        self._gone = gone
        self._lock = threading.Lock()
        self._wanted = False
        self._running = False
        self._pause = threading.Event()
        self._records: deque[Record | None] = deque()  # None: a new connection

    def follow(self) -> None:
        """Follow the events from now on, and call `arrived` and `gone` in this event loop."""
        self._loop = asyncio.get_running_loop()
        with self._lock:
            self._wanted = True
            self._pause.clear()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="events", daemon=True).start()

    def rest(self) -> None:
        """End the thread at the next event."""
        with self._lock:
            self._wanted = False
            self._pause.set()

    def _run(self) -> None:
        while self._goes_on():
            try:
                if not self._read():
                    return
                self._loop.call_soon_threadsafe(self._gone)
            except RuntimeError:
                return  # The event loop is closed: this process ends.
            self._pause.wait(EVERY)

    def _read(self) -> bool:
        """Read events until the daemon closes the connection; return whether to connect again."""
        fresh = True
        try:
            for record in self._source.events(follow=True):
                if not self._goes_on():
                    return False
                if fresh:
                    self._put(None)
                    fresh = False
                self._put(record)
        except PreforkError:
            pass  # The status, which is asked for as well, says why.
        return True

    def _goes_on(self) -> bool:
        """Return whether a page watches; if not, the thread has ended for `follow`."""
        with self._lock:
            self._running = self._wanted
            return self._wanted

    def _put(self, record: Record | None) -> None:
        """Add a record. One call announces all that the event loop has not taken yet."""
        announced = bool(self._records)
        self._records.append(record)
        if not announced:
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        records: list[Record] = []
        fresh = False
        while self._records:
            record = self._records.popleft()
            if record is None:
                records, fresh = [], True
            else:
                records.append(record)
        self._arrived(records, fresh)
