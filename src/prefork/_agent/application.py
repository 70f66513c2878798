"""The application's own metrics: what its workers have counted with prometheus_client, and its custom collectors."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Any

from prometheus_client import metrics as client
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from .._wire.metrics.arena import DROPPED, Arena
from .._wire.metrics.families import Family, read
from .._wire.metrics.occupants import Occupants, occupants
from .._wire.metrics.table import Table
from .._worker.metrics.collectors import collectors
from .._worker.metrics.exposition import add
from .._worker.metrics.own import own
from .source import Source

_DROPPED = "Series of the application's metrics that found no room, such as those of labels with many values."


def collector(_source: Source) -> ApplicationCollector:
    """Return the collector of this process's application."""

    def live() -> Occupants:
        return {} if own.board is None else occupants(own.board)

    return ApplicationCollector(own.descriptor, live)


class ApplicationCollector(Collector):
    """A collector for a registry of prometheus_client; for any thread.

    `descriptor` is the arena's; where it is none there are custom collectors only. `live` returns whose the rows are.
    """

    def __init__(self, descriptor: int, live: Callable[[], Occupants]) -> None:
        self._live = live
        self._reading = Lock()
        self._failed: dict[Callable[[], Any], str] = {}
        try:
            self._table: Table | None = Table(Arena(descriptor))
        except (OSError, ValueError):
            self._table = None

    def collect(self) -> Iterator[Metric]:
        """Yield the families of all workers, then those of custom collectors."""
        if self._table is not None:
            with self._reading:
                found = list(read(self._table, self._live()))
            yield from filter(None, map(_metric, found))
            yield CounterMetricFamily(
                "prefork_application_series_dropped", _DROPPED, value=self._table.arena.word(DROPPED)
            )
        for function in collectors:
            yield from self._collected(function)

    def _collected(self, function: Callable[[], Iterable[Metric]]) -> list[Metric]:
        """Return what a custom collector has. One that raises is logged when what it raises has changed."""
        try:
            found = list(function())
        except Exception as error:
            if self._failed.get(function) != repr(error):
                self._failed[function] = repr(error)
                print("a collector of the application failed; the others are served", file=sys.stderr)
                traceback.print_exc()
            return []
        self._failed.pop(function, None)
        return found


def _metric(family: Family) -> Metric | None:
    """Return a family as prometheus_client's; None if its name is no name: any worker can write anything there."""
    try:
        metric = Metric(family.name, family.help, family.type)
    except ValueError:
        return None
    add(metric, family.samples, client._use_created)
    return metric
