"""What the workers of a daemon do at this moment, for programs that watch it.

    with prefork.open_scoreboard("chat") as board:
        for process in board.read().processes:
            print(process.slot, process.pid, process.state, process.requests, process.doing)

A reading is a look into memory that the workers write anyhow (docs/scoreboard.md): it costs the daemon nothing, and
wakes up nobody. Which slots there are to be, and how they fare, is the control socket's to tell: `Client.status`.
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

    `started` is in seconds since 1970. `requests` and `errors` are those that have ended, and failed, in this process;
    `open` counts connections, `in_flight` requests, and `spent` the seconds that requests have been in flight, all
    added up. `busy_for`: for how many seconds no request has ended in it though some are in flight; None where it is
    idle. `doing` is the label of the request that began last, such as `GET /orders`; empty where it is idle.
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
    """What all processes of one slot have counted, dead ones included: it never goes back while the slot is there."""

    requests: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The whole scoreboard at one moment, `at` of CLOCK_MONOTONIC. `requests` and `errors` are all that ever were."""

    at: float
    requests: int
    errors: int
    processes: tuple[Process, ...]
    slots: dict[str, Counts]


def open_scoreboard(daemon: str | Client | None = None) -> Board:
    """Return the scoreboard of a running daemon, found as `connect` finds it.

    Raises what that raises, and SystemFailure where the scoreboard cannot be had or is of another version.
    """
    client = daemon if isinstance(daemon, Client) else connect(daemon)
    with client.scoreboard() as memory:
        try:
            return Board(Mapped(memory.fileno(), writable=False))
        except (OSError, ValueError) as error:
            raise SystemFailure(f"the scoreboard of the daemon in {client.directory} cannot be read: {error}") from None


class Board:
    """A scoreboard that can be read until it is closed, also when its daemon has ended.

    A daemon that is started anew has another one.
    """

    def __init__(self, mapped: Mapped) -> None:
        self._mapped = mapped

    def __enter__(self) -> Board:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the memory."""
        self._mapped.close()

    def read(self) -> Reading:
        """Return what it says at this moment: less than a millisecond's work for a hundred workers."""
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
    # Two words that change together are read one after the other: what is not idle by both of them is busy.
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
        doing=row.label if busy else "",
    )
