"""When a worker counts as hung, from what is seen of it at each look.

What it does now, and since when, stands in its row of the scoreboard; how long it may is its kind's `hang_timeout`:

    what is seen                        what it is                            it counts as hung
    stopped, by a signal                not running at all                    so long after it was stopped
    beat < 0                            an event loop that waits              never, whatever is in flight
    beat > 0                            an event loop in one callback         so long after `beat`
    beat 0, busy_since > 0              requests, and no loop that tells      so long after anything got on
    beat 0, busy_since 0                idle                                  never

Time that was nobody's fault does not count: what the look itself came too late (the machine was asleep, or had no
processor for the master), and what the worker has waited for a processor (the scheduler's own count) from the middle
of its time on. So a worker that is kept from working is not taken for one that hangs, however busy the machine is.

Nobody looks while all are idle. A word of the scoreboard says whether somebody does; a worker that gets busy while
nobody does wakes the master. The two may cross, and each order of their steps ends well:

    worker      I am busy  ->  does anybody look?  no: wake the master
    master      nobody looks  ->  is anybody busy?  yes: look on

Whoever comes second sees the other. A processor may let a load pass a store that is still on its way, so that both
come first; therefore the master looks once more an eighth later, and is only then at rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHARE = 8
"""Looks are at least so large a part of the shortest timeout apart: a hang is noticed an eighth late at most."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What is seen of one worker: `since` when it does what it does (0.0: it is idle), and how long it may."""

    pid: int
    since: float
    patience: float


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has found, by pid: who hangs, and who would but for a processor. When to look again, if at all."""

    hung: tuple[int, ...]
    starved: tuple[int, ...]
    watching: bool
    next: float | None


@dataclass(slots=True)
class _BusyPeriod:
    """The time since a worker was last seen to get on."""

    since: float
    excused: float = 0.0
    waited: float | None = None  # for a processor, by the scheduler's count, when it was last asked
    hung: bool = False


@dataclass(slots=True)
class HangDetector:
    """What is remembered from look to look. `waited(pid)`: seconds that it has waited for a processor so far."""

    waited: Callable[[int], float]
    periods: dict[int, _BusyPeriod] = field(default_factory=dict)
    watching: bool = True
    starved: set[int] = field(default_factory=set)  # each is told of once

    def look(self, signs: Iterable[Sign], now: float, late: float) -> Look:
        """Judge all workers; `late`: how much later than it was due this look comes."""
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
        return Look(tuple(hung), tuple(starved), *self._next(due, least, now))

    def _judge(self, period: _BusyPeriod, sign: Sign, now: float) -> float:
        """Find out whether it hangs; return when to look at it again."""
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
        """Whether somebody looks from now on, and when the next time."""
        if self.periods:
            self.watching = True
            return True, min(max(due, now + least / SHARE), now + least)
        if self.watching:
            self.watching = False
            return False, now + least / SHARE if least < inf else None
        return False, None
