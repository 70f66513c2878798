"""The live counters of a daemon's workers, for monitoring programs.

    with prefork.open_scoreboard("chat") as board:
        for process in board.read().processes:
            print(process.slot, process.pid, process.state, process.requests, process.doing)

A reading is a copy of shared memory that the workers write anyway (docs/scoreboard.md): it costs the daemon nothing and
wakes no process. The planned slots and their state are in `Client.status`.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from types import TracebackType

from ._errors import SystemFailure
from ._wire.scoreboard import Row, State
from ._wire.scoreboard import Scoreboard as Mapped
from .client import Client, connect


@dataclass(frozen=True, slots=True)
class Process:
    """One living worker.

    `started`: seconds since 1970. `requests` and `errors`: requests of this process that have ended, and those of them
    that failed. `open`: connections now. `in_flight`: requests now. `spent`: seconds of all requests, added up.
    `busy_for`: seconds since a request ended while others are in flight; None if the worker is idle. `doing`: the label
    of the request that began last, such as `GET /orders`; empty if the worker is idle. Of a WSGI server both are those
    of the request that has made no progress for the longest.
    """

    slot: str
    pid: int
    generation: int
    state: State
    started: float
    requests: int
    errors: int
    open: int
    in_flight: int
    spent: float
    busy_for: float | None
    doing: str


@dataclass(slots=True)
class Counts:
    """The totals of one slot over all its processes, ended ones too: they never decrease while the slot exists."""

    requests: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The scoreboard at one moment (`at`, CLOCK_MONOTONIC). `requests`, `errors`: totals since the daemon started."""

    at: float
    requests: int
    errors: int
    processes: tuple[Process, ...]
    slots: dict[str, Counts]


def open_scoreboard(daemon: str | Client | None = None) -> Board:
    """Return the scoreboard of a running daemon, found as `connect` finds it.

    Raises what `connect` raises; SystemFailure if the scoreboard cannot be read or has another version.
    """
    client = daemon if isinstance(daemon, Client) else connect(daemon)
    with client.scoreboard() as memory:
        try:
            return Board(Mapped(memory.fileno(), writable=False))
        except (OSError, ValueError) as error:
            raise SystemFailure(f"the scoreboard of the daemon in {client.directory} cannot be read: {error}") from None


class Board:
    """A scoreboard; readable until it is closed, even after its daemon has ended.

    A daemon that is started again has a new one.
    """

    def __init__(self, mapped: Mapped) -> None:
        self._mapped = mapped

    def __enter__(self) -> Board:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the memory."""
        self._mapped.close()

    def read(self) -> Reading:
        """Return the present counters. Takes less than a millisecond for 100 workers."""
        found, now = self._mapped.read(), monotonic()
        processes: list[Process] = []
        slots: dict[str, Counts] = {}
        for row in found.rows:
            if row.state == "unused":
                continue
            counts = slots.setdefault(row.name, Counts())
            counts.requests += row.requests + row.before_requests
            counts.errors += row.errors + row.before_errors
            if row.state != "ended":
                processes.append(_process(row, now))
        return Reading(now, found.requests, found.errors, tuple(processes), slots)


def _process(row: Row, now: float) -> Process:
    # Two words that change together are read one after the other: busy is what both of them say is busy.
    busy = row.in_flight > 0 and row.busy_since > 0
    return Process(
        slot=row.name,
        pid=row.pid,
        generation=row.generation,
        state=row.state,
        started=row.started,
        requests=row.requests,
        errors=row.errors,
        open=row.open,
        in_flight=row.in_flight,
        spent=row.spent,
        busy_for=max(0.0, now - row.busy_since) if busy else None,
        doing=(row.oldest or row.label) if busy else "",
    )
