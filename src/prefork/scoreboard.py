"""The live counters of a daemon's workers, for monitoring programs.

    with prefork.open_scoreboard("chat") as board:
        reading = board.read()
        for process in reading.processes:
            print(process.slot, process.pid, process.state, process.requests, process.doing)

    after, before = board.read().measures, reading.measures    # some seconds later
    (after - before).latency.quantile(0.95)                    # the 95th percentile in between, in seconds

A reading is a copy of shared memory that the workers write anyway (docs/scoreboard.md): it costs the daemon nothing and
wakes no process. The planned slots and their state are in `Client.status`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from operator import add, sub
from time import monotonic
from types import TracebackType
from typing import Any

from ._errors import SystemFailure
from ._wire.measures import (
    GENERATIONS,
    LATE,
    LATENCY_AT,
    LATENCY_BOUNDS,
    NONE,
    QUEUE_AT,
    QUEUE_BOUNDS,
    RESPONSES,
    SENT,
    Block,
)
from ._wire.scoreboard import Row, State
from ._wire.scoreboard import Scoreboard as Mapped
from .client import Client, connect


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values lie between which bounds.

    `bounds`: upper bounds in seconds, each belongs to its bucket; geometric. `counts`: one more than `bounds`, since
    the last bucket has no bound; not cumulative. `total`: the sum of all values in seconds.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """Return the value below which this share of all lies, in seconds: 0.95 for the 95th percentile.

        It is interpolated in its bucket; above the last bound it is the last bound. None without a value. Raises
        ValueError for a share that is not between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"a share lies between 0 and 1, and {share!r} does not")
        rank = share * self.count
        for number, below in enumerate(accumulate(self.counts)):
            if below and below >= rank:
                if number == len(self.bounds):
                    return self.bounds[-1]
                low, high = self.bounds[number - 1] if number else 0.0, self.bounds[number]
                # Of the values in this bucket, those up to the rank; the bucket may be empty where the rank is 0.
                inside = self.counts[number] - (below - rank)
                return low + (high - low) * max(0.0, inside) / self.counts[number]
        return None

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.bounds, _each(add, self.counts, other.counts), self.total + other.total)

    def __sub__(self, other: Histogram) -> Histogram:
        return Histogram(self.bounds, _each(sub, self.counts, other.counts), self.total - other.total)


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured of requests. The difference of two readings is what happened in between.

    `responses`: requests that have ended, by status // 100; the first are those without a response, and those whose
    application raised count as 500. `latency`: from
    the begin to the end. `queue`: from `X-Request-Start` of a trusted proxy to the begin, of requests with that header.
    `sent` and `received`: bytes of bodies. `disconnects`: clients that went away before their response was complete.
    `refused`: requests and connections that a limit refused. `lag`: seconds for which callbacks have held asyncio's
    event loop, each turn that took more than 50 ms; `late`: the number of those turns.
    """

    responses: tuple[int, ...] = (0,) * 6
    latency: Histogram = Histogram(LATENCY_BOUNDS, (0,) * (1 + len(LATENCY_BOUNDS)), 0.0)
    queue: Histogram = Histogram(QUEUE_BOUNDS, (0,) * (1 + len(QUEUE_BOUNDS)), 0.0)
    sent: int = 0
    received: int = 0
    disconnects: int = 0
    refused: int = 0
    lag: float = 0.0
    late: int = 0

    def __add__(self, other: Measures) -> Measures:
        return Measures(_each(add, self.responses, other.responses), *map(add, self._rest(), other._rest()))

    def __sub__(self, other: Measures) -> Measures:
        return Measures(_each(sub, self.responses, other.responses), *map(sub, self._rest(), other._rest()))

    def _rest(self) -> tuple[Any, ...]:
        more = self.disconnects, self.refused, self.lag, self.late
        return self.latency, self.queue, self.sent, self.received, *more


def _each(operation: Callable[[int, int], int], one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(operation, one, other))


@dataclass(frozen=True, slots=True)
class Process:
    """One living worker.

    `started`: seconds since 1970. `requests` and `errors`: requests of this process that have ended, and those of them
    that failed. `open`: connections now. `in_flight`: requests now. `spent`: seconds of all
    requests that have ended, added up.
    `busy_for`: seconds since a request ended while others are in flight; None if the worker is idle. `doing`: the label
    of the request that began last, such as `GET /orders`; empty if the worker is idle. Of a WSGI server both are those
    of the request that has made no progress for the longest. `measures`: of this process.
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
    measures: Measures = Measures()


@dataclass(slots=True)
class Counts:
    """The totals of one slot over all its processes, ended ones too: they never decrease while the slot exists."""

    requests: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The scoreboard at one moment (`at`, CLOCK_MONOTONIC).

    `requests`, `errors`, `measures`: totals since the daemon started, of ended processes too; they never go back.
    `generations`: the measures of each of the latest 8 generations, from the oldest on, of ended processes too.
    """

    at: float
    requests: int
    errors: int
    processes: tuple[Process, ...]
    slots: dict[str, Counts]
    measures: Measures = Measures()
    generations: dict[int, Measures] = field(default_factory=dict)


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
        """Return the present counters. Takes some 2 ms for 100 workers."""
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
        live = _by_generation(found.rows)
        dead = found.generations
        latest = sorted(live.keys() | dead.keys())[-GENERATIONS:]
        return Reading(
            *(now, found.requests, found.errors, tuple(processes), slots),
            measures=_measures(_together(found.dead, *live.values())),
            generations={each: _measures(_together(live.get(each, NONE), dead.get(each, NONE))) for each in latest},
        )


def _by_generation(rows: tuple[Row, ...]) -> dict[int, Block]:
    """Return what the living workers of each generation have measured."""
    blocks: dict[int, list[Block]] = {}
    for row in rows:
        if row.state not in ("unused", "ended"):
            blocks.setdefault(row.generation, []).append(row.measured)
    return {generation: _together(*each) for generation, each in blocks.items()}


def _together(*blocks: Block) -> Block:
    """Return the sum of some blocks."""
    sums, counts = zip(*((block.sums, block.counts) for block in blocks), strict=True)
    return Block(tuple(map(sum, zip(*sums, strict=True))), tuple(map(sum, zip(*counts, strict=True))))


def _measures(block: Block) -> Measures:
    """Return what a block holds."""
    latency, queue, lag = block.sums
    counts = block.counts
    sent, received, disconnects, refused, late = counts[SENT - RESPONSES : LATE + 1 - RESPONSES]
    return Measures(
        responses=counts[: SENT - RESPONSES],
        latency=Histogram(LATENCY_BOUNDS, counts[LATENCY_AT - RESPONSES : QUEUE_AT - RESPONSES], latency),
        queue=Histogram(QUEUE_BOUNDS, counts[QUEUE_AT - RESPONSES :], queue),
        sent=sent,
        received=received,
        disconnects=disconnects,
        refused=refused,
        lag=lag,
        late=late,
    )


def _process(row: Row, now: float) -> Process:
    # Two words that change together are read one after the other: busy is what both of them say is busy.
    busy = row.in_flight > 0 and row.busy_since > 0
    measures = _measures(row.measured)
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
        spent=measures.latency.total,
        busy_for=max(0.0, now - row.busy_since) if busy else None,
        doing=(row.oldest or row.label) if busy else "",
        measures=measures,
    )
