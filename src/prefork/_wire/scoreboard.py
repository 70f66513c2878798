"""The scoreboard's map: shared memory with a row for each worker.

It is a memfd that the master creates, of a sealed size, so that a mapping never meets its end. The master passes it to
its molds; a mold maps it before it forks, so that its workers inherit the mapping. Other processes open it in the
master's /proc/PID/fd. `docs/scoreboard.md` says the same for programs in other languages.

All numbers are 8 bytes, aligned, in the machine's byte order: one store writes one, and a reader never sees half of it.
They are unsigned unless noted; times are floats, in seconds. What is reserved is zero.

    header, 256 bytes                     the master's half of a row              the worker's half of a row
      0  magic                              0  pid, 0 in a row never used           0  beat (monotonic)
      8  version                            8  generation                           8  busy_since (monotonic)
     16  rows                              16  state                               16  requests
     24  bytes of a half row               24  group                               24  errors
     32  offset of the workers' halves     32  started (since 1970)                32  open
     40  offset of the master's halves     40  ends                                40  in_flight
     48  changes                           48  last_exit, signed                   48  polls
     56  rows used so far                  56  before_requests                     56  reserved
     64  requests of dead workers          64  before_errors                       64  label, 64 bytes of UTF-8
     72  errors of dead workers            72  reserved                           128  threads
     80  watching                          80  name, 48 bytes of ASCII            136  waiting
     88  asked                            128  reserved                           144  moved (monotonic)
     96  log_turn                                                                152  native_threads
    104  bytes of a block                                                        160  reserved
    112  offset of the workers' blocks                                           192  oldest, 64 bytes of UTF-8
    120  offset of the blocks of dead workers
    128  reserved

A worker has a block, too, of 2048 bytes, for what is measured of its requests; nine more hold what dead workers have
measured: all of them, and those of each of the latest 8 generations (`measures`).

Each field has one writer. The halves lie in tables of their own, so that the master and a worker never write to one
cache line; texts are padded with NUL and need not end with one. A label may be read while it is written.

A row is a *process's*, not a slot's: during a replacement a slot has two, and `name` is the slot. It outlives its
worker (as `ended`) until another process needs it. `before_*` is what dead workers of the slot have counted, unless
another row holds it: a slot's count is the sum of `before_*` and the counts over all rows of its name, and the
daemon's is the header's plus the counts of all rows that are neither unused nor ended. Neither ever decreases for a
reader that reads `changes` before and after, and reads again if it was odd or has changed: the master makes `changes`
odd before it writes to what it shares with a count, and even afterwards. The same holds for the sum of the dead
workers' block and the blocks of all such rows.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any, Literal

from .._linux import memfd
from .._records.record import record
from . import measures
from .measures import BLOCK, GENERATIONS, NONE, Block

NAME = "prefork-scoreboard"
MAGIC = b"prefork\0"
VERSION = 2
ROWS = 65_536
"""Sparse: only the pages of rows that are used take memory."""
HEADER, HALF = 256, 256  # bytes
WORDS = HALF // 8

# Words of the header, of the master's half, and of the worker's half.
VERSION_AT, ROWS_AT, HALF_AT, WORKERS_AT, MASTERS_AT, CHANGES, USED, DEAD_REQUESTS, DEAD_ERRORS = range(1, 10)
WATCHING, ASKED = 10, 11  # whether the master watches for hangs; the pid that is to write down its stacks
LOG_TURN = 12  # another number once log files are to be opened again
BLOCK_AT, BLOCKS_AT, DEAD_AT = 13, 14, 15
PID, GENERATION, STATE, GROUP, STARTED, ENDS, LAST_EXIT, BEFORE_REQUESTS, BEFORE_ERRORS = range(9)
BEAT, BUSY_SINCE, REQUESTS, ERRORS, OPEN, IN_FLIGHT, POLLS = range(7)
THREADS, WAITING, MOVED, NATIVE_THREADS = range(16, 20)
NAME_OFFSET, LABEL_OFFSET, OLDEST_OFFSET = 80, 64, 192
NAME_BYTES, LABEL_BYTES = 48, 64

State = Literal["unused", "starting", "ready", "draining", "ended"]
STATES: tuple[State, ...] = ("unused", "starting", "ready", "draining", "ended")
"""The states, by their number in a row."""
ENDED = STATES.index("ended")

_DEAD = (1 + GENERATIONS) * BLOCK
_TRIES, _MOST_READ = 100, 20_000
"""How often a whole reading is tried, and how many rows are read in all, but for the first try."""


@record
class Row:
    """One process, as its row was; the docstring of this module defines the fields."""

    name: str
    pid: int
    generation: int
    state: State
    group: int
    started: float
    ends: int
    last_exit: int
    before_requests: int
    before_errors: int
    beat: float
    busy_since: float
    requests: int
    errors: int
    open: int
    in_flight: int
    polls: int
    label: str
    threads: int
    waiting: int
    moved: float
    native_threads: int
    oldest: str
    measured: Block


@record
class Reading:
    """The whole scoreboard at one moment: what all workers have counted so far, and every used row.

    `dead` is what all dead workers have measured, `generations` the same by generation, of the latest ones.
    """

    requests: int
    errors: int
    rows: tuple[Row, ...]
    dead: Block
    generations: dict[int, Block]


def create(rows: int = ROWS) -> int:
    """Return a new scoreboard's descriptor (close-on-exec). Raises OSError."""
    return memfd.create(NAME, HEADER + (2 * HALF + BLOCK) * rows + _DEAD, _head(rows))


