"""The records of the arena: which metrics and series there are, of all processes.

A record is its length, 4 bytes, and JSON: `[type, name, label names, mode, help]` of a metric, `[metric, suffix, label
values, created]` of a series, where `metric` is the number of a record. The order gives each record its number, and
each series its cell. A record is written before the length of all records is: a process that is killed meanwhile leaves
nothing, and the next one writes in its place.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterator
from time import time
from typing import Any

from ..._records.record import record
from .arena import CELLS, DROPPED, GAUGES, MOST_RECORDS, RECORD_BYTES, RECORDS_AT, USED_BYTES, Arena

MOST_OF_ONE = CELLS // 4
"""Cells of one metric: more label values than that are a mistake, and would take the place of all others."""
FOR_UNLABELLED = CELLS // 16
"""Cells that series with labels leave free."""
MOST_RECORD = 8192  # bytes
_MOST_HELP = 1000  # characters

_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "summary": ("_count", "_sum"),
    "histogram": ("_sum", "_bucket"),
}
"""The series of a metric of each type, in the order in which they are made; the last label of a bucket is `le`."""
_WIDEST = {"histogram": 256}
"""Cells that are to be free for a child of a type, 2 for any other one."""


_NO_ROOM = "has more label values than there is room for: new ones are not counted; use labels of few values"


class NoRoomError(Exception):
    """A series finds no room; the message is for people. `is_first`: no process has had that of this metric."""

    def __init__(self, text: str, is_first: bool) -> None:
        super().__init__(text)
        self.is_first = is_first


@record
class Key:
    """What makes a metric the same in each process. `mode`: of a gauge, as prometheus_client has them."""

    type: str
    name: str
    labelnames: tuple[str, ...]
    mode: str


class Metric:
    """A metric; `number` is its record's, and `series` are its own, by suffix and label values."""

    __slots__ = ("cells", "help", "key", "number", "series")

    def __init__(self, number: int, key: Key, help_text: str) -> None:
        self.number, self.key, self.help = number, key, help_text
        self.series: dict[tuple[str, tuple[str, ...]], Series] = {}
        self.cells = 0


class Series:
    """A series; `number` is its record's, `created` when it was first made, in seconds since 1970."""

    __slots__ = ("cell", "created", "metric", "number", "suffix", "values")

    def __init__(self, number: int, metric: Metric, cell: int, parts: tuple[str, tuple[str, ...], float]) -> None:
        self.number, self.metric, self.cell = number, metric, cell
        self.suffix, self.values, self.created = parts


