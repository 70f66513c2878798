"""When a worker counts as hung, by its row of the scoreboard at each check.

The row says what the worker does and since when; how long it may is its kind's `hang_timeout`:

    what the row shows             what it means                         hung when `hang_timeout` has passed since
    stopped by a signal            the process does not run              it was stopped
    beat < 0                       an event loop that waits              never, whatever is in flight
    beat > 0                       an event loop in one callback         `beat`
    threads > 0, all at work       no thread for a further request       a request last made progress: `moved`
    threads > 0, others are free   long requests, or stuck ones          never: the request is reported, once
    threads 0, busy_since > 0      requests, and no loop that beats      a request last made progress
    threads 0, busy_since 0        idle                                  never

A thread is at work while it has a request that does not wait for its client: a slow client is no hang of the worker.

Two kinds of time do not count: the time by which the check itself was late (the machine was asleep, or the master was
starved of CPU), and, from the middle of the timeout on, the time that the worker waited in the run queue (from the
scheduler's counters). So a worker that is starved of CPU does not count as hung, however busy the machine is.

There are no checks while all workers are idle. A word of the scoreboard says whether the master checks; a worker that
becomes busy while it does not wakes the master. The two may race, and each order of their steps is safe:

    worker      set busy          ->  read the word: if the master does not check, wake it
    master      clear the word    ->  read all rows: if a worker is busy, go on checking

Whichever comes second sees the other. A processor may let a load overtake an earlier store, so that both miss each
other; therefore the master checks once more an eighth of the timeout later before it rests.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ..._records.members import field
from ..._records.record import mutable, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHARE = 8
"""The shortest timeout over this is the least time between two checks: a hang is noticed an eighth late at most."""

RETRIES = 3
"""How often a worker is examined again that does not answer, though some of its threads are free."""

EXTRA = 3
"""Times its `hang_timeout`, besides it, that a worker may take whose threads all have a request and compute."""


@record
class Progress:
    """What a worker's row says of its progress; `working`: requests that do not wait for their clients."""

    beat: float = 0.0
    busy_since: float = 0.0
    threads: int = 0
    working: int = 0
    moved: float = 0.0

    @property
    def has_loop(self) -> bool:
        """Whether an event loop does the work."""
        return self.beat != 0.0

    @property
    def free(self) -> int:
        """How many threads could begin a request, or have one that waits for its client; 0 where it is not known."""
        return max(0, self.threads - self.working)

    def since(self, now: float) -> float:
        """Return since when the worker, or the oldest request beside free threads, has made no progress; 0.0: idle."""
        if self.has_loop:
            since = self.beat
        elif self.threads and not self.free:
            since = self.moved
        else:
            since = self.busy_since
        return since if 0.0 < since <= now else 0.0


@record
class Sign:
    """One worker at a check: without progress since `since` (0.0: idle), which it may be for `patience` seconds.

    `free`: other threads of it are free, so that it is not hung.
    """

    pid: int
    since: float
    patience: float
    free: bool = False


@record
class Check:
    """The result of a check, as pids: workers newly hung, starved of CPU, or with a request stuck beside free threads.

    `next`: when to check again.
    """

    hung: tuple[int, ...]
    starved: tuple[int, ...]
    watching: bool
    next: float | None
    stuck: tuple[int, ...] = ()


@mutable
class _BusyPeriod:
    """The time since a worker last made progress."""

    since: float
    free: bool = False
    excused: float = 0.0
    waited: float | None = None  # seconds in the run queue when last read
    extra: float = 0.0  # seconds that it has got besides its patience
    retries: int = 0
    over: bool = False  # the timeout is, and the worker is hung, or has a stuck request


@mutable
class HangDetector:
    """Finds hung workers. `waited(pid)`: seconds that a process has waited in the run queue so far."""

    waited: Callable[[int], float]
    periods: dict[int, _BusyPeriod] = field(default_factory=dict)
    watching: bool = True
    starved: set[int] = field(default_factory=set)  # pids, each reported once
    stuck: dict[int, float] = field(default_factory=dict)  # pid -> since when its request is stuck that was reported

    def check(self, signs: Iterable[Sign], now: float, late: float) -> Check:
        """Check all workers; `late`: seconds by which this check comes later than it was due."""
        before, self.periods = self.periods, {}
        hung: list[int] = []
        stuck: list[int] = []
        starved: list[int] = []
        due = least = inf
        for sign in signs:
            least = min(least, sign.patience)
            if not sign.since:
                continue
            period = before.get(sign.pid)
            if period is None or (period.since, period.free) != (sign.since, sign.free):
                period = _BusyPeriod(sign.since, sign.free)
            self.periods[sign.pid] = period
            period.excused += max(0.0, min(late, now - period.since - period.excused))
            if period.over or (sign.free and self.stuck.get(sign.pid) == sign.since):
                continue
            due = min(due, self._judge(period, sign, now))
            if period.over and sign.free:
                self.stuck[sign.pid] = sign.since
                stuck.append(sign.pid)
            elif period.over:
                hung.append(sign.pid)
            elif not sign.free and now - period.since - period.extra >= sign.patience and sign.pid not in self.starved:
                self.starved.add(sign.pid)
                starved.append(sign.pid)
        return Check(tuple(hung), tuple(starved), *self._next(due, least, now), tuple(stuck))

    def extend(self, pid: int, seconds: float) -> bool:
        """Give a worker that is hung more time, once in a busy period; return whether it has got it."""
        period = self.periods.get(pid)
        if period is None or period.extra:
            return False
        period.extra, period.over = seconds, False
        return True

    def retry(self, pid: int) -> bool:
        """Check a worker again that did not answer beside free threads; return False where it was done often enough."""
        period = self.periods.get(pid)
        if period is None or period.retries == RETRIES:
            return False
        period.retries += 1
        period.over = False
        self.stuck.pop(pid, None)
        return True

    def ended(self, pid: int) -> None:
        """Forget a worker that has ended."""
        self.starved.discard(pid)
        self.stuck.pop(pid, None)

    def _judge(self, period: _BusyPeriod, sign: Sign, now: float) -> float:
        """Set `period.over` if the timeout is over; return when to check the worker again."""
        start = period.since + period.excused + period.extra
        middle, end = (start + part * sign.patience for part in (0.5, 1.0))
        if now < middle:
            return middle
        waited = self.waited(sign.pid)
        if period.waited is None:
            period.waited = waited
            return max(end, now + sign.patience / SHARE)
        period.excused += max(0.0, waited - period.waited)
        end += max(0.0, waited - period.waited)
        period.waited = waited
        period.over = now >= end
        return inf if period.over else end

    def _next(self, due: float, least: float, now: float) -> tuple[bool, float | None]:
        """Return whether the master goes on checking, and when the next check is due."""
        if self.periods:
            self.watching = True
            return True, min(max(due, now + least / SHARE), now + least)
        if self.watching:
            self.watching = False
            return False, now + least / SHARE if least < inf else None
        return False, None
