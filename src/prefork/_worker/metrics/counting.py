"""Where the metrics of this process lead, once prometheus_client is imported: keys in the arena, and a column.

The mold makes metrics; workers inherit them, and change only which column `cells` is. So no object is written to when
a metric counts, and its page stays shared.
"""

from __future__ import annotations

import _thread
import mmap
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ..._wire.metrics.arena import COLUMN, Arena
from ..._wire.metrics.gauges import KEPT
from ..._wire.metrics.occupants import Occupants, occupants
from ..._wire.metrics.table import Key, Metric, NoRoomError, Series, Table
from ..._wire.scoreboard import CHANGES

if TYPE_CHECKING:
    from ..._wire.scoreboard import Scoreboard

_MADE = 1.0
"""When a gauge was set that this process has made and not set."""


class Counting:
    """This process in the arena; `cells` is its own column. Raises OSError and ValueError if that is no arena.

    `alone`: it becomes a worker itself, and no other process inherits what it counts before.
    """

    __slots__ = (
        *("_board", "_changes", "_lock", "_occupants", "_placing"),
        *("alone", "arena", "cells", "generation", "is_worker", "made", "private", "table"),
    )

    def __init__(self, descriptor: int, generation: int, alone: bool, board: Scoreboard) -> None:
        self.arena = Arena(descriptor)
        self.table = Table(self.arena)
        self.table.catch_up()
        self.generation, self.alone, self.is_worker = generation, alone, False
        self.private = alone
        self.cells = _private() if alone else self.arena.map(self.arena.mold(generation))
        self.made: dict[int, Series] = {}
        """The gauges that this process has, by cell."""
        self._lock, self._placing = _thread.RLock(), False
        self._board = board
        self._changes = -1
        self._occupants: Occupants = {}

    def take(self, row: int) -> None:
        """Count as the worker of a row from now on; without one, into private memory."""
        before, self.is_worker = self.cells, True
        self._lock, self._placing = _thread.RLock(), False  # A thread of the mold may have held it at the fork.
        try:
            if not 0 <= row < self.arena.columns:
                raise OSError
            self.table.catch_up_with_gauges()
            cells = self.arena.map(row)
            self.arena.use(row)
        except OSError:
            self.cells, self.private = _private(), True
            return
        self._begin_gauges(before, cells)
        if self.alone:
            for series in self.table.counts():
                cells[series.cell] += before[series.cell]
        self.cells, self.private = cells, False

    def _begin_gauges(self, before: memoryview[float], cells: memoryview[float]) -> None:
        """Set the gauges of a row to what the mold has set them to; what the row's last worker has set may stay."""
        for series in self.table.gauges:
            cell = series.cell
            value, when = (before[cell], before[cell + 1] or _MADE) if cell in self.made else (0.0, 0.0)
            last = cells[cell + 1] if series.metric.key.mode in KEPT else 0.0
            if not last or when > last:
                cells[cell], cells[cell + 1] = value, when

    def retire(self) -> None:
        """Count nowhere from now on, and have no gauge shown for this process."""
        for cell in list(self.made):
            self.forget(cell)
        self.leave()

    def leave(self) -> None:
        """Count in a child that the application has forked: nowhere, since the row is its parent's."""
        self.cells, self.private = _private(), True
        self._lock, self._placing = _thread.RLock(), False

    def place(self, key: Key, help_text: str, named: tuple[str, tuple[str, ...]]) -> Series | None:
        """Return the series that a metric makes; None where it cannot be counted."""
        with self._lock:
            if self._placing:
                return None  # In a handler of a signal that has come in the middle of this.
            self._placing = True
            try:
                series = self.table.place(key, help_text, named, self.generation)
            except NoRoomError as error:
                if error.is_first:
                    _say(error)
                return None
            except OSError:
                return None
            finally:
                self._placing = False
            if key.type == "gauge" and series.cell not in self.made:
                self._make_gauge(series)
            return series

    def catch_up(self) -> None:
        """Learn of all series so far, of all processes."""
        with self._lock, suppress(OSError):
            if not self._placing:
                self.table.catch_up()

    def metric(self, key: Key) -> Metric | None:
        """Return a metric with all its series so far; None if it has none."""
        self.catch_up()
        return self.table.metrics.get(key)

    def _make_gauge(self, series: Series) -> None:
        cells, cell = self.cells, series.cell
        if not self.is_worker or not cells[cell + 1]:
            cells[cell], cells[cell + 1] = 0.0, _MADE
        self.made[cell] = series

    def forget(self, cell: int) -> None:
        """Have a gauge no longer shown for this process."""
        if self.made.pop(cell, None) is not None:
            self.cells[cell] = self.cells[cell + 1] = 0.0

    def occupants(self) -> Occupants:
        """Return whose the rows are, read again when the master has changed one."""
        board = self._board
        if self._changes != (changes := board.words[CHANGES]):
            # Read first: the next call finds what changes meanwhile.
            self._changes, self._occupants = changes, occupants(board)
        return self._occupants


def _say(error: NoRoomError) -> None:
    with suppress(OSError, ValueError, AttributeError):  # Standard error is closed, or there is none.
        print(f"application metrics: {error}", file=sys.stderr, flush=True)


def _private() -> memoryview[float]:
    return memoryview(mmap.mmap(-1, COLUMN)).cast("d")


def leave_at_fork(counting: Counting) -> None:
    """Have children that the application forks in a worker leave its row; newborns have none yet."""

    def leave() -> None:
        if counting.is_worker:
            counting.leave()

    os.register_at_fork(after_in_child=leave)