class Table:
    """The records as far as this process has read them. `damaged`: what follows cannot be read, and is not used."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.metrics: dict[Key, Metric] = {}
        self.gauges: list[Series] = []
        self.damaged = False
        self.cells = 0
        self._records: list[Metric | Series] = []
        self._made: dict[int, int] = {}  # record -> the generation that it has been stamped with, as far as known
        self._end = 0

    def __len__(self) -> int:
        return len(self._records)

    def catch_up_with_gauges(self) -> None:
        """Read what processes have added since, if a gauge is among it. Raises OSError."""
        if self.arena.word(GAUGES) != len(self.gauges):
            self.catch_up()

    def catch_up(self) -> None:
        """Read what processes have added since. Raises OSError."""
        end = min(self.arena.word(USED_BYTES), RECORD_BYTES)
        if end <= self._end or self.damaged:
            return
        data, at = os.pread(self.arena.descriptor, end - self._end, RECORDS_AT + self._end), 0
        try:
            while at < len(data):
                (length,) = struct.unpack_from("=I", data, at)
                self._take(json.loads(data[at + 4 : at + 4 + length]))
                at += 4 + length
        except (ValueError, TypeError, LookupError, RecursionError, struct.error):
            self.damaged = True
        self._end += at

    def _take(self, parts: Any) -> None:
        """Add a record. Raises ValueError, TypeError or LookupError for one that no process of ours writes."""
        if len(self._records) >= MOST_RECORDS:
            raise ValueError("too many records")
        if len(parts) == 5:
            type_, name, labelnames, mode, help_text = parts
            key = Key(text_of(type_), text_of(name), tuple(map(text_of, labelnames)), text_of(mode))
            SUFFIXES[key.type]  # There is no other type.
            metric = Metric(len(self._records), key, text_of(help_text))
            self.metrics[key] = metric
            self._records.append(metric)
            return
        number, suffix, values, created = parts
        of = self._records[number]
        if not isinstance(of, Metric):
            raise TypeError("a series of no metric")
        names, values = len(of.key.labelnames), tuple(map(text_of, values))
        if suffix not in SUFFIXES[of.key.type] or len(values) != names + (suffix == "_bucket"):
            raise ValueError("other labels than its metric's")
        if suffix == "_bucket":
            float(values[-1])
        series = Series(len(self._records), of, self.cells, (suffix, values, float(created)))
        taken = 2 if of.key.type == "gauge" else 1
        if self.cells + taken > CELLS:
            raise ValueError("too many cells")
        self.cells += taken
        of.cells += taken
        of.series[suffix, values] = series
        self._records.append(series)
        if taken == 2:
            self.gauges.append(series)

    # Adding: one thread at a time.

    def place(self, key: Key, help_text: str, named: tuple[str, tuple[str, ...]], generation: int) -> Series:
        """Return a series, `named` by suffix and label values, which code of this generation makes; add what is new.

        Raises NoRoomError, which is counted; OSError, and TimeoutError where the lock does not become free.
        """
        found = self._known(key, named, generation)
        if found is not None:
            return found
        with self.arena.lock():
            self.catch_up()
            try:
                metric = self.metrics.get(key) or self._add_metric(key, help_text)
                series = metric.series.get(named) or self._add_series(metric, named)
            except ValueError:
                raise self._no_room(key) from None
            for made in (metric.number, series.number):
                if self._made.get(made, -1) < generation:
                    self._made[made] = self.arena.stamp(made, generation)
            return series

    def _no_room(self, key: Key) -> NoRoomError:
        self.arena.write_word(DROPPED, self.arena.word(DROPPED) + 1)
        number = self.metrics[key].number if key in self.metrics else MOST_RECORDS  # One for all that are not there.
        return NoRoomError(f"{key.name} {_NO_ROOM}", self.arena.name_once(number))

    def counts(self) -> Iterator[Series]:
        """Yield all series but gauges."""
        for metric in self.metrics.values():
            if metric.key.type != "gauge":
                yield from metric.series.values()

    def _known(self, key: Key, named: tuple[str, tuple[str, ...]], generation: int) -> Series | None:
        """Return a series that this generation has made already, in whichever process."""
        metric = self.metrics.get(key)
        series = None if metric is None else metric.series.get(named)
        if metric is None or series is None:
            return None
        for number in (metric.number, series.number):
            if self._made.get(number, -1) < generation:
                self._made[number] = self.arena.stamp_of(number)
            if self._made[number] < generation:
                return None
        return series

    def _add_metric(self, key: Key, help_text: str) -> Metric:
        self._append([key.type, key.name, key.labelnames, key.mode, help_text[:_MOST_HELP]])
        return self.metrics[key]

    def _add_series(self, metric: Metric, named: tuple[str, tuple[str, ...]]) -> Series:
        """Add a series. What has several of them gets room for all with the first one, or for none."""
        (suffix, values), (first, *_) = named, SUFFIXES[metric.key.type]
        if suffix == first:
            room = CELLS - (FOR_UNLABELLED if metric.key.labelnames else 0)
            if self.cells + _WIDEST.get(metric.key.type, 2) > room or metric.cells >= MOST_OF_ONE:
                raise ValueError("no room")
        elif (first, values[: len(metric.key.labelnames)]) not in metric.series or self.cells >= CELLS:
            raise ValueError("no room")
        self._append([metric.number, *named, time()])
        if metric.key.type == "gauge":
            self.arena.write_word(GAUGES, len(self.gauges))
        return metric.series[named]

    def _append(self, parts: list[Any]) -> None:
        data = _encoded(parts).encode()  # Raises UnicodeEncodeError for what no scrape could say.
        end = self._end + 4 + len(data)
        if self.damaged or len(data) > MOST_RECORD or end > RECORD_BYTES or len(self) >= MOST_RECORDS:
            raise ValueError("no room")
        os.pwrite(self.arena.descriptor, len(data).to_bytes(4, sys.byteorder) + data, RECORDS_AT + self._end)
        self.arena.write_word(USED_BYTES, end)
        self._take(parts)
        self._end = end


def text_of(value: object) -> str:
    """Return a text that can be encoded. Raises TypeError or ValueError for anything else."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()
    return value
