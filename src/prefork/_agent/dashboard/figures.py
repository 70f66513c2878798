"""Figures of the last second, and of the last ten, from readings of the scoreboard. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...scoreboard import Process
from ..source import Usage
from .rows import Rows
from .service import Service

WINDOW = 10.0
"""Seconds of which quantiles and error shares are computed: enough requests, and still what happens now."""

APART = 2.5
"""Seconds between two readings that are kept: 200 workers have 40,000 numbers in each."""

KEPT = 300
"""Points of the charts, one a second."""


@dataclass(slots=True)
class Figures:
    """The readings of the last `WINDOW` seconds, and a point for each second that the page was watched.

    `points`: time, requests and errors a second, p50, p95 and p99 of the latency, p95 of the queue, requests in flight,
    open connections, CPU (processors), private and shared bytes. Durations are in seconds; what is unknown is None.
    `live`: a row for each process, by its pid.
    """

    points: deque[list[Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    live: Rows = field(default_factory=dict)
    _readings: deque[Service] = field(default_factory=deque)
    _last: Service | None = None
    _cpu: dict[int, float] = field(default_factory=dict)  # seconds at the last reading, by pid

    def begin(self) -> None:
        """Forget the readings: the next one comes after a time in which no page watched."""
        self._readings.clear()
        self._last, self._cpu, self.live = None, {}, {}

    def add(self, reading: Service, used: Mapping[int, Usage], time: float) -> list[Any]:
        """Add a reading, taken at `time` (seconds since 1970); return its point."""
        if self._last and reading.requests < self._last.requests:
            self.begin()  # The scoreboard of another master.
        before, self._last = self._last, reading
        self._keep(reading)
        shares = self._shares(used, reading.at - before.at if before else 0.0)
        self.live = self._rows(before, used, shares, time)
        workers = {pid: each for pid, each in used.items() if pid in reading.workers}
        point = [round(time, 1), *self._rates(before), *_now(reading), *_usage(workers, shares)]
        self.points.append(point)
        return point

    def _keep(self, reading: Service) -> None:
        readings = self._readings
        if readings and readings[-1].others != reading.others:
            readings.clear()
        if len(readings) > 1 and reading.at - readings[-2].at < APART:
            readings.pop()
        while readings and reading.at - readings[0].at > WINDOW:
            readings.popleft()
        readings.append(reading)

    def errors(self) -> tuple[int, int]:
        """Return how many requests of the last `WINDOW` seconds have ended, and how many of these failed."""
        if len(self._readings) < 2:
            return 0, 0
        first, last = self._readings[0], self._readings[-1]
        return last.requests - first.requests, last.errors - first.errors

    def generations(self) -> dict[str, list[Any]]:
        """Return of each generation the requests of the last `WINDOW` seconds, the share of 5xx, and the p95."""
        if len(self._readings) < 2:
            return {}
        first, last = self._readings[0].generations, self._readings[-1].generations
        found = {}
        for number, measures in last.items():
            recent = measures - first[number] if number in first else measures
            if ended := sum(recent.responses):
                share = round(recent.responses[5] / ended, 4)
                found[str(number)] = [ended, share, _short(recent.latency.quantile(0.95))]
        return found

    def _rates(self, before: Service | None) -> list[Any]:
        last = self._last
        if before is None or last is None:
            return [None] * 6
        elapsed = max(1e-3, last.at - before.at)
        recent = self._readings[-1].measures - self._readings[0].measures
        return [
            round((last.requests - before.requests) / elapsed, 1),
            round((last.errors - before.errors) / elapsed, 1),
            *(_short(recent.latency.quantile(share)) for share in (0.5, 0.95, 0.99)),
            _short(recent.queue.quantile(0.95)),
        ]

    def _shares(self, used: Mapping[int, Usage], elapsed: float) -> dict[int, float]:
        """Return the share of one processor that each process has had since the last reading."""
        now = {pid: each.cpu for pid, each in used.items() if each.cpu is not None}
        known, self._cpu = self._cpu, now
        if elapsed <= 0:
            return {}
        return {pid: max(0.0, cpu - known[pid]) / elapsed for pid, cpu in now.items() if pid in known}

    def _rows(
        self, before: Service | None, used: Mapping[int, Usage], shares: Mapping[int, float], time: float
    ) -> Rows:
        assert self._last is not None
        oldest, rows = self._readings[0].workers, {}
        for pid, usage in used.items():
            share, process = shares.get(pid), self._last.workers.get(pid)
            rows[str(pid)] = [
                *(self._done(process, before, oldest.get(pid), time) if process else [None, None, 0, 0, None, ""]),
                None if share is None else round(100 * share),
                usage.private,
            ]
        return rows

    def _done(self, process: Process, before: Service | None, oldest: Process | None, time: float) -> list[Any]:
        """Return rate, p95, requests in flight, open connections, since when the process is busy, and with what."""
        assert self._last is not None
        was = before.workers.get(process.pid) if before else None
        recent = process.measures - oldest.measures if oldest else process.measures
        since = None if process.busy_for is None else round(time - process.busy_for, 1)
        rate = None
        if before and was and self._last.at > before.at:
            rate = round((process.requests - was.requests) / (self._last.at - before.at), 1)
        return [rate, _short(recent.latency.quantile(0.95)), process.in_flight, process.open, since, process.doing]


def _now(reading: Service) -> list[Any]:
    workers = reading.workers.values()
    return [sum(process.in_flight for process in workers), sum(process.open for process in workers)]


def _usage(used: Mapping[int, Usage], shares: Mapping[int, float]) -> list[Any]:
    """Return processors and private bytes of all, and shared bytes, which all have in common.

    Where the memory of some is not read yet, they count as much as the others.
    """
    private = [each.private for each in used.values() if each.private is not None]
    shared = [each.shared for each in used.values() if each.shared is not None]
    cpu = round(sum(share for pid, share in shares.items() if pid in used), 2) if shares else None
    return [cpu, round(sum(private) / len(private) * len(used)) if private else None, max(shared, default=None)]


def _short(seconds: float | None) -> float | None:
    """Return a duration with three digits that count: more would only make the stream longer."""
    return None if seconds is None else float(f"{seconds:.3g}")
