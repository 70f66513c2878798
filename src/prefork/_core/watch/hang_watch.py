"""When a worker counts as hung, by its row of the scoreboard at each check.

The row says what the worker does and since when; how long it may is its kind's `hang_timeout`:

    what the row shows             what it means                         hung when `hang_timeout` has passed since
    stopped by a signal            the process does not run              it was stopped
    beat < 0                       an event loop that waits              never, whatever is in flight
    beat > 0                       an event loop in one callback         `beat`
    beat 0, busy_since > 0         requests, and no loop that beats      a request last made progress
    beat 0, busy_since 0           idle                                  never

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

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHARE = 8
"""The shortest timeout over this is the least time between two checks: a hang is noticed an eighth late at most."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One worker at a check: without progress since `since` (0.0: idle), which it may be for `patience` seconds."""

    pid: int
    since: float
    patience: float


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check, as pids: workers newly hung, workers newly starved of CPU; `next`: when to check again."""

    hung: tuple[int, ...]
    starved: tuple[int, ...]
    watching: bool
    next: float | None


@dataclass(slots=True)
class _BusyPeriod:
    """The time since a worker last made progress."""

    since: float
    excused: float = 0.0
    waited: float | None = None  # seconds in the run queue when last read
    hung: bool = False


@dataclass(slots=True)
class HangDetector:
    """Finds hung workers. `waited(pid)`: seconds that a process has waited in the run queue so far."""

    waited: Callable[[int], float]
    periods: dict[int, _BusyPeriod] = field(default_factory=dict)
    watching: bool = True
    starved: set[int] = field(default_factory=set)  # pids, each reported once

    def check(self, signs: Iterable[Sign], now: float, late: float) -> Check:
        """Check all workers; `late`: seconds by which this check comes later than it was due."""
        before, self.periods = self.periods, {}
        hung: list[int] = []
        starved: list[int] = []
        due = least = inf
        for sign in signs:
            least = min(least, sign.patience)
            if not sign.since:
                continue
            period = before.get(sign.pid)
            if period is None or period.since != sign.since:
                period = _BusyPeriod(sign.since)
            self.periods[sign.pid] = period
            period.excused += max(0.0, min(late, now - period.since - period.excused))
            if period.hung:
                continue
            due = min(due, self._judge(period, sign, now))
            if period.hung:
                hung.append(sign.pid)
            elif now - period.since >= sign.patience and sign.pid not in self.starved:
                self.starved.add(sign.pid)
                starved.append(sign.pid)
        return Check(tuple(hung), tuple(starved), *self._next(due, least, now))

    def _judge(self, period: _BusyPeriod, sign: Sign, now: float) -> float:
        """Set `period.hung` if the worker is hung; return when to check it again."""
        middle, end = (period.since + period.excused + part * sign.patience for part in (0.5, 1.0))
        if now < middle:
            return middle
        waited = self.waited(sign.pid)
        if period.waited is None:
            period.waited = waited
            return max(end, now + sign.patience / SHARE)
        period.excused += max(0.0, waited - period.waited)
        end += max(0.0, waited - period.waited)
        period.waited = waited
        period.hung = now >= end
        return inf if period.hung else end

    def _next(self, due: float, least: float, now: float) -> tuple[bool, float | None]:
        """Return whether the master goes on checking, and when the next check is due."""
        if self.periods:
            self.watching = True
            return True, min(max(due, now + least / SHARE), now + least)
        if self.watching:
            self.watching = False
            return False, now + least / SHARE if least < inf else None
        return False, None
