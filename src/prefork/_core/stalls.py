"""Which queues stand still: something waits in them, and nobody takes it."""

from __future__ import annotations

from collections.abc import Mapping

PATIENCE = 2
"""Looks in a row at which a queue has not moved. A worker that is slow, not stuck, gets less for a moment at worst."""

Look = tuple[int, object]
"""How much waits, and what its workers have counted: whatever it is, if it is another they are alive."""


class Stalls:
    """What several looks at a set of queues have shown. The queues are named by numbers."""

    def __init__(self) -> None:
        self._seen: Mapping[int, Look] = {}
        self._still: dict[int, int] = {}

    def look(self, queues: Mapping[int, Look]) -> frozenset[int]:
        """Take in one more look; return which queues stand still."""
        for queue, (length, counted) in queues.items():
            before = self._seen.get(queue, (0, None))
            moves = not length or not before[0] or length < before[0] or counted != before[1]
            self._still[queue] = 0 if moves else self._still.get(queue, 0) + 1
        self._seen = queues
        self._still = {queue: looks for queue, looks in self._still.items() if queue in queues}
        return frozenset(queue for queue, looks in self._still.items() if looks >= PATIENCE)
