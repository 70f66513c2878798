"""The families as a collector of prometheus_client: each scrape looks at the daemon once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ...scoreboard import Histogram
from ..release import release
from ..source import Source
from .family import Family, Sample
from .listed import samples
from .look import look
from .seen import Seen


def collector(source: Source) -> Collector:
    """Return the collector of this daemon's own metrics."""
    return DaemonCollector(partial(look, source))


class DaemonCollector(Collector):
    """Collects the families of the daemon. `look` returns it as it is now."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._version = release()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: a registry need not look at the daemon to register this."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield each family that has samples."""
        found: dict[Family, list[Sample]] = {}
        for sample in samples(self._look(), self._version):
            found.setdefault(sample.family, []).append(sample)
        for family, its in found.items():
            yield metric(family, its)


def metric(family: Family, found: Iterable[Sample]) -> Metric:
    """Return a family with its samples as prometheus_client has it."""
    made = Metric(family.name, family.help, family.kind, family.unit)
    for sample in found:
        labels = dict(zip(family.labels, sample.labels, strict=True))
        if isinstance(sample.value, Histogram):
            _add_histogram(made, labels, family.buckets(sample.value), sample.value.total)
        else:
            made.add_sample(family.shown, labels, sample.value)
    return made


def _add_histogram(made: Metric, labels: dict[str, str], buckets: list[tuple[float, int]], total: float) -> None:
    for bound, count in buckets:
        limit = floatToGoString(bound)  # type: ignore[no-untyped-call]
        made.add_sample(f"{made.name}_bucket", {**labels, "le": limit}, count)
    made.add_sample(f"{made.name}_count", labels, buckets[-1][1])
    made.add_sample(f"{made.name}_sum", labels, total)
