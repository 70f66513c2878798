"""What the arena has counted, as families of samples: the totals of all workers, in the terms of Prometheus.

A reader may be any process, and does not import prometheus_client. A family is shown while code of a living generation
has made its metric; so what a reload removes is gone with the last old worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ..._records.record import record
from . import exemplars
from .arena import Arena
from .exemplars import Exemplar
from .gauges import Setting, combined
from .occupants import Occupants
from .table import Metric, Series, Table

_AT_ONCE = 200
"""Columns; each has at most half a megabyte."""


@record
class Sample:
    """One sample: its name with the suffix, all labels, its value."""

    name: str
    labels: dict[str, str]
    value: float
    exemplar: Exemplar | None = None


@record
class Family:
    """The samples of one metric. `type` and `name` are prometheus_client's: a counter's name is without `_total`."""

    type: str
    name: str
    help: str
    samples: list[Sample]


def read(table: Table, occupants: Occupants) -> Iterator[Family]:
    """Yield a family for each name, of the metric that the latest code has made. Raises OSError."""
    table.catch_up()
    stamps, oldest = table.arena.stamps(len(table)), oldest_generation(occupants)
    latest: dict[str, Metric] = {}
    for metric in list(table.metrics.values()):
        other = latest.get(metric.key.name)
        if stamps[metric.number] >= oldest and (other is None or stamps[metric.number] >= stamps[other.number]):
            latest[metric.key.name] = metric
    counted = Counted(table, list(latest.values()), occupants)
    for metric in latest.values():
        yield Family(metric.key.type, metric.key.name, metric.help, list(samples(metric, counted)))


def read_one(table: Table, metric: Metric, occupants: Occupants) -> list[Sample]:
    """Return the samples of one metric. Raises OSError."""
    return list(samples(metric, Counted(table, [metric], occupants)))


def oldest_generation(occupants: Occupants) -> int:
    """Return the oldest generation that has a living worker; 0 without one."""
    return min((each.generation for each in occupants.values() if each.alive), default=0)


class Counted:
    """What the columns hold at this moment, for some metrics."""

    def __init__(self, table: Table, metrics: Sequence[Metric], occupants: Occupants) -> None:
        # Once, and before all else: another thread may add some.
        self._series = {metric.number: list(metric.series.values()) for metric in metrics}
        places = [series.cell for every in self._series.values() for series in every]
        self._first, end = min(places, default=0), max(places, default=-2) + 2
        self._occupants, self._oldest = occupants, oldest_generation(occupants)
        self._stamps = table.arena.stamps(len(table))
        self._totals = _totals(table.arena, self._first, end)
        gauges = [each.cell for metric in metrics if metric.key.type == "gauge" for each in self.series(metric)]
        self._set = self._settings(table.arena, gauges, end) if gauges else {}
        self._exemplars = exemplars.read(table.arena, self._first, end)

    def series(self, metric: Metric) -> list[Series]:
        """Return the series of one of the metrics."""
        return self._series[metric.number]

    def total(self, series: Series) -> float:
        """Return the sum over all columns."""
        return self._totals[series.cell - self._first]

    def exemplar(self, series: Series) -> Exemplar | None:
        """Return the last exemplar."""
        return self._exemplars.get(series.cell)

    def is_current(self, series: Series) -> bool:
        """Return whether code of a living generation has made a series."""
        return self._stamps[series.number] >= self._oldest

    def settings(self, series: Series) -> list[Setting]:
        """Return what the processes that have made a gauge have set it to; molds are none of them."""
        return self._set.get(series.cell, [])

    def _settings(self, arena: Arena, gauges: Sequence[int], end: int) -> dict[int, list[Setting]]:
        found: dict[int, list[Setting]] = {cell: [] for cell in gauges}
        for row in arena.used():
            if (occupant := self._occupants.get(row)) is not None:
                column = arena.cells(row, self._first, end)
                for cell, settings in found.items():
                    if when := column[cell + 1 - self._first]:
                        settings.append(Setting(occupant, column[cell - self._first], when))
        return found


def _totals(arena: Arena, first: int, end: int) -> list[float]:
    """Return the sums of the cells over all columns, of which it holds a bounded number at a time."""
    totals, columns = [0.0] * (end - first), arena.used()
    while batch := [arena.cells(column, first, end) for column in islice(columns, _AT_ONCE)]:
        totals = list(map(sum, zip(totals, *batch, strict=True)))
    return totals


def samples(metric: Metric, counted: Counted) -> Iterator[Sample]:
    """Return the samples of one metric, in the order of prometheus_client."""
    if metric.key.type == "gauge":
        return _gauge(metric, counted)
    return _histogram(metric, counted) if metric.key.type == "histogram" else _counts(metric, counted)


def _gauge(metric: Metric, counted: Counted) -> Iterator[Sample]:
    names = metric.key.labelnames
    for series in counted.series(metric):
        for more, value in combined(metric.key.mode, names, counted.settings(series)):
            yield Sample(metric.key.name, {**dict(zip(names, series.values, strict=True)), **more}, value)


def _counts(metric: Metric, counted: Counted) -> Iterator[Sample]:
    """Yield a counter's or summary's samples; `_created` follows the last one of each child."""
    name, names = metric.key.name, metric.key.labelnames
    last = "_total" if metric.key.type == "counter" else "_sum"
    for series in counted.series(metric):
        labels = dict(zip(names, series.values, strict=True))
        total, exemplar = counted.total(series), counted.exemplar(series)
        yield Sample(name + series.suffix, labels, total, exemplar)
        if series.suffix == last:
            yield Sample(name + "_created", labels, series.created)


def _histogram(metric: Metric, counted: Counted) -> Iterator[Sample]:
    """Yield a histogram's samples: the buckets of today's code. What others hold counts in the next one."""
    name, names = metric.key.name, metric.key.labelnames
    children: dict[tuple[str, ...], dict[str, Series]] = {}
    sums: dict[tuple[str, ...], Series] = {}
    current: set[str] = set()
    for series in counted.series(metric):
        if series.suffix == "_bucket":
            *values, le = series.values
            children.setdefault(tuple(values), {})[le] = series
            if counted.is_current(series):
                current.add(le)
        else:
            sums[series.values] = series
    bounds = sorted({le for buckets in children.values() for le in buckets}, key=float)
    shown = current or set(bounds)
    for child, buckets in children.items():
        labels, below = dict(zip(names, child, strict=True)), 0.0
        for le in bounds:
            found = buckets.get(le)
            below += 0.0 if found is None else counted.total(found)
            if le in shown:
                exemplar = None if found is None else counted.exemplar(found)
                yield Sample(f"{name}_bucket", {**labels, "le": le}, below, exemplar)
        yield Sample(f"{name}_count", labels, below)
        total = sums.get(child)
        if total is not None and float(bounds[0]) >= 0:  # Else it could go back, as prometheus_client has it.
            yield Sample(f"{name}_sum", labels, counted.total(total))
        if total is not None:
            yield Sample(f"{name}_created", labels, total.created)
