"""What workers have counted: requests, failed ones, and latencies in a histogram."""

from __future__ import annotations

from ..._records.record import record

MOST = 10**9
"""A count above this is cut: any worker can write to the memory that it is read from."""


@record
class Counts:
    """Requests that have ended. `latencies`: upper bound in seconds and requests, of the buckets that are not empty."""

    requests: int = 0
    errors: int = 0
    latencies: tuple[tuple[float, int], ...] = ()

    def since(self, earlier: Counts) -> Counts:
        """Return what was counted since an earlier reading of the same workers."""
        before = dict(earlier.latencies)
        more = ((bound, _cut(count - before.get(bound, 0))) for bound, count in self.latencies)
        requests = _cut(self.requests - earlier.requests)
        errors = min(requests, _cut(self.errors - earlier.errors))
        return Counts(requests, errors, tuple((bound, count) for bound, count in more if count))

    def slower(self, than: float) -> tuple[int, int]:
        """Return how many requests took longer than `than` seconds, and how many there are in all."""
        return sum(count for bound, count in self.latencies if bound > than), self._all

    def percentile(self, percent: int) -> float:
        """Return the upper bound of the bucket with this percentile, in seconds; 0.0 without requests."""
        left = -(-self._all * percent // 100)
        for bound, count in sorted(self.latencies):
            left -= count
            if left <= 0:
                return bound
        return 0.0

    @property
    def _all(self) -> int:
        return sum(count for _, count in self.latencies)


@record
class Sample:
    """The workers of one kind, at one moment: those of the new generation, and all others.

    The counts are of all workers that there ever were, so that two samples have a difference. `stalled`: the longest
    time, in seconds, for which a new worker that is busy has made no progress.
    """

    kind: str
    new: Counts = Counts()
    old: Counts = Counts()
    stalled: float = 0.0


@record
class Measured:
    """The answer to a `Measure`: a sample of each kind that it names."""

    generation: int
    samples: tuple[Sample, ...]


@record
class Measure:
    """Return the counts of these kinds, by `Measured`: of this generation, and of all others together."""

    generation: int
    kinds: tuple[str, ...]


def _cut(count: int) -> int:
    return max(0, min(count, MOST))
