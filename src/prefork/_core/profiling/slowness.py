"""When a worker that makes no progress is profiled by itself: once each time, and seldom.

Each worker may stand still for a while until it is profiled: for the time that the operator gave, or for half of its
`hang_timeout`, so that the profile is there when the worker counts as hung.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..._records.record import record

INTERVAL = 60.0
"""Seconds from one profile to the next, at least, of all workers: slow ones may be many."""

LONGEST = 5.0
"""Seconds that such a profile takes, at most."""

_LEAST_PAUSE = 0.05


@record
class Standing:
    """A worker without progress since a moment; after `patience` seconds it counts as hung (0: never)."""

    pid: int
    since: float
    patience: float


@record
class Due:
    """A profile to take now: of which process, for how many seconds, and how long it has made no progress."""

    pid: int
    seconds: float
    stood: float


class Slowness:
    """What is profiled by itself. `slower_than`: seconds, 0 for never; `on_hang`: what is about to hang."""

    def __init__(self, slower_than: float, on_hang: bool) -> None:
        self._slower_than = slower_than
        self._on_hang = on_hang
        self._last: float | None = None
        self._taken: dict[int, float] = {}  # pid -> since when it stood still when it was profiled

    @property
    def wanted(self) -> bool:
        """Whether any worker is profiled by itself."""
        return self._on_hang or self._slower_than > 0

    def pause(self, patiences: Iterable[float]) -> float:
        """Return the seconds until workers are looked at again, whose patience is given; 0.0 for never."""
        thresholds = [threshold for patience in patiences if (threshold := self._threshold(patience))]
        return max(_LEAST_PAUSE, min(thresholds) / 4) if thresholds else 0.0

    def due(self, standing: Iterable[Standing], now: float) -> Due | None:
        """Return the profile to take now, of the worker that has stood still longest."""
        if self._last is not None and now - self._last < INTERVAL:
            return None
        late = [
            each
            for each in standing
            if each.since
            and self._taken.get(each.pid) != each.since
            and 0 < self._threshold(each.patience) <= now - each.since
        ]
        if not late:
            return None
        found = min(late, key=lambda each: each.since)
        self._last, self._taken[found.pid] = now, found.since
        stood = now - found.since
        rest = found.patience - stood if found.patience > stood else LONGEST
        return Due(found.pid, max(1.0, min(LONGEST, rest)), stood)

    def ended(self, pid: int) -> None:
        """Forget a process."""
        self._taken.pop(pid, None)

    def _threshold(self, patience: float) -> float:
        """Return after how many seconds a worker is profiled; 0.0 for never."""
        found = [each for each in (self._slower_than, patience / 2 if self._on_hang else 0.0) if each]
        return min(found, default=0.0)
