"""What requests did between two readings of the scoreboard: latency, time in the queue, errors by generation. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._report.units import counted, precise_duration
from ..scoreboard import Histogram, Measures, Process, Reading

SHARES: Mapping[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


def between(reading: Reading, before: Reading | None) -> Measures:
    """Return the measures of the whole daemon since `before`; since its start without it."""
    return reading.measures - before.measures if before is not None else reading.measures


def by_generation(reading: Reading, before: Reading | None) -> dict[int, Measures]:
    """Return the measures since `before` of each generation that has had requests since, the newest last."""
    known = {} if before is None else before.generations
    found = {
        generation: measures - known[generation] if generation in known else measures
        for generation, measures in sorted(reading.generations.items())
    }
    return {generation: measures for generation, measures in found.items() if sum(measures.responses)}


def by_slot(reading: Reading, before: Reading | None) -> dict[str, Histogram]:
    """Return the latency since `before` of each slot, of its living processes."""
    known: dict[int, Process] = {} if before is None else {process.pid: process for process in before.processes}
    found: dict[str, Histogram] = {}
    for process in reading.processes:
        latency = process.measures.latency
        if process.pid in known:
            latency -= known[process.pid].measures.latency
        found[process.slot] = found[process.slot] + latency if process.slot in found else latency
    return found


def errors(measures: Measures) -> float | None:
    """Return the share of responses that were 5xx; None without a request."""
    every = sum(measures.responses)
    return measures.responses[5] / every if every else None


def percent(share: float | None) -> str:
    """Return a share as per cent, in about four characters; `-` for None."""
    if share is None:
        return "-"
    return "0%" if share == 0 else "<0.1%" if share < 0.001 else f"{100 * share:.{1 if share < 0.1 else 0}f}%"


def percentiles(histogram: Histogram) -> dict[str, Any]:
    """Return the number of values and the percentiles in seconds, null without a value, by their names."""
    return {"count": histogram.count, **{name: histogram.quantile(share) for name, share in SHARES.items()}}


def in_words(found: Mapping[str, Any]) -> str:
    """Return percentiles as a text."""
    return ", ".join(f"{name} {precise_duration(found[name])}" for name in SHARES)


def traffic(reading: Reading, before: Reading | None) -> dict[str, Any]:
    """Return all of it as plain data; `seconds` is null for the time since the daemon started."""
    whole = between(reading, before)
    return {
        "seconds": None if before is None else round(reading.at - before.at, 3),
        "responses": _responses(whole),
        "latency": percentiles(whole.latency),
        "queue": percentiles(whole.queue),
        "sent": whole.sent,
        "received": whole.received,
        "disconnects": whole.disconnects,
        "refused": whole.refused,
        "generations": {
            str(generation): {"responses": _responses(measures), "latency": percentiles(measures.latency)}
            for generation, measures in by_generation(reading, before).items()
        },
    }


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of `prefork status` about traffic."""
    latency, queue = found["latency"], found["queue"]
    since = "since the start" if found["seconds"] is None else f"in {found['seconds']:.1f} s"
    yield f"latency: {in_words(latency)} ({counted(latency['count'], 'request')} {since})"
    if queue["count"]:
        yield f"queue: {in_words(queue)} ({counted(queue['count'], 'request')} with X-Request-Start)"
    if found["disconnects"] or found["refused"]:
        yield f"clients: {counted(found['disconnects'], 'disconnect')}, {found['refused']} refused by limits"
    for generation, its in found["generations"].items():
        responses = its["responses"]
        every = sum(responses.values())
        share = percent(responses["5xx"] / every)
        yield f"generation {generation}: {counted(every, 'request')}, 5xx {share}, {in_words(its['latency'])}"


def _responses(measures: Measures) -> dict[str, int]:
    return dict(zip(_CLASSES, measures.responses, strict=True))
