"""The requests of a worker whose threads handle one each: which of them get on, and which wait for their clients.

The row has what the master needs to distinguish one long request from a worker that hangs: how many threads there are,
how many requests wait for their clients, when a request last made progress, and the one that has made none for the
longest. Progress is the begin and the end of a request and of a wait for its client, and `beat`.
"""

from __future__ import annotations

from _thread import get_native_id
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from .._wire.scoreboard import BUSY_SINCE, MOVED, WAITING

if TYPE_CHECKING:
    from .activity import Activity

T = TypeVar("T")


class Threads:
    """Counts into the row of `activity`.

    A lock, which `Activity` does without: the order in which requests made progress takes more than one step to keep.
    """

    def __init__(self, activity: Activity, threads: int) -> None:
        """`threads`: how many requests the worker handles at once; 0 where it is not known."""
        self._activity = activity
        self._known = threads > 0
        self._moved = 0.0
        self._numbers = count()
        self.none_left: Callable[[], object] | None = None
        """Called when a request has ended and no other has begun, where the end of a drain waits for that."""
        # Number -> progress, label, thread, begin; the one that has made none for the longest is first.
        self._working: dict[int, tuple[float, str, int, float]] = {}
        self._waiting: dict[int, tuple[float, str, int, float]] = {}
        activity.has_threads(threads, self._beat, self._by_thread)

    def labels(self) -> list[str]:
        """Return the labels of all requests that have begun and not ended."""
        with self._activity.lock:  # Else one that begins to wait could be in neither.
            return [label for requests in (self._working, self._waiting) for _, label, _, _ in requests.values()]

    def begin(self, label: str, thread: int) -> int:
        """Count the begin of a request in this thread, by the system's number of it; return the request's number."""
        activity, number = self._activity, next(self._numbers)
        lock = activity.lock  # A child that the application forks has another one.
        lock.acquire()  # Here and in `end` not by `with`, which would cost twice as much.
        try:
            busy, alone, former = activity.in_flight, not self._working, activity.label
            now = activity.begin(label)
            self._working[number] = now, label, thread, now
            # A begin is progress if it shows that a thread was free: not where there may be one for each request.
            moved = now if self._known or alone else self._moved
            if busy and (alone or label != former):
                self._write(moved)
            else:  # It is the only one, or later than the first, whose label is as it was.
                self._moved = activity.floats[MOVED] = moved
            if busy and alone:  # All others wait, and the master may not be watching.
                activity.wake_master()
        finally:
            lock.release()
        return number

    def end(self, number: int, failed: bool, status: int = 0, sent: int = 0) -> None:
        """Count the end of a request; `status` and `sent` as in `Activity.end`."""
        activity, lock = self._activity, self._activity.lock
        lock.acquire()
        try:
            if number in self._waiting:
                self.go_on(number)
            now = activity.end(failed, status, self._working.pop(number)[3], sent)
            if activity.in_flight or activity.oldest:
                self._write(now)
            else:  # The worker is idle: the rest of the row says so.
                self._moved = activity.floats[MOVED] = now
            if self.none_left is not None and not self._working and not self._waiting:
                self.none_left()
        finally:
            lock.release()

    def wait(self, number: int) -> None:
        """Note that a request waits for its client from now on: that is no hang, however long it takes."""
        with self._activity.lock:
            if (request := self._working.pop(number, None)) is not None:
                self._waiting[number] = request
                self._write(monotonic())

    def go_on(self, number: int) -> None:
        """Note that it does not wait any more."""
        now = monotonic()
        with self._activity.lock:
            if (request := self._waiting.pop(number, None)) is not None:
                resumes = not self._working
                self._working[number] = now, *request[1:]
                self._write(now)
                if resumes:
                    self._activity.wake_master()

    def waiting(self, number: int, call: Callable[..., T]) -> Callable[..., T]:
        """Return `call` with each of its calls counted as a wait for the client."""

        def waits(*arguments: object, **options: object) -> T:
            self.wait(number)
            try:
                return call(*arguments, **options)
            finally:
                self.go_on(number)

        return waits

    def _beat(self) -> None:
        """Note progress of this thread's request; in a thread without one, of every request."""
        me, now = get_native_id(), monotonic()
        with self._activity.lock:
            numbers = [number for number, (_, _, thread, _) in self._working.items() if thread == me]
            for number in numbers or list(self._working):
                self._working[number] = now, *self._working.pop(number)[1:]
            self._write(now)

    def _by_thread(self) -> dict[int, str]:
        return {thread: label for _, label, thread, _ in list(self._working.values())}

    def _write(self, moved: float) -> None:
        """Write the row: the request without progress for the longest is the first."""
        activity, since, oldest = self._activity, 0.0, ""
        for begun, label, _, _ in self._working.values():
            since, oldest = begun if self._known else moved, label
            break
        activity.floats[BUSY_SINCE] = since
        activity.write_oldest(oldest)
        activity.words[WAITING] = len(self._waiting)
        self._moved = activity.floats[MOVED] = moved
