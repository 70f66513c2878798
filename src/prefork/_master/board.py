"""The master's half of the scoreboard: rows, and counts of dead workers.

The master never believes what it has written there itself, since any worker could write there too. All that it reads
back is what workers have counted, and the worst that comes of that is a wrong count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._errors import SystemFailure
from .._wire import scoreboard as at
from .._wire.scoreboard import HALF, LABEL_OFFSET, NAME_BYTES, NAME_OFFSET, ROWS, STATES, Scoreboard, State

if TYPE_CHECKING:
    from .._core import actions as do

_MASK = 2**64 - 1


@dataclass(slots=True)
class _Slot:
    """The rows of one name, oldest first, and how its workers have ended.

    While none lives, the last row that ended holds what the slot has counted; the others hold nothing.
    """

    live: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    ends: int = 0
    last_exit: int = 0


@dataclass(slots=True)
class _Row:
    """What the master has to remember of a row."""

    name: str
    state: State
    requests: int  # before this worker
    errors: int


class Board:
    """The scoreboard of one daemon. Raises SystemFailure where the system refuses it."""

    def __init__(self, rows: int = ROWS) -> None:
        try:
            self.descriptor = at.create(rows)
            self._board = Scoreboard(self.descriptor)
        except OSError as error:
            raise SystemFailure(f"there is no shared memory for the scoreboard: {error}") from None
        self._words = self._board.words
        self._rows: dict[int, _Row] = {}
        self._pids: dict[int, int] = {}  # pid -> row, of those that live
        self._slots: dict[str, _Slot] = {}
        self._ended: dict[int, None] = {}  # rows, the one that ended the longest ago first
        self._changes = self._requests = self._errors = 0
        self._groups: dict[object, int] = {}

    def close(self) -> None:
        """Let go of it; workers keep theirs."""
        self._board.close()
        os.close(self.descriptor)

    def reading(self) -> int:
        """A new descriptor (close-on-exec), for those who may read it and not write. Raises OSError."""
        return os.open(f"/proc/self/fd/{self.descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def start(self, pid: int, ordered: do.OrderWorker | do.SpawnWorker) -> int:
        """The row of a process that is about to have this order; -1 when every row is a living worker's."""
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
        self._rows[row] = _Row(name, "starting", requests, errors)
        masters, workers = self._board.master_words(row), self._board.worker_words(row)
        with self._changing():
            self._words[at.USED] = len(self._rows)
            self._board.bytes[workers * 8 : workers * 8 + HALF] = bytes(HALF)
            self._board.bytes[masters * 8 + NAME_OFFSET : masters * 8 + HALF] = name.encode().ljust(NAME_BYTES, b"\0")
            self._words[masters + at.PID] = pid
            self._words[masters + at.GENERATION] = ordered.generation
            self._words[masters + at.GROUP] = self._group(ordered)
            self._board.floats[masters + at.STARTED] = time.time()
            self._write(row)
        return row

    def turn(self, pid: int, state: State) -> None:
        """A worker is ready, or has been asked to drain; what would lead back comes late, and changes nothing."""
        row = self._pids.get(pid)
        if row is not None and STATES.index(state) > STATES.index(self._rows[row].state):
            self._rows[row].state = state
            with self._changing():
                self._write(row)

    def end(self, pid: int, status: int) -> None:
        """A process has ended: what it had counted is the daemon's from now on, and its slot's."""
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
        with self._changing():
            requests, errors = self._counted(row)
            self._requests = (self._requests + requests - ended.requests) & _MASK
            self._errors = (self._errors + errors - ended.errors) & _MASK
            self._words[at.DEAD_REQUESTS], self._words[at.DEAD_ERRORS] = self._requests, self._errors
            if slot.live:
                heir = self._rows[slot.live[-1]]
                heir.requests, heir.errors = (heir.requests + requests) & _MASK, (heir.errors + errors) & _MASK
                ended.requests = ended.errors = 0
                workers = self._board.worker_words(row)
                self._words[workers + at.REQUESTS] = self._words[workers + at.ERRORS] = 0
                self._write(slot.live[-1])
            self._write(row)

    def watch(self, watching: bool) -> None:
        """Let workers know whether somebody looks for hangs: where nobody does, who gets busy wakes the master."""
        self._words[at.WATCHING] = int(watching)

    def ask(self, pid: int) -> None:
        """Let this process, and no other, write down its stacks when it is signalled to."""
        self._words[at.ASKED] = pid

    def beat(self, pid: int) -> tuple[float, float] | None:
        """What a worker that is ready, or drains, says of itself: `beat` and `busy_since`; None for any other."""
        row = self._pids.get(pid)
        if row is None or self._rows[row].state == "starting":
            return None
        at_row = self._board.worker_words(row)
        return self._board.floats[at_row + at.BEAT], self._board.floats[at_row + at.BUSY_SINCE]

    def doing(self, pid: int) -> str:
        """What a worker has to do, in words; nothing where it has no request."""
        row = self._pids.get(pid)
        if row is None:
            return ""
        start = self._board.worker_words(row)
        count = self._words[start + at.IN_FLIGHT]
        label = at.text(self._board.bytes[start * 8 + LABEL_OFFSET : start * 8 + HALF])
        more = f" (the latest of {count} in flight)" if count > 1 else ""
        return f"{label}{more}" if count else ""

    def counted(self, pid: int) -> bytes:
        """What the worker of this pid has counted: only whether it is another than before means anything here."""
        row = self._pids.get(pid)
        if row is None:
            return b""
        start = self._board.worker_words(row) * 8
        return bytes(self._board.bytes[start : start + LABEL_OFFSET])

    def _choose(self, name: str) -> int | None:
        """The slot's own ended row, else one that was never used, else the one that ended the longest ago."""
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
        """Another slot needs this row; a slot whose last row it was is forgotten, and its counts with it."""
        name = self._rows[row].name
        slot = self._slots[name]
        slot.ended.remove(row)
        if not slot.live and not slot.ended:
            del self._slots[name]

    def _group(self, ordered: do.OrderWorker | do.SpawnWorker) -> int:
        """A number that is the same for those who accept from the same queues, and 0 for who has one of its own.

        Those are workers of one kind: others may have been given the same listeners and accept from none of them.
        """
        if not ordered.listeners or any(listener.sharing == "sharded" for listener in ordered.listeners):
            return 0
        return self._groups.setdefault((ordered.key.partition("/")[0], ordered.listeners), len(self._groups) + 1)

    def _counted(self, row: int) -> tuple[int, int]:
        """All that a row holds of its slot's requests and errors."""
        workers, held = self._board.worker_words(row), self._rows[row]
        requests, errors = self._words[workers + at.REQUESTS], self._words[workers + at.ERRORS]
        return (held.requests + requests) & _MASK, (held.errors + errors) & _MASK

    def _write(self, row: int) -> None:
        """Write what may change while a row is one process's."""
        held, masters = self._rows[row], self._board.master_words(row)
        slot = self._slots[held.name]
        self._words[masters + at.STATE] = STATES.index(held.state)
        self._words[masters + at.ENDS] = slot.ends
        self._board.signed[masters + at.LAST_EXIT] = slot.last_exit
        self._words[masters + at.BEFORE_REQUESTS] = held.requests
        self._words[masters + at.BEFORE_ERRORS] = held.errors

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Readers who see `changes` odd, or another number afterwards, read again."""
        self._changes += 1
        self._words[at.CHANGES] = self._changes
        yield
        self._changes += 1
        self._words[at.CHANGES] = self._changes
