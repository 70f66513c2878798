"""The scoreboard: one piece of shared memory with a row for each worker, written by the worker and read by anyone.

It is a memfd that the master makes, of a size that is sealed, so that whoever maps it never meets the end of it. The
master passes it to its molds; a mold maps it before it forks, so that its workers have the mapping from birth. Others
open it in the master's /proc/PID/fd. `docs/scoreboard.md` says the same for programs in other languages.

All numbers are 8 bytes, aligned, in the machine's own order: one store writes one, and a reader never sees half of it.
Unsigned where nothing else is said; times are floats. What is reserved is zero.

    header, 128 bytes                     the master's half of a row              the worker's half of a row
      0  magic                              0  pid, 0 in a row never used           0  beat (monotonic)
      8  version                            8  generation                           8  busy_since (monotonic)
     16  rows                              16  state                               16  requests
     24  bytes of a half row               24  group                               24  errors
     32  offset of the workers' halves     32  started (since 1970)                32  open
     40  offset of the master's halves     40  ends                                40  in_flight
     48  changes                           48  last_exit, signed                   48  looks
     56  rows used so far                  56  before_requests                     56  reserved
     64  requests of dead workers          64  before_errors                       64  label, 64 bytes of UTF-8
     72  errors of dead workers            72  reserved
     80  reserved                          80  name, 48 bytes of ASCII

A field has one writer. The halves lie in tables of their own, so that a master and a worker never write to one cache
line; texts are padded with NUL and need not end with one. A text may be read while it is written.

A row is a *process's*, not a slot's: during a replacement a slot has two, and `name` says which slot. It outlives its
worker (as `ended`) until another process needs it. `before_*` is what dead workers of the slot have counted, as far as
no other row holds it: a slot's count is the sum of `before_*` and the counts over all rows of its name, and the
daemon's is the header's and the counts of all rows that are neither unused nor ended. Neither ever goes back for a
reader that looks at `changes` before and after, and reads again where it was odd or is another: the master makes
`changes` odd before it writes and even afterwards.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

NAME = "prefork-scoreboard"
MAGIC = b"prefork\0"
VERSION = 1
ROWS = 65_536
"""Sparse: only the pages of rows that are used take memory."""
HEADER = HALF = 128  # bytes

VERSION_AT, ROWS_AT, HALF_AT, WORKERS_AT, MASTERS_AT, CHANGES, USED, DEAD_REQUESTS, DEAD_ERRORS = range(1, 10)
"""Words of the header."""
PID, GENERATION, STATE, GROUP, STARTED, ENDS, LAST_EXIT, BEFORE_REQUESTS, BEFORE_ERRORS = range(9)
"""Words of the master's half."""
BEAT, BUSY_SINCE, REQUESTS, ERRORS, OPEN, IN_FLIGHT, LOOKS = range(7)
"""Words of the worker's half."""
NAME_OFFSET, LABEL_OFFSET = 80, 64
LABEL_BYTES = HALF - LABEL_OFFSET

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def create(rows: int = ROWS) -> int:
    """A new scoreboard's descriptor (close-on-exec). Raises OSError."""
    descriptor = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, HEADER + 2 * HALF * rows)
        header = struct.pack("8s5Q", MAGIC, VERSION, rows, HALF, HEADER, HEADER + HALF * rows)
        os.pwrite(descriptor, header, 0)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class Scoreboard:
    """A scoreboard that is mapped here. Raises ValueError for a descriptor that is none, or of another version."""

    def __init__(self, descriptor: int, *, writable: bool = True) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise ValueError("not a scoreboard: its size is not sealed")
        self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")
        self.floats = self.bytes.cast("d")
        if self.bytes[:8] != MAGIC or self.words[VERSION_AT] != VERSION or self.words[HALF_AT] != HALF:
            raise ValueError("not a scoreboard of this version")
        self.rows = self.words[ROWS_AT]

    def worker_half(self, row: int) -> memoryview:
        """What the worker of this row writes."""
        start = HEADER + HALF * row
        return self.bytes[start : start + HALF]
