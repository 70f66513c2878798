"""The families about requests: how many, how long, how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..._wire.keys import kind_in
from ...scoreboard import Measures, Reading
from .family import Family, Sample
from .seen import AGENT, Seen

CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Classes of status codes; `none`: it ended without a response."""

REQUESTS = Family(
    "prefork_requests", "counter", "Requests that have ended, by class of their status.",
    "the load, and the share of errors", ("class",),
)  # fmt: skip
DURATION = Family(
    "prefork_request_duration_seconds", "histogram", "Time from the begin of a request to the end of its response.",
    "percentiles of the latency; its sum grows by the mean number of requests in flight", step=2,
)  # fmt: skip
QUEUE = Family(
    "prefork_request_queue_seconds", "histogram",
    "Time from the proxy's X-Request-Start to the begin of the request in a worker.",
    "too few workers: it grows before anything else does", step=4,
)  # fmt: skip
GENERATION_REQUESTS = Family(
    "prefork_generation_requests", "counter", "Requests that have ended, by generation of the code and class.",
    "errors that a deploy has brought", ("generation", "class"),
)  # fmt: skip
GENERATION_DURATION = Family(
    "prefork_generation_request_duration_seconds", "histogram", "Duration of requests, by generation of the code.",
    "a deploy that has made requests slower", ("generation",), step=8,
)  # fmt: skip
SENT = Family(
    "prefork_response_body_bytes", "counter", "Bytes of the bodies of responses.", "the traffic",
)  # fmt: skip
RECEIVED = Family(
    "prefork_request_body_bytes", "counter", "Bytes of the bodies of requests.", "uploads",
)  # fmt: skip
DISCONNECTS = Family(
    "prefork_client_disconnects", "counter", "Requests whose client went away before the end of the response.",
    "clients or a proxy that give up: compare with the latency",
)  # fmt: skip
REFUSED = Family(
    "prefork_requests_refused", "counter", "Requests refused by a limit (--limit-...) before the application saw them.",
    "a limit that is too tight, or an attack",
)  # fmt: skip
LAG = Family(
    "prefork_event_loop_lag_seconds", "counter", "Time for which callbacks held an event loop, above 50 ms each.",
    "blocking calls in asynchronous code",
)  # fmt: skip
LATE = Family(
    "prefork_event_loop_lags", "counter", "Callbacks that held an event loop for more than 50 ms.",
    "how often, beside how long",
)  # fmt: skip
IN_FLIGHT = Family(
    "prefork_requests_in_flight", "gauge", "Requests that workers are handling now.", "the load of each worker",
    ("slot",),
)  # fmt: skip
CONNECTIONS = Family(
    "prefork_connections_open", "gauge", "Connections that are open now.", "clients that keep connections",
    ("slot",),
)  # fmt: skip
WORKER_REQUESTS = Family(
    "prefork_worker_requests", "counter", "Requests of the workers of a slot, ended ones included.",
    "the balance: the largest rate over the mean", ("slot",),
)  # fmt: skip
WORKER_ERRORS = Family(
    "prefork_worker_errors", "counter", "Requests of the workers of a slot that failed.", "a worker that fails alone",
    ("slot",),
)  # fmt: skip
STALLED = Family(
    "prefork_worker_stalled_seconds", "gauge",
    "Time for which a busy worker has ended no request; 0 while it is idle.", "a hang before it is one", ("slot",),
)  # fmt: skip

FAMILIES = (
    *(REQUESTS, DURATION, QUEUE, GENERATION_REQUESTS, GENERATION_DURATION, SENT, RECEIVED, DISCONNECTS, REFUSED),
    *(LAG, LATE, IN_FLIGHT, CONNECTIONS, WORKER_REQUESTS, WORKER_ERRORS, STALLED),
)


def samples(seen: Seen) -> Iterator[Sample]:
    """Yield the samples of all these families."""
    if seen.reading is None:
        return
    yield from _totals(seen.reading.measures)
    for generation, measures in sorted(seen.reading.generations.items()):
        for label, count in zip(CLASSES, measures.responses, strict=True):
            yield GENERATION_REQUESTS.at(count, generation, label)
        yield GENERATION_DURATION.at(measures.latency, generation)
    yield from _by_worker(seen.reading)


def _totals(measures: Measures) -> Iterator[Sample]:
    for label, count in zip(CLASSES, measures.responses, strict=True):
        yield REQUESTS.at(count, label)
    yield DURATION.at(measures.latency)
    yield QUEUE.at(measures.queue)
    yield SENT.at(measures.sent)
    yield RECEIVED.at(measures.received)
    yield DISCONNECTS.at(measures.disconnects)
    yield REFUSED.at(measures.refused)
    yield LAG.at(measures.lag)
    yield LATE.at(measures.late)


def _by_worker(reading: Reading) -> Iterator[Sample]:
    in_flight: Counter[str] = Counter()
    connections: Counter[str] = Counter()
    stalled: dict[str, float] = {}
    for process in reading.processes:
        in_flight[process.slot] += process.in_flight
        connections[process.slot] += process.open
        stalled[process.slot] = max(stalled.get(process.slot, 0.0), process.busy_for or 0.0)
    for slot in sorted(stalled):
        if kind_in(slot) != AGENT:
            yield IN_FLIGHT.at(in_flight[slot], slot)
            yield CONNECTIONS.at(connections[slot], slot)
            yield STALLED.at(stalled[slot], slot)
    for slot, counts in sorted(reading.slots.items()):
        if kind_in(slot) != AGENT:
            yield WORKER_REQUESTS.at(counts.requests, slot)
            yield WORKER_ERRORS.at(counts.errors, slot)
