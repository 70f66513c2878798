"""The accept throttle: a worker leaves a shared backlog to others while they have clearly fewer connections.

The first worker to accept gets a connection, and that is the one that runs already: with more workers than processors,
one of them accepts until its time slice ends. Choosing by hash is no better: 200 connections over four workers would be
binomial. So a worker compares itself with the one that has the fewest. While it has over `SLACK` more, it pauses for a
millisecond and compares again. The worker with the fewest never pauses.

Waiting for a hung worker would be in vain: a row that has not changed during `PAUSES` pauses is ignored until it
changes, which costs 10 ms once. Each poll changes a row, or workers that only pause would take each other for hung.
After `MOST` pauses in a row a worker accepts in any case: the others may not be accepting from this very backlog.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

PeerLoad = tuple[int, int, int]
"""A peer's row, its open connections, and how often it has polled a backlog."""

BATCH = 4
"""The most connections to accept at a wake-up, so that what has been accepted is served meanwhile."""
SLACK = 4
"""Connections that a worker may have more than the least loaded peer without a pause."""
SHARE = 0.05
"""The slack as a share of the mean, where that is more."""
PAUSE = 0.001
"""Seconds: long enough for others to be woken, short enough for no client to notice."""
PAUSES = 10
"""With five, a worker that was only starved of CPU counted as hung in one burst of ten, with more than five runnable
processes for each processor."""
MOST = 100


class AcceptThrottle:
    """The throttle of one accept loop: call `pause` before each accept; fewer calls balance less well."""

    def __init__(self, mine: Callable[[], int], others: Callable[[], Sequence[PeerLoad]]) -> None:
        """`mine` returns this worker's open connections; `others` the loads of workers with the same backlog."""
        self._mine = mine
        self._others = others
        self._pauses = 0  # in a row
        self._first: frozenset[PeerLoad] = frozenset()  # the others' loads when the last few pauses began
        self._passed_over: frozenset[PeerLoad] = frozenset()
        self.room = 0
        """How many connections may be accepted before the next call of `pause` can matter."""

    def pause(self) -> float:
        """Return how many seconds to leave the backlog alone; 0.0 to accept now."""
        mine = self._mine()
        # No peer can have fewer than none, so there is no need to read their loads.
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
    """Return how many connections this worker may accept without having clearly more than a peer; below 0: it has."""
    fewest = mine
    for _, count, _ in others:
        if count < fewest:
            fewest = count
    room = fewest + SLACK - mine
    if room < 0:
        mean = (mine + sum(count for _, count, _ in others)) / (1 + len(others))
        room = min(0, int(fewest + SHARE * mean) - mine)
    return room
