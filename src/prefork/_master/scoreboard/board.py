"""The master's half of the scoreboard: rows, and counts of dead workers.

The master never relies on what it has written there itself, since any worker can write there, too. It only reads back
the workers' counts, so that the worst effect is a wrong count.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..._core.watch.hang_watch import Progress
from ..._errors import SystemFailure
from ..._records.members import field
from ..._records.record import mutable
from ..._wire import scoreboard as at
from ..._wire.measures import BLOCK, read
from ..._wire.printable import printable
from ..._wire.scoreboard import HALF, LABEL_BYTES, LABEL_OFFSET, ROWS, STATES, Scoreboard, State
from ..judge.measure import Comparison, Living, stalled
from .dead import Dead

if TYPE_CHECKING:
    from ..._core import actions as do
    from ..._core.judge.counts import Measure, Measured

_MASK = 2**64 - 1


@mutable
class _Slot:
    """The rows of one slot, oldest first, and how its workers have ended.

    While no worker lives, the last row that ended has the counts of the slot; the others have none.
    """

    live: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    ends: int = 0
    last_exit: int = 0


@mutable
class _Row:
    """What the master keeps of a row."""

    name: str
    generation: int
    state: State
    requests: int  # before this worker
    errors: int


class Board:
    """The scoreboard of one daemon. Raises SystemFailure if it cannot be made."""

    def __init__(self, rows: int = ROWS) -> None:
        try:
            self.descriptor = at.create(rows)
            self._board = Scoreboard(self.descriptor)
        except OSError as error:
            raise SystemFailure(f"there is no shared memory for the scoreboard: {error}") from None
        self._words = self._board.words
        self._dead = Dead(self._board)
        self._comparison = Comparison(self._board)
        self._rows: dict[int, _Row] = {}
        self._pids: dict[int, int] = {}  # pid -> row, of living workers
        self._slots: dict[str, _Slot] = {}
        self._ended: dict[int, None] = {}  # rows, the one that ended first is first
        self._changes = self._requests = self._errors = 0
        self._groups: dict[object, int] = {}

    def close(self) -> None:
        """Unmap and close it; workers keep theirs."""
        self._board.close()
        os.close(self.descriptor)

    def reading(self) -> int:
        """Return a new read-only descriptor (close-on-exec). Raises OSError."""
        return os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def start(self, pid: int, ordered: do.OrderWorker | do.SpawnWorker) -> int:
        """Give a process a row before its order is sent; return it, or -1 if every row is a living worker's."""
        name = ordered.key
        row = self._choose(name)
        if row is None:
            return -1
        slot = self._slots.setdefault(name, _Slot())
        requests, errors = self._counted(row) if row in slot.ended else (0, 0)
        if row in slot.ended:
            slot.ended.remove(row)
        slot.live.append(row)
        self._pids[pid] = row
        self._rows[row] = _Row(name, ordered.generation, "starting", requests, errors)
        masters, workers = self._board.master_words(row), self._board.worker_words(row)
        with self._changing():
            self._words[at.USED] = len(self._rows)
            block = self._board.block_words(row) * 8
            self._board.bytes[workers * 8 : workers * 8 + HALF] = bytes(HALF)
            self._board.bytes[block : block + BLOCK] = bytes(BLOCK)
            start = masters * 8 + at.NAME_OFFSET
            self._board.bytes[start : start + at.NAME_BYTES] = name.encode().ljust(at.NAME_BYTES, b"\0")
            self._words[masters + at.PID] = pid
            self._words[masters + at.GENERATION] = ordered.generation
            self._words[masters + at.GROUP] = self._group(ordered)
            self._board.floats[masters + at.STARTED] = time.time()
            self._write(row)
        return row

    def turn(self, pid: int, state: State) -> None:
        """Set a worker's state to ready or draining; an earlier state comes late, and changes nothing."""
        row = self._pids.get(pid)
        if row is not None and STATES.index(state) > STATES.index(self._rows[row].state):
            self._rows[row].state = state
            with self._changing():
                self._write(row)

    def end(self, pid: int, status: int) -> None:
        """Add the counts of a process that has ended to the daemon's and its slot's."""
        row = self._pids.pop(pid, None)
        if row is None:
            return
        ended = self._rows[row]
        slot = self._slots[ended.name]
        slot.live.remove(row)
        slot.ended.append(row)
        slot.ends += 1
        slot.last_exit = status
        self._ended[row] = None
        ended.state = "ended"
        self._comparison.ended(ended.name, ended.generation, row)
        measured = read(self._words, self._board.floats, self._board.block_words(row))
        with self._changing():
            self._dead.add(measured, ended.generation)
            requests, errors = self._counted(row)
            self._requests = (self._requests + requests - ended.requests) & _MASK
            self._errors = (self._errors + errors - ended.errors) & _MASK
            self._words[at.DEAD_REQUESTS], self._words[at.DEAD_ERRORS] = self._requests, self._errors
            if slot.live:
                newest = self._rows[slot.live[-1]]
                newest.requests = (newest.requests + requests) & _MASK
                newest.errors = (newest.errors + errors) & _MASK
                ended.requests = ended.errors = 0
                workers = self._board.worker_words(row)
                self._words[workers + at.REQUESTS] = self._words[workers + at.ERRORS] = 0
                self._write(slot.live[-1])
            self._write(row)

    def measure(self, order: Measure) -> Measured:
        """Return what the workers of some kinds have counted, those of a generation and all others."""
        now = time.monotonic()
        living = (
            Living(self._rows[row].name, self._rows[row].generation, row, stalled(self.progress(pid), now))
            for pid, row in self._pids.items()
        )
        return self._comparison.measured(order, living)

    def watch(self, watching: bool) -> None:
        """Set whether the master checks for hangs: if not, a worker that becomes busy wakes it."""
        self._words[at.WATCHING] = int(watching)

    def ask(self, pid: int) -> None:
        """Let this process, and no other, write its stacks when it gets the signal."""
        self._words[at.ASKED] = pid

    def reopen_logs(self) -> None:
        """Have each worker open its log file again, before its next line."""
        self._board.turn_logs()

    def progress(self, pid: int) -> Progress | None:
        """Return what a worker that is ready or draining reports of its progress; None for any other."""
        row = self._pids.get(pid)
        if row is None or self._rows[row].state == "starting":
            return None
        words, floats, start = self._words, self._board.floats, self._board.worker_words(row)
        # `moved` last: a worker writes it after the counts, so that counts of different moments come with a late one.
        return Progress(
            beat=floats[start + at.BEAT],
            busy_since=floats[start + at.BUSY_SINCE],
            threads=words[start + at.THREADS],
            working=words[start + at.IN_FLIGHT] - words[start + at.WAITING],
            moved=floats[start + at.MOVED],
        )

    def native_threads(self, pid: int) -> int:
        """Return how many threads of libraries a worker's mold had when it forked; 0 where the worker has no row."""
        row = self._pids.get(pid)
        return 0 if row is None else self._words[self._board.worker_words(row) + at.NATIVE_THREADS]

    def doing(self, pid: int) -> str:
        """Return what a worker is doing, in words; empty if it has no request."""
        return self._in_words(pid, "latest", self.request(pid))

    def stuck_in(self, pid: int) -> str:
        """Return in which request a worker is stuck, in words: of threads the oldest, else the latest."""
        row = self._pids.get(pid)
        start = 0 if row is None else self._board.worker_words(row)
        if row is None or not self._words[start + at.THREADS]:
            return self.doing(pid)
        oldest = self._text(start * 8 + at.OLDEST_OFFSET, LABEL_BYTES)
        return self._in_words(pid, "oldest", oldest or self.request(pid))

    def _in_words(self, pid: int, which: str, label: str) -> str:
        row = self._pids.get(pid)
        count = 0 if row is None else self._words[self._board.worker_words(row) + at.IN_FLIGHT]
        return f"{label} (the {which} of {count} in flight)" if count > 1 else label if count else ""

    def _text(self, start: int, size: int) -> str:
        return printable(at.text(self._board.bytes[start : start + size]))

    def request(self, pid: int) -> str:
        """Return the latest request that a worker has begun; empty if it has none in flight."""
        row = self._pids.get(pid)
        start = 0 if row is None else self._board.worker_words(row)
        busy = row is not None and self._words[start + at.IN_FLIGHT]
        return self._text(start * 8 + LABEL_OFFSET, LABEL_BYTES) if busy else ""

    def living(self) -> dict[str, int]:
        """Return the slots that have a process, with the number of their requests in flight."""
        found = Counter[str]()
        for row in self._pids.values():
            found[self._rows[row].name] += self._words[self._board.worker_words(row) + at.IN_FLIGHT]
        return dict(found)

    def has_worked(self, pid: int) -> bool:
        """Return whether a worker has, or has had, requests, or has connections."""
        row = self._pids.get(pid)
        start = 0 if row is None else self._board.worker_words(row)
        return row is not None and any(self._words[start + word] for word in (at.REQUESTS, at.IN_FLIGHT, at.OPEN))

    def counted(self, pid: int) -> bytes:
        """Return the counters of a worker, only to see whether they have changed."""
        row = self._pids.get(pid)
        if row is None:
            return b""
        start = self._board.worker_words(row) * 8
        return bytes(self._board.bytes[start : start + LABEL_OFFSET])

    def _choose(self, name: str) -> int | None:
        """Return the slot's own ended row, else an unused one, else the one that ended first; None for none."""
        slot = self._slots.get(name)
        if slot is not None and slot.ended:
            row = slot.ended[-1]
        elif len(self._rows) < self._board.rows:
            return len(self._rows)
        elif self._ended:
            row = next(iter(self._ended))
            self._forget(row)
        else:
            return None
        del self._ended[row]
        return row

    def _forget(self, row: int) -> None:
        """Take a row from its slot for another one; a slot without rows is removed, with its counts."""
        name = self._rows[row].name
        slot = self._slots[name]
        slot.ended.remove(row)
        if not slot.live and not slot.ended:
            del self._slots[name]

    def _group(self, ordered: do.OrderWorker | do.SpawnWorker) -> int:
        """Return a number that workers that accept from the same queues share; 0 for one with a queue of its own.

        Such workers are of one kind: another kind may have the same listeners and accept from none of them.
        """
        if not ordered.listeners or any(listener.sharing == "sharded" for listener in ordered.listeners):
            return 0
        return self._groups.setdefault((ordered.key.partition("/")[0], ordered.listeners), len(self._groups) + 1)

    def _counted(self, row: int) -> tuple[int, int]:
        """Return the requests and errors of the slot that a row holds."""
        workers, held = self._board.worker_words(row), self._rows[row]
        requests, errors = self._words[workers + at.REQUESTS], self._words[workers + at.ERRORS]
        return (held.requests + requests) & _MASK, (held.errors + errors) & _MASK

    def _write(self, row: int) -> None:
        """Write the members that may change while a process has the row."""
        held, masters = self._rows[row], self._board.master_words(row)
        slot = self._slots[held.name]
        self._words[masters + at.STATE] = STATES.index(held.state)
        self._words[masters + at.ENDS] = slot.ends
        self._board.signed[masters + at.LAST_EXIT] = slot.last_exit
        self._words[masters + at.BEFORE_REQUESTS] = held.requests
        self._words[masters + at.BEFORE_ERRORS] = held.errors

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Make `changes` odd meanwhile: readers that find it odd, or different afterwards, read again."""
        self._changes += 1
        self._words[at.CHANGES] = self._changes
        yield
        self._changes += 1
        self._words[at.CHANGES] = self._changes