def _head(rows: int) -> bytes:
    masters, blocks, dead = (HEADER + size * rows for size in (HALF, 2 * HALF, 2 * HALF + BLOCK))
    head = struct.pack("8s5Q", MAGIC, VERSION, rows, HALF, HEADER, masters)
    return head.ljust(BLOCK_AT * 8, b"\0") + struct.pack("3Q", BLOCK, blocks, dead)


def write_head(descriptor: int) -> None:
    """Write again what memory this is and where its parts are: any worker may have written there. Raises OSError."""
    head = _head(_rows(os.fstat(descriptor).st_size))
    for start, end in (0, CHANGES * 8), (BLOCK_AT * 8, len(head)):
        os.pwrite(descriptor, head[start:end], start)


def _rows(size: int) -> int:
    return (size - HEADER - _DEAD) // (2 * HALF + BLOCK)


class Memory:
    """A piece of memory, as bytes and as the numbers that lie in it."""

    def __init__(self, memory: memoryview) -> None:
        self.bytes = memory
        self.words, self.floats, self.signed = memory.cast("Q"), memory.cast("d"), memory.cast("q")
        self._parts: list[memoryview[Any]] = []

    def part(self, first: int, count: int) -> tuple[memoryview, memoryview, memoryview[float]]:
        """Return `count` words from the word `first` on, as bytes, words and floats; of no use once this is closed."""
        own = slice(first, first + count)
        parts = self.bytes[8 * first : 8 * (first + count)], self.words[own], self.floats[own]
        self._parts += parts
        return parts


