"""A reading of the scoreboard without the processes that are no part of the service, such as this agent. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ...scoreboard import Measures, Process, Reading


@dataclass(frozen=True, slots=True)
class Service:
    """What the workers have done at one moment, as in a `Reading`. `others`: pids of processes that are left out."""

    at: float
    requests: int
    errors: int
    measures: Measures
    generations: dict[int, Measures]
    workers: dict[int, Process]
    others: frozenset[int]


def service(reading: Reading, auxiliary: Collection[str]) -> Service:
    """Return a reading without these slots.

    What their ended processes have measured is in the totals for good. So differences hold between two readings with
    the same `others`.
    """
    workers = {process.pid: process for process in reading.processes if process.slot not in auxiliary}
    others = [process for process in reading.processes if process.slot in auxiliary]
    left = [reading.slots[slot] for slot in auxiliary if slot in reading.slots]
    measures, generations = reading.measures, dict(reading.generations)
    for process in others:
        measures -= process.measures
        if process.generation in generations:
            generations[process.generation] -= process.measures
    return Service(
        reading.at,
        reading.requests - sum(counts.requests for counts in left),
        reading.errors - sum(counts.errors for counts in left),
        measures,
        generations,
        workers,
        frozenset(process.pid for process in others),
    )
