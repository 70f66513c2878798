"""What a worker does at this moment, counted into its row of the scoreboard.

This is on the path of each request and each connection: a few stores into shared memory, and no system call. Every
worker has it, and what is made after the fork is private memory, so all that it needs is made in the mold.
"""

from __future__ import annotations

import _thread
import os
import sys
from bisect import bisect_left
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .._errors import UsageError
from .._wire import scoreboard as at
from .._wire.measures import (
    BLOCK,
    DISCONNECTS,
    END,
    LAG,
    LATE,
    LATENCY_AT,
    LATENCY_BOUNDS,
    LATENCY_SUM,
    QUEUE_AT,
    QUEUE_BOUNDS,
    QUEUE_SUM,
    RECEIVED,
    REFUSED,
    RESPONSES,
    SENT,
)
from .._wire.scoreboard import BEAT, BUSY_SINCE, ERRORS, IN_FLIGHT, OPEN, POLLS, REQUESTS, WATCHING, Memory
from . import sharing

if TYPE_CHECKING:
    from .limits import Limits

_SUCCESS = RESPONSES + 2  # the word of responses with 2xx
_QUICK = LATENCY_BOUNDS[0]
_MASK = 2**64 - 1
_NO_GIL = "t" in sys.abiflags
_lock = _thread.RLock()
"""Not a plain lock: a signal handler may begin a request of its own while this thread writes the label of another."""


