"""prometheus_client's value class, on cells of shared memory.

A value is added to in one thread after the other without a lock: an interpreter with a GIL changes threads, and runs
signal handlers, where a function is called or returns, and where a loop turns. So nothing is called between the reading
of a cell and its writing. One without a GIL has a lock: see the end of this module.
"""

from __future__ import annotations

import _thread
import sys
from collections.abc import Callable, Sequence
from time import time
from typing import Any, cast

from ..._wire.metrics import exemplars
from ..._wire.metrics.gauges import Setting, combined
from ..._wire.metrics.table import Key, Series
from .counting import Counting

counting: Counting = cast(Any, None)
"""Where this process counts; set before the first value is made."""
others: Callable[..., Any] = cast(Any, None)
"""Makes prometheus_client's own value, for a series that has no place."""


def make(type_: str, metric_name: str, name: str, labelnames: Sequence[str], *more: Any, **mode: str) -> Any:
    """Return the value of a series; prometheus_client calls it for each metric and child, as its `ValueClass`.

    `more` are the values of the labels and the help.
    """
    labelvalues, help_text = tuple(more[0]), "".join(more[1:2])
    suffix = name[len(metric_name) :]
    names = tuple(labelnames[:-1] if suffix == "_bucket" else labelnames)
    key = Key(type_, metric_name, names, mode.get("multiprocess_mode", ""))
    series = counting.place(key, help_text, (suffix, labelvalues))
    if series is None:
        return others(type_, metric_name, name, labelnames, *more, **mode)
    return Gauge(series) if type_ == "gauge" else Value(series)


class Value:
    """A counter, or one number of a summary or histogram."""

    __slots__ = ("_cell",)
    _multiprocess = True

    def __init__(self, series: Series) -> None:
        self._cell = series.cell

    def inc(self, amount: float) -> None:
        """Add to it."""
        amount = float(amount)
        cells, cell = counting.cells, self._cell
        cells[cell] = cells[cell] + amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set what this worker has counted."""
        counting.cells[self._cell] = float(value)

    def get(self) -> float:
        """Return the total of all workers."""
        cell, arena = self._cell, counting.arena
        total = sum(arena.cells(column, cell, cell + 1)[0] for column in arena.used())
        return total + (counting.cells[cell] if counting.private else 0.0)

    def set_exemplar(self, exemplar: Any) -> None:
        """Keep an exemplar as the last one."""
        kept = exemplars.Exemplar(exemplar.labels, float(exemplar.value), exemplar.timestamp)
        exemplars.write(counting.arena, self._cell, kept)

    def get_exemplar(self) -> Any:
        """Return the last exemplar of all workers; None without one."""
        from prometheus_client.samples import Exemplar

        kept = exemplars.read(counting.arena, self._cell, self._cell + 1).get(self._cell)
        return None if kept is None else Exemplar(dict(kept.labels), kept.value, kept.time)


class Gauge(Value):
    """A gauge, of which each worker has its own value."""

    __slots__ = ()

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set it; `timestamp` in seconds since 1970, by default now."""
        value, mark = float(value), float(timestamp or time())
        cells, cell = counting.cells, self._cell
        cells[cell], cells[cell + 1] = value, mark

    def get(self) -> float:
        """Return the value of all workers as the mode says; in the modes that tell workers apart, this one's."""
        series = counting.made.get(self._cell)
        own = counting.cells[self._cell]
        if series is None or series.metric.key.mode in ("all", "liveall", ""):
            return own
        found = []
        for row, occupant in counting.occupants().items():
            value, mark = counting.arena.cells(row, self._cell, self._cell + 2)
            if mark:
                found.append(Setting(occupant, value, mark))
        values = [value for _, value in combined(series.metric.key.mode, (), found)]
        return values[0] if values else own

    def forget(self) -> None:
        """Show it no longer for this worker."""
        counting.forget(self._cell)


def _one_at_a_time(method: Callable[..., None]) -> Callable[..., None]:
    lock = _thread.RLock()

    def locked(self: Value, *arguments: Any) -> None:
        with lock:
            method(self, *arguments)

    return locked


if "t" in sys.abiflags:  # no GIL
    Value.inc = _one_at_a_time(Value.inc)  # type: ignore[method-assign]
