"""Computes rates from two readings of the scoreboard, and table lines from rates and the daemon's status. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._wire import keys
from ...scoreboard import Histogram, Process, Reading
from .._traffic import SHARES, between, by_generation, by_slot, errors

HISTORY = 240
"""Readings of the whole daemon that are kept, one per second."""

TREND = 16
"""Readings of each slot that are kept."""

WINDOW = 10
"""Seconds that percentiles, the time in the queue and the shares of errors are of."""


@dataclass(slots=True)
class Rates:
    """Requests per second, and their mean duration in seconds; None if no request has ended."""

    requests: float = 0.0
    mean: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One process, or a slot without a process. `leaving`: a newer process serves the slot."""

    key: str
    state: str
    leaving: bool
    pid: int | None
    generation: int | None
    age: float | None
    retry_in: float | None
    requests: int
    errors: int
    rate: float
    mean: float | None
    latency: Histogram | None
    trend: tuple[float, ...]
    process: Process | None
    restarts: int
    last_exit: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the last seconds were: percentiles of the latency, the 95th of the time in the queue, errors by generation.

    None without a request.
    """

    latency: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(SHARES))
    queue: float | None = None
    errors: dict[int, float | None] = field(default_factory=dict)


@dataclass(slots=True)
class Figures:
    """The figures of all readings so far. `slow`: the 95th percentile of the latency of each second."""

    requests: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    slow: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    window: deque[Reading] = field(default_factory=lambda: deque(maxlen=WINDOW + 1))
    latencies: dict[str, Histogram] = field(default_factory=dict)
    trends: dict[str, deque[float]] = field(default_factory=dict)
    slots: dict[str, Rates] = field(default_factory=dict)
    last: Reading | None = None

    def add(self, reading: Reading) -> None:
        """Add a reading; rates need two of them."""
        before, self.last = self.last, reading
        self.window.append(reading)
        if before is None or (elapsed := reading.at - before.at) <= 0:
            return
        known = {process.pid: process for process in before.processes}
        self.requests.append((reading.requests - before.requests) / elapsed)
        self.slow.append(between(reading, before).latency.quantile(SHARES["p95"]))
        self.latencies = by_slot(reading, self.window[0])
        processes: dict[str, list[Process]] = {}
        for process in reading.processes:
            processes.setdefault(process.slot, []).append(process)
        self.slots = {}
        for key, counts in reading.slots.items():
            ended = counts.requests - before.slots[key].requests if key in before.slots else counts.requests
            self.slots[key] = Rates(max(0.0, ended / elapsed), _mean(processes.get(key, ()), known))
        self.trends = {key: self.trends.get(key) or deque(maxlen=TREND) for key in self.slots}
        for key, rates in self.slots.items():
            self.trends[key].append(rates.requests)

    def traffic(self) -> Traffic:
        """Return what the seconds of the window were."""
        if len(self.window) < 2:
            return Traffic()
        first, last = self.window[0], self.window[-1]
        whole = between(last, first)
        return Traffic(
            {name: whole.latency.quantile(share) for name, share in SHARES.items()},
            whole.queue.quantile(SHARES["p95"]),
            {generation: errors(measures) for generation, measures in by_generation(last, first).items()},
        )

    def lines(self, status: Mapping[str, Any], now: float) -> list[Line]:
        """Return a line for each slot and each process that leaves one. `now`: seconds since 1970."""
        found = {} if self.last is None else {process.pid: process for process in self.last.processes}
        slots = sorted(status["slots"], key=lambda slot: keys.order(slot["key"]))
        return [line for slot in slots for line in self._lines(slot, found, now)]

    def _lines(self, slot: Mapping[str, Any], found: dict[int, Process], now: float) -> Iterator[Line]:
        key, rates = slot["key"], self.slots.get(slot["key"], Rates())
        counts = self.last.slots.get(key) if self.last else None
        retry_at = slot["retry_at"] if slot["pid"] is None else None
        for at, process in enumerate((slot, *slot["leaving"])):
            yield Line(
                key=key,
                state=process["state"],
                leaving=at > 0,
                pid=process["pid"],
                generation=process["generation"],
                age=None if process["since"] is None else max(0.0, now - process["since"]),
                retry_in=None if retry_at is None else max(0.0, retry_at - now),
                requests=counts.requests if counts else 0,
                errors=counts.errors if counts else 0,
                rate=rates.requests,
                mean=rates.mean,
                latency=self.latencies.get(key),
                trend=tuple(self.trends.get(key, ())),
                process=found.get(process["pid"]),
                restarts=slot["restarts"],
                last_exit=slot["last_exit"],
            )


def served(status: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of served slots, and of slots that should be."""
    slots = (slot for slot in status["slots"] if not slot.get("auxiliary"))
    wanted = [slot for slot in slots if slot["state"] not in ("finished", "leaving")]
    return sum(1 for slot in wanted if slot["serving"]), len(wanted)


def _mean(processes: Iterable[Process], known: dict[int, Process]) -> float | None:
    """Return the mean duration of the requests that have ended since: their time in flight by their number."""
    spent, ended = 0.0, 0
    for process in processes:
        before = known.get(process.pid)
        spent += process.spent - (before.spent if before else 0.0)
        ended += process.requests - (before.requests if before else 0)
    return spent / ended if ended > 0 else None
