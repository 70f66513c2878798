"""What the workers of a kind have counted, those of one generation and all others.

The counts of dead workers are added up here, of each kind: in all, and of its latest generation. More is not needed,
since the generation that is judged is the latest.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..._core.judge.counts import MOST, Counts, Measured, Sample
from ..._records.record import record
from ..._wire.measures import LATENCY_AT, LATENCY_BOUNDS, QUEUE_AT
from ..._wire.scoreboard import ERRORS, REQUESTS, Scoreboard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..._core.judge.counts import Measure
    from ..._core.watch.hang_watch import Progress

_BOUNDS = (*LATENCY_BOUNDS, 2 * LATENCY_BOUNDS[-1])
"""Of the buckets; the last one has none, and gets twice that of the one before it."""
_REQUESTS, _ERRORS = -1, -2
"""What is counted besides the buckets, which have the numbers from 0 on."""


@record
class Living:
    """A living worker; `stalled`: for how long it has been busy without progress, in seconds."""

    name: str
    generation: int
    row: int
    stalled: float


class Comparison:
    """The counts of a daemon's workers, by kind, as far as a judged reload compares them."""

    def __init__(self, board: Scoreboard) -> None:
        self._board = board
        self._dead: dict[str, Counter[int]] = {}
        self._latest: dict[str, tuple[int, Counter[int]]] = {}

    def ended(self, name: str, generation: int, row: int) -> None:
        """Keep what a worker has counted that has ended."""
        kind = _kind(name)
        counted = self._read(row)
        self._dead.setdefault(kind, Counter()).update(counted)
        latest, count = self._latest.get(kind, (0, Counter[int]()))
        if generation > latest:
            latest, count = generation, Counter()
        if generation == latest:
            count.update(counted)
            self._latest[kind] = latest, count

    def measured(self, order: Measure, living: Iterable[Living]) -> Measured:
        """Return the counts of the kinds that the order names."""
        new = {kind: self._dead_of(kind, order.generation) for kind in order.kinds}
        old = {kind: self._dead.get(kind, Counter[int]()) - new[kind] for kind in order.kinds}
        stalls = dict.fromkeys(order.kinds, 0.0)
        for worker in living:
            kind = _kind(worker.name)
            if kind in new and worker.generation == order.generation:
                new[kind].update(self._read(worker.row))
                stalls[kind] = max(stalls[kind], worker.stalled)
            elif kind in old:
                old[kind].update(self._read(worker.row))
        samples = (Sample(kind, _counts(new[kind]), _counts(old[kind]), stalls[kind]) for kind in order.kinds)
        return Measured(order.generation, tuple(samples))

    def _dead_of(self, kind: str, generation: int) -> Counter[int]:
        latest, count = self._latest.get(kind, (0, Counter[int]()))
        return count.copy() if latest == generation else Counter()

    def _read(self, row: int) -> dict[int, int]:
        words, start, block = self._board.words, self._board.worker_words(row), self._board.block_words(row)
        buckets = words[block + LATENCY_AT : block + QUEUE_AT].tolist()
        # Any worker may have written anything there.
        found = {number: min(count, MOST) for number, count in enumerate(buckets) if count}
        found[_REQUESTS], found[_ERRORS] = min(words[start + REQUESTS], MOST), min(words[start + ERRORS], MOST)
        return found


def stalled(progress: Progress | None, now: float) -> float:
    """Return for how long, in seconds, a busy worker has made no progress; 0.0 for an idle one."""
    if progress is None or progress.free:
        return 0.0
    since = progress.since(now)
    return now - since if since else 0.0


def _counts(counted: Counter[int]) -> Counts:
    latencies = tuple((_BOUNDS[number], count) for number, count in sorted(counted.items()) if number >= 0 and count)
    return Counts(counted[_REQUESTS], counted[_ERRORS], latencies)


def _kind(name: str) -> str:
    return name.partition("/")[0]