class Scoreboard(Memory):
    """A scoreboard that is mapped here; the caller keeps, and may close, its own descriptor.

    Raises ValueError for a descriptor of anything else, or of another version, and OSError where it cannot be mapped.
    """

    def __init__(self, descriptor: int, *, writable: bool = True) -> None:
        if not memfd.has_fixed_size(descriptor):
            raise ValueError("not a scoreboard: its size is not sealed")
        self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        # A core file would have it all, and the kernel would take memory for each row to write it.
        self._map.madvise(mmap.MADV_DONTDUMP)
        super().__init__(memoryview(self._map))
        if self.bytes[:8] != MAGIC:
            raise ValueError("not a scoreboard")
        if (found := self.words[VERSION_AT]) != VERSION:
            raise ValueError(f"it has version {found}, and this prefork reads version {VERSION}: use the daemon's own")
        # By its size, which is sealed: any worker can write to the rest.
        self.rows = _rows(len(self.bytes))
        if (self.words[ROWS_AT], self.words[HALF_AT]) != (self.rows, HALF):
            raise ValueError("its header is damaged: a worker has written there")

    def close(self) -> None:
        """Unmap it."""
        for view in (*self._parts, self.words, self.floats, self.signed, self.bytes):
            view.release()
        self._map.close()

    @property
    def log_turn(self) -> int:
        """A number that changes when log files are to be opened again."""
        return self.words[LOG_TURN]

    def turn_logs(self) -> None:
        """Change that number: another process may have written anything there, and any change is one."""
        self.words[LOG_TURN] = (self.words[LOG_TURN] + 1) % 2**64

    def worker_words(self, row: int) -> int:
        """Return where the worker's half of this row begins in `words` and `floats`."""
        return (HEADER + HALF * row) // 8

    def master_words(self, row: int) -> int:
        """Return where the master's half of this row begins in `words`, `floats` and `signed`."""
        return (HEADER + HALF * (self.rows + row)) // 8

    def block_words(self, row: int) -> int:
        """Return where the block of this row begins in `words` and `floats`."""
        return (HEADER + 2 * HALF * self.rows + BLOCK * row) // 8

    def total_words(self, number: int) -> int:
        """Return where a block of dead workers begins in `words` and `floats`; number 0 is that of all."""
        return self.block_words(self.rows + number)

    def group(self, row: int) -> int:
        """Return the number that all rows with the same backlog have; 0 for a row that shares none."""
        return self.words[self.master_words(row) + GROUP]

    def read(self) -> Reading:
        """Return the counts of all rows at one moment.

        A master that is killed while it writes leaves `changes` odd for ever, and a worker that writes where it must
        not can do worse: then what is there is read. What that takes is bounded.
        """
        for _ in range(max(1, min(_TRIES, _MOST_READ // (min(self.words[USED], self.rows) + 1)))):
            before = self.words[CHANGES]
            reading = self._read()
            if before % 2 == 0 and self.words[CHANGES] == before:
                break
        return reading

    def _read(self) -> Reading:
        used = range(min(self.words[USED], self.rows))
        rows = tuple(self._row(row) for row in used if self.words[self.master_words(row)])
        live = [row for row in rows if row.state not in ("unused", "ended")]
        return Reading(
            requests=self.words[DEAD_REQUESTS] + sum(row.requests for row in live),
            errors=self.words[DEAD_ERRORS] + sum(row.errors for row in live),
            rows=rows,
            dead=self._block(self.total_words(0)),
            generations={
                self.words[place]: self._block(place)
                for place in map(self.total_words, range(1, 1 + GENERATIONS))
                if self.words[place]
            },
        )

    def _block(self, place: int) -> Block:
        return measures.read(self.words, self.floats, place)

    def _row(self, row: int) -> Row:
        # Word by word, as they were written: what copies more at a time may copy bytes.
        masters, workers = self.master_words(row), self.worker_words(row)
        pid, generation, state, group = self.words[masters : masters + STARTED].tolist()
        before_requests, before_errors = self.words[masters + BEFORE_REQUESTS : masters + BEFORE_ERRORS + 1].tolist()
        beat, busy_since = self.floats[workers : workers + REQUESTS].tolist()
        requests, errors, open_, in_flight, polls = self.words[workers + REQUESTS : workers + POLLS + 1].tolist()
        return Row(
            name=text(self.bytes[masters * 8 + NAME_OFFSET :][:NAME_BYTES]),
            pid=pid,
            generation=generation,
            state=STATES[state] if state < len(STATES) else "unused",
            group=group,
            started=self.floats[masters + STARTED],
            ends=self.words[masters + ENDS],
            last_exit=self.signed[masters + LAST_EXIT],
            before_requests=before_requests,
            before_errors=before_errors,
            beat=beat,
            busy_since=busy_since,
            requests=requests,
            errors=errors,
            open=open_,
            in_flight=in_flight,
            polls=polls,
            label=text(self.bytes[workers * 8 + LABEL_OFFSET :][:LABEL_BYTES]),
            threads=self.words[workers + THREADS],
            waiting=self.words[workers + WAITING],
            moved=self.floats[workers + MOVED],
            native_threads=self.words[workers + NATIVE_THREADS],
            oldest=text(self.bytes[workers * 8 + OLDEST_OFFSET :][:LABEL_BYTES]),
            measured=self._block(self.block_words(row)) if 0 < state < ENDED else NONE,
        )


def text(field: memoryview) -> str:
    """Return the text in a field, without its padding."""
    return bytes(field).rstrip(b"\0").decode("utf-8", "replace")
