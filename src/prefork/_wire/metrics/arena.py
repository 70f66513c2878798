"""The arena's map: shared memory with a cell for each series of each worker's application metrics.

It is a memfd that the master creates, of a sealed size, and sparse: only pages that are written take memory. The master
passes it to its molds, as the scoreboard, and never reads it. Any worker can write anything there: who reads checks.

    header, 64 KiB        0 magic, 8 version, 16 columns, 24 bytes of records, 32 columns used, 40 series dropped,
                          48 whether there are exemplars, 56 gauges among the series
    stamps                8 bytes a record: the latest generation whose code has made it
    named                 1 byte a record: whether the log has named it as one that finds no room
    records               one a metric and one a series, of all processes, in the order in which they were made
    exemplars             256 bytes a cell: the last exemplar, of whichever worker
    columns               8 bytes a cell (a float): one column a row of the scoreboard, then eight for molds

Numbers are 8 bytes in the machine's byte order. `_wire.metrics.table` has the records. Each series has one cell, a
gauge two: its value, and when it was set (seconds since 1970), 1 where it never was, 0 where this process has not
made it. The place of a cell is the same in each column, whichever process has made the series first.

A worker goes on counting in the column of its row where the dead worker before it has stopped. So the total over all
columns never goes back, and nothing is moved when a worker dies. A mold counts in the column of its generation what the
import of the application counts.

Records are read and written by system calls and not by a mapping: where one ends early there is an error and no signal,
and a reader of empty places takes no memory. A process maps its own column alone.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from time import monotonic, sleep

from ..._linux import memfd

NAME = "prefork-metrics"
MAGIC = b"prefork\1"
VERSION = 1
COLUMNS, MOLDS = 65_536, 8
CELLS = 65_536
MOST_RECORDS = 81_920
RECORD_BYTES = 16 << 20
EXEMPLAR = 256  # bytes

HEADER = 65_536  # The offset of a mapping is a multiple of the page's size, which is 64 KiB at most.
NAMED_AT = HEADER + 8 * MOST_RECORDS
RECORDS_AT = NAMED_AT + 2 * HEADER  # MOST_RECORDS bytes and more.
EXEMPLARS_AT = RECORDS_AT + RECORD_BYTES
COLUMNS_AT = EXEMPLARS_AT + EXEMPLAR * CELLS
COLUMN = 8 * CELLS  # bytes

USED_BYTES, USED_COLUMNS, DROPPED, HAS_EXEMPLARS, GAUGES = 24, 32, 40, 48, 56
"""Offsets in the header."""

_TRIES, _PAUSE = 2_000, 0.001
"""How often the lock is tried, and the seconds between: its holder writes two pieces, unless it has been stopped."""
_ONCE_IN = 60.0
"""Seconds for which no process waits for the lock after it did not become free: each new series would wait."""


def create(columns: int = COLUMNS) -> int:
    """Return a new arena's descriptor (close-on-exec). Raises OSError.

    Where the size of files is limited (RLIMIT_FSIZE) it is empty, which is no arena: each worker counts by itself.
    """
    header = struct.pack("8s2Q", MAGIC, VERSION, columns)
    try:
        return memfd.create(NAME, COLUMNS_AT + COLUMN * (columns + MOLDS), header)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        return memfd.create(NAME, 0)


class Arena:
    """An arena, by its descriptor, which stays the caller's. Raises ValueError for anything else, and OSError."""

    def __init__(self, descriptor: int) -> None:
        if not memfd.has_fixed_size(descriptor):
            raise ValueError("not an arena: its size is not sealed")
        if not os.fstat(descriptor).st_size:
            raise ValueError("the size of files is limited: no shared memory of 40 GB, of which little is used")
        self.descriptor = descriptor
        self._given_up = -inf
        # By its size, which is sealed.
        self.columns = (os.fstat(descriptor).st_size - COLUMNS_AT) // COLUMN - MOLDS
        if self.columns < 1 or os.pread(descriptor, 16, 0) != struct.pack("8sQ", MAGIC, VERSION):
            raise ValueError("not an arena of this version")

    def word(self, at: int) -> int:
        """Return a number of the header."""
        return int.from_bytes(os.pread(self.descriptor, 8, at), sys.byteorder)

    def write_word(self, at: int, number: int) -> None:
        """Write a number of the header; under the lock, where another process may write it."""
        os.pwrite(self.descriptor, (number % 2**64).to_bytes(8, sys.byteorder), at)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock on what processes append; it ends with its holder. Raises TimeoutError after seconds.

        It is the process's (fcntl_locking(2)): one thread at a time may ask for it.
        """
        for _ in range(_TRIES if monotonic() - self._given_up > _ONCE_IN else 1):
            with suppress(BlockingIOError, PermissionError):
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 8)
                break
            sleep(_PAUSE)
        else:
            self._given_up = monotonic()
            raise TimeoutError("the table of application metrics is locked by a process that does not run")
        self._given_up = -inf
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 8)

    def mold(self, generation: int) -> int:
        """Return the number of the column that the molds of a generation use."""
        return self.columns + generation % MOLDS

    def map(self, column: int) -> memoryview[float]:
        """Return the cells of a column, writable; they stay mapped. Raises OSError."""
        at = COLUMNS_AT + COLUMN * column
        return memoryview(mmap.mmap(self.descriptor, COLUMN, offset=at)).cast("d")

    def use(self, column: int) -> None:
        """Let readers know that this column is used. Raises OSError."""
        if column < self.columns and self.word(USED_COLUMNS) <= column:
            with self.lock():
                self.write_word(USED_COLUMNS, max(self.word(USED_COLUMNS), column + 1))

    def used(self) -> Iterator[int]:
        """Yield the numbers of the columns that may hold anything."""
        yield from range(min(self.word(USED_COLUMNS), self.columns))
        yield from range(self.columns, self.columns + MOLDS)

    def cells(self, column: int, first: int, end: int) -> array[float]:
        """Return the cells of a column from `first` to before `end`."""
        found = array("d")
        found.frombytes(os.pread(self.descriptor, 8 * (end - first), COLUMNS_AT + COLUMN * column + 8 * first))
        return found

    def stamps(self, count: int) -> array[int]:
        """Return the stamps of the first `count` records."""
        found = array("Q")
        found.frombytes(os.pread(self.descriptor, 8 * count, HEADER))
        return found

    def stamp(self, record: int, generation: int) -> int:
        """Note that the code of a generation has made a record, under the lock; return the latest such generation."""
        latest = self.stamp_of(record)
        if latest < generation:
            os.pwrite(self.descriptor, generation.to_bytes(8, sys.byteorder), HEADER + 8 * record)
        return max(latest, generation)

    def stamp_of(self, record: int) -> int:
        """Return the latest generation whose code has made a record."""
        return int.from_bytes(os.pread(self.descriptor, 8, HEADER + 8 * record), sys.byteorder)

    def name_once(self, record: int) -> bool:
        """Return whether this is the first call for a record, of any process; under the lock."""
        first = os.pread(self.descriptor, 1, NAMED_AT + record) == b"\0"
        os.pwrite(self.descriptor, b"\1", NAMED_AT + record)
        return first
