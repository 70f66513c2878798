"""What a worker has to do at this moment, counted into its row of the scoreboard.

This is on the path of each request and each connection: a few stores into shared memory, and no system call.
"""

from __future__ import annotations

import _thread
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from ._errors import MisuseError
from ._linux.scoreboard import BUSY_SINCE, ERRORS, HALF, IN_FLIGHT, LABEL_BYTES, LABEL_OFFSET, LOOKS, OPEN, REQUESTS

if TYPE_CHECKING:
    from ._limits import Limits


class Activity:
    """Open connections, requests in flight, and what has been done; may be used by several threads at once.

    The numbers here are this process's own and are only written to the row: what anybody else writes there changes
    nothing here.
    """

    __slots__ = (
        *("_floats", "_label", "_lock", "_words"),
        *("errors", "in_flight", "label", "limits", "looks", "open", "requests"),
    )

    def __init__(self, row: memoryview | None = None) -> None:
        """`row` is the worker's half of a row; without one the counts stay in this process."""
        if row is None:
            self.leave_row()
        else:
            self._write_to(row)
        # Not a plain lock: a signal handler may come to a request of its own while this thread counts another.
        self._lock = _thread.RLock()
        self.in_flight = self.open = self.requests = self.errors = self.looks = 0
        self.label = ""
        self.limits: Limits | None = None

    def opened(self) -> None:
        """Count one connection more."""
        with self._lock:
            self._words[OPEN] = self.open = self.open + 1

    def closed(self) -> None:
        """Count one connection fewer. Raises MisuseError where none is open."""
        with self._lock:
            if not self.open:
                raise MisuseError("a connection was closed that had not been opened: closed() once for each opened()")
            self._words[OPEN] = self.open = self.open - 1

    def look(self) -> int:
        """Count one look at a queue of connections, whether one is taken or not; how many are open."""
        with self._lock:
            self._words[LOOKS] = self.looks = self.looks + 1
            return self.open

    def begin(self, label: str) -> None:
        """Begin a request; `label` says what it is, such as `GET /orders`, and is cut to 64 bytes."""
        with self._lock:
            if not self.in_flight:
                self._floats[BUSY_SINCE] = monotonic()
            self._words[IN_FLIGHT] = self.in_flight = self.in_flight + 1
            if label != self.label:
                self.label = label
                self._label[:] = _cut(label.encode("utf-8", "replace")).ljust(LABEL_BYTES, b"\0")

    def end(self, failed: bool = False) -> None:
        """End a request. Raises MisuseError where none is in flight.

        While others are, the worker counts as busy from now on, not from the begin of the oldest: it gets on.
        """
        with self._lock:
            if not self.in_flight:
                raise MisuseError("a request ended that had not begun: end() once for each begin()")
            words = self._words
            words[REQUESTS] = self.requests = self.requests + 1
            if failed:
                words[ERRORS] = self.errors = self.errors + 1
            words[IN_FLIGHT] = self.in_flight = self.in_flight - 1
            self._floats[BUSY_SINCE] = monotonic() if self.in_flight else 0.0
        if self.limits is not None:
            self.limits.after(self.requests)

    def request(self, label: str) -> Request:
        """Count one request for as long as a `with` block runs; it has failed when the block raises."""
        return Request(self, label)

    def leave_row(self) -> None:
        """From now on count in this process only."""
        self._write_to(memoryview(bytearray(HALF)))

    def _write_to(self, row: memoryview) -> None:
        self._words, self._floats, self._label = row.cast("Q"), row.cast("d"), row[LABEL_OFFSET:]


class Request:
    """One request, as a context manager; a class, since a generator would cost twice as much."""

    __slots__ = ("_activity", "_label")

    def __init__(self, activity: Activity, label: str) -> None:
        self._activity = activity
        self._label = label

    def __enter__(self) -> None:
        self._activity.begin(self._label)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._activity.end(kind is not None)


def _cut(text: bytes) -> bytes:
    """As many whole characters of UTF-8 as a label may have."""
    if len(text) <= LABEL_BYTES:
        return text
    return text[:LABEL_BYTES].decode("utf-8", "ignore").encode()