class Activity:
    """The worker's counts: open connections, requests in flight, requests done. Several threads may use it at once.

    The numbers here are this process's own and are only written to the row: what another process writes there changes
    nothing here.
    There is no lock around a count, which would cost as much as all the rest. An interpreter with a GIL changes
    threads, and runs signal handlers, where a function is called or returns, and where a loop turns. So nothing is
    called between the reading of a number and its writing. One without a GIL has the lock: see the end of this module.
    """

    __slots__ = (
        *("_beat_threads", "_begun", "_block", "_bytes", "_counts", "_lag", "_latency"),
        *("_board", "_queued", "_row", "_sums"),
        *("errors", "floats", "in_flight", "label", "limits", "lock", "polls", "oldest", "open", "requests"),
        *("hang_timeout", "loop_thread", "pulse", "requests_by_thread", "wake", "words"),
    )

    def __init__(self, board: at.Scoreboard | None = None, row: int = -1) -> None:
        """Count into this row of the board; without one, in this process only."""
        global _shared
        self.lock = _lock
        self.in_flight = self.open = self.requests = self.errors = self.polls = 0
        self._begun = self._latency = self._queued = self._lag = 0.0
        self._counts = [0] * END  # of the block, by word
        self.label = self.oldest = ""
        self.limits: Limits | None = None
        self.hang_timeout = 0.0
        self.wake: Callable[[], None] | None = None
        self.pulse: Callable[[], None] | None = None
        self._beat_threads: Callable[[], None] | None = None
        self.requests_by_thread: Callable[[], dict[int, str]] = dict
        self.loop_thread = 0  # the one that runs an event loop
        if board is None or row < 0:
            self.leave_row()
        else:
            self._write_to(board, board.worker_words(row), board.block_words(row))
            self.words[at.NATIVE_THREADS] = sharing.native_threads
            _shared = self

    def opened(self) -> None:
        """Count one connection more."""
        words = self.words
        words[POLLS] = self.polls = self.polls + 1
        words[OPEN] = self.open = self.open + 1

    def closed(self) -> None:
        """Count one connection fewer. Raises UsageError where none is open."""
        if not self.open:
            raise UsageError("a connection was closed that had not been opened: closed() once for each opened()")
        self.words[OPEN] = self.open = self.open - 1

    def polled(self) -> int:
        """Count one poll of a backlog without an accept, as a sign of life; return how many connections are open."""
        self.words[POLLS] = self.polls = self.polls + 1
        return self.open

    def begin(self, label: str) -> float:
        """Count the begin of a request; return when it was, for `end`.

        `label` names it, such as `GET /orders`; it is cut to 64 bytes.
        """
        self._begun = now = monotonic()
        in_flight = self.in_flight
        if not in_flight:
            self.floats[BUSY_SINCE] = now
        self.words[IN_FLIGHT] = self.in_flight = in_flight + 1
        if label != self.label:
            self.label = label
            self._write_text(at.LABEL_OFFSET, label)
        if not in_flight and (self.pulse is not None or not self._board[WATCHING]):
            self._busy()
        return now

    def end(self, failed: bool = False, status: int = 0, begun: float | None = None, sent: int = 0) -> float:
        """Count the end of a request; return when it was. Raises UsageError where none is in flight.

        `status`: of the response, 0 without one. `begun`: what `begin` has returned; without it the latest begin
        counts, which is right as long as one request is in flight. `sent`: bytes of the response's body.

        While others are in flight, the worker counts as busy from now on, not since the oldest began: it makes
        progress.
        """
        now = monotonic()
        latency = now - (self._begun if begun is None else begun)
        # The quickest requests, for which the search would count, are in the first bucket.
        bucket = LATENCY_AT + bisect_left(LATENCY_BOUNDS, latency) if latency > _QUICK else LATENCY_AT
        answer = _SUCCESS if 200 <= status < 300 else _word_of(status) if status else RESPONSES
        words, block, counts = self.words, self._block, self._counts
        in_flight = self.in_flight  # After the last call: no other thread comes between this and what is written.
        if not in_flight:
            raise UsageError("a request ended that had not begun: end() once for each begin()")
        words[REQUESTS] = self.requests = self.requests + 1
        if failed:
            words[ERRORS] = self.errors = self.errors + 1
        words[IN_FLIGHT] = self.in_flight = in_flight - 1
        self.floats[BUSY_SINCE] = now if in_flight > 1 else 0.0
        block[bucket] = counts[bucket] = counts[bucket] + 1
        block[answer] = counts[answer] = counts[answer] + 1
        self._sums[LATENCY_SUM] = self._latency = self._latency + latency
        if sent:
            block[SENT] = counts[SENT] = counts[SENT] + sent
        if self.limits is not None:
            self.limits.after(self.requests)
        return now

    def received(self, size: int) -> None:
        """Count bytes of the body of a request."""
        counts = self._counts
        self._block[RECEIVED] = counts[RECEIVED] = (counts[RECEIVED] + size) & _MASK

    def receiving(self, on_body: Callable[[Any, bytes], object]) -> Callable[[Any, bytes], object]:
        """Return a server's method that takes a piece of a body, with its bytes counted.

        It does what `received` does, since that call would cost as much as the count.
        """

        def counting(protocol: Any, body: bytes) -> None:
            size, counts = len(body), self._counts
            self._block[RECEIVED] = counts[RECEIVED] = counts[RECEIVED] + size
            on_body(protocol, body)

        def locking(protocol: Any, body: bytes) -> None:
            self.received(len(body))
            on_body(protocol, body)

        return locking if _NO_GIL else counting

    def disconnected(self) -> None:
        """Count a client that went away before its response was complete."""
        self._count(DISCONNECTS, 1)

    def refused(self) -> None:
        """Count a request or a connection that a limit refuses."""
        self._count(REFUSED, 1)

    def queued(self, seconds: float) -> None:
        """Count a request by the time that it has waited for this worker."""
        self._count(QUEUE_AT + bisect_left(QUEUE_BOUNDS, seconds), 1)
        self._sums[QUEUE_SUM] = self._queued = self._queued + seconds

    def held(self, seconds: float) -> None:
        """Count a turn of the event loop that took long, once the worker has begun to serve."""
        if self.requests or self.in_flight or self.polls:
            self._count(LATE, 1)
            self._sums[LAG] = self._lag = self._lag + seconds

    def _count(self, word: int, more: int) -> None:
        counts = self._counts
        self._block[word] = counts[word] = (counts[word] + more) & _MASK

    def _write_text(self, offset: int, text: str) -> None:
        with self.lock:
            field = _cut(text.encode("utf-8", "replace")).ljust(at.LABEL_BYTES, b"\0")
            self._bytes[offset : offset + at.LABEL_BYTES] = field

    def beat(self) -> None:
        """Report progress, for work that takes longer than the kind's `hang_timeout`. To be called in any thread.

        Where an event loop works, only its own thread can report for it: what others report could come when it waits.
        """
        now, floats = monotonic(), self.floats
        if self._beat_threads is not None:
            self._beat_threads()
        elif self.in_flight:
            floats[BUSY_SINCE] = now
        if self.loop_thread == _thread.get_ident() and floats[BEAT] > 0:
            floats[BEAT] = now

    # What a server reports whose threads handle one request each (`threads`).

    def has_threads(self, count: int, beat: Callable[[], None], by_thread: Callable[[], dict[int, str]]) -> None:
        """Report that the worker handles `count` requests at once, each in a thread.

        `beat` counts as progress, and `by_thread` returns what each thread works on: id of the system, label.
        """
        self._beat_threads, self.requests_by_thread = beat, by_thread
        self.words[at.THREADS] = count

    def write_oldest(self, label: str) -> None:
        """Write which request has made no progress for the longest; nothing where it is the latest, too, or none is."""
        oldest = "" if label == self.label else label  # As mostly: one text to write, and not two.
        if oldest != self.oldest:
            self.oldest = oldest
            self._write_text(at.OLDEST_OFFSET, oldest)

    def wake_master(self) -> None:
        """Wake a master that does not watch for hangs."""
        if self.wake is not None and not self._board[WATCHING]:
            self.wake()

    # What an event loop reports: that it waits, or since when it runs callbacks, whatever is in flight.

    def waits(self) -> None:
        """Report that the event loop is about to wait."""
        self.floats[BEAT] = -1.0

    def works(self) -> float:
        """Report that the event loop runs callbacks from now on; return when that is."""
        self.floats[BEAT] = now = monotonic()
        if self.wake is not None and not self._board[WATCHING]:
            self.wake()
        return now

    def loop_ended(self) -> None:
        """Report that there is no event loop any more."""
        self.floats[BEAT] = 0.0

    def _busy(self) -> None:
        """Start the pulse and wake the master: after the row is written, or the master could read it too early."""
        pulse = self.pulse  # None when the loop's own thread starts it at this moment.
        if pulse is not None:
            pulse()
        self.wake_master()

    def request(self, label: str) -> Request:
        """Return a context manager that counts one request, failed where its block raises."""
        return Request(self, label)

    def leave_row(self) -> None:
        """Count in this process only, from now on."""
        self.wake = self.pulse = None
        self.lock = _thread.RLock()  # A fork may have come while another thread held it.
        self._write_to(Memory(memoryview(bytearray(at.HALF + BLOCK))), 0, at.WORDS)

    def _write_to(self, memory: Memory, row: int, block: int) -> None:
        """Write to this memory from now on: the worker's half of a row, and its block, from these words on."""
        # Views that begin there: an addition for each number that is written would cost a tenth of it.
        self._board, self._row = memory.words, row
        self._bytes, self.words, self.floats = memory.part(row, at.WORDS)
        _, self._block, self._sums = memory.part(block, BLOCK // 8)

    def retire(self) -> None:
        """Give up the row: no process uses it any more, and a fork has nothing to leave."""
        global _shared
        _shared = None


def _one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    def locked(self: Activity, *arguments: Any) -> Any:
        with self.lock:
            return method(self, *arguments)

    return locked


if _NO_GIL:
    for _name in ("opened", "closed", "polled", "begin", "end", "received", "queued", "held", "_count", "beat"):
        setattr(Activity, _name, _one_at_a_time(getattr(Activity, _name)))


_shared: Activity | None = None
"""The activity of this process that counts into a row."""


def own_row() -> int | None:
    """Return the row of this worker; None in a process that has none."""
    return None if _shared is None else (_shared._row * 8 - at.HEADER) // at.HALF


def _leave_row() -> None:
    """Run in a child that the application forks: it would count its copies of the parent's connections once more."""
    if _shared is not None:
        _shared.leave_row()


def requests_by_thread() -> dict[int, str]:
    """Return the labels of this worker's requests by the threads that work on them, where they are known."""
    return _shared.requests_by_thread() if _shared is not None else {}


def beat() -> None:
    """Report progress of the worker that this process is, from any thread; in other processes it does nothing.

    For a request whose work takes longer than `hang_timeout`. In a server's thread it counts for its request, in a
    thread without one for all requests of the worker. An event loop beats for itself whenever it turns; here, a long
    callback does.
    """
    if _shared is not None:
        _shared.beat()


# Here, in the mold, and not in each worker. In a newborn there is no shared activity yet.
os.register_at_fork(after_in_child=_leave_row)


class Request:
    """One request, as a context manager; a class, since a generator would cost twice as much."""

    __slots__ = ("_activity", "_begun", "_label")

    def __init__(self, activity: Activity, label: str) -> None:
        self._activity = activity
        self._label = label

    def __enter__(self) -> None:
        self._begun = self._activity.begin(self._label)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._activity.end(kind is not None, begun=self._begun)


def _word_of(status: int) -> int:
    """Return the word of a block in which responses with this status are counted."""
    return RESPONSES + (int(status) // 100 if 100 <= status < 600 else 0)


def _cut(text: bytes) -> bytes:
    """Return as many whole characters of UTF-8 as a label has room for."""
    if len(text) <= at.LABEL_BYTES:
        return text
    return text[: at.LABEL_BYTES].decode("utf-8", "ignore").encode()
