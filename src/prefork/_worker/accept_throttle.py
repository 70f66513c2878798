"""When a worker leaves a shared queue to others for a moment, since they have clearly fewer connections than it has.

Who accepts from a shared queue is who comes first, and that is who runs already: with more workers than processors, one
of them takes until its time slice ends. Choosing by hash is no better: 200 connections over four workers would be
binomial. So a worker compares itself with the one that has the fewest, and while it has more by over `SLACK` it lets a
millisecond pass and looks again. Whoever has the fewest never waits.

A worker that hangs would be waited for in vain. A row that has not changed during `PAUSES` pauses is passed over until
it does: that costs 10 ms once. Each look is a change, or those who only wait would be taken for hung by each other. And
nothing is left alone for more than `MOST` pauses in a row, whatever the others do: they may not be accepting from this
very queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

PeerLoad = tuple[int, int, int]
"""Which row, how many connections it has open, how often it has looked at a queue."""

BATCH = 4
"""How many connections to accept at a wake-up, at most, so that what has been accepted is served meanwhile."""
SLACK = 4
"""Connections: how many more than the least loaded is no reason to wait."""
SHARE = 0.05
"""The slack as a share of the mean, where that is more."""
PAUSE = 0.001
"""Seconds: long enough for others to be woken, short enough for nobody to notice."""
PAUSES = 10
"""With five, a worker that only waited for a processor was taken for hung in one burst of ten, on a machine with more
than five runnable processes for each."""
MOST = 100


class AcceptThrottle:
    """One accept loop's part in it. `pause` is asked before each accept; to ask once for a few balances less well."""

    def __init__(self, mine: Callable[[], int], others: Callable[[], Sequence[PeerLoad]]) -> None:
        """`mine` counts this worker's open connections; `others` are those that accept from the same queue."""
        self._mine = mine
        self._others = others
        self._pauses = 0  # in a row
        self._first: frozenset[PeerLoad] = frozenset()  # how the others stood when the last few pauses began
        self._passed_over: frozenset[PeerLoad] = frozenset()
        self.room = 0
        """How many more connections may be taken before it makes sense to ask again."""

    def pause(self) -> float:
        """For how many seconds to leave the queue alone; 0.0 to accept now."""
        mine = self._mine()
        # The fewest are none at all, so this one need not look.
        if mine <= SLACK:
            self._pauses, self.room = 0, SLACK - mine
            return 0.0
        others = self._others()
        if self._pauses and self._pauses % PAUSES == 0:
            self._passed_over |= self._first.intersection(others)
        if self._passed_over:
            self._passed_over = self._passed_over.intersection(others)
            others = [each for each in others if each not in self._passed_over]
        room = _room(mine, others)
        if self._pauses == MOST or room >= 0:
            self._pauses, self.room = 0, max(0, room)
            return 0.0
        if self._pauses % PAUSES == 0:
            self._first = frozenset(others)
        self._pauses += 1
        return PAUSE


def _room(mine: int, others: Sequence[PeerLoad]) -> int:
    """How many connections this one may take and not have clearly more than another; below 0 where it has already."""
    fewest = mine
    for _, count, _ in others:
        if count < fewest:
            fewest = count
    room = fewest + SLACK - mine
    if room < 0:
        mean = (mine + sum(count for _, count, _ in others)) / (1 + len(others))
        room = min(0, int(fewest + SHARE * mean) - mine)
    return room
