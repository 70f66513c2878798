"""Which queues are stalled: connections wait, and no worker accepts them."""

from __future__ import annotations

from collections.abc import Mapping

PATIENCE = 2
"""Unchanged samples in a row that make a queue stalled. A slow worker gets fewer connections for a moment."""

Sample = tuple[int, object]
"""The queue's length, and its workers' counters: any change of these shows that a worker is alive."""


class Stalls:
    """The samples of a set of queues, which are identified by numbers."""

    def __init__(self) -> None:
        self._last: Mapping[int, Sample] = {}
        self._unchanged: dict[int, int] = {}

    def add_sample(self, queues: Mapping[int, Sample]) -> frozenset[int]:
        """Record a sample of each queue; return the stalled queues."""
        for queue, (length, counted) in queues.items():
            before = self._last.get(queue, (0, None))
            moves = not length or not before[0] or length < before[0] or counted != before[1]
            self._unchanged[queue] = 0 if moves else self._unchanged.get(queue, 0) + 1
        self._last = queues
        self._unchanged = {queue: count for queue, count in self._unchanged.items() if queue in queues}
        return frozenset(queue for queue, count in self._unchanged.items() if count >= PATIENCE)
