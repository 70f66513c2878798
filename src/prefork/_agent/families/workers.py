"""The families about workers: which run, why they ended, what they use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from ..._core.watch.verdicts import Verdict
from ..._report.counts.tally import CAUSES
from ..._wire.keys import kind_in
from ..source import Usage
from .family import Family, Sample
from .seen import AGENT, Seen

STATES = ("starting", "ready", "draining", "killed", "waiting", "degraded", "leaving", "finished")
"""States of slots and their processes (docs/control.md)."""
VERDICTS = get_args(Verdict)

WANTED = Family(
    "prefork_workers_wanted", "gauge", "Workers that the plan, or a command, asks for.", "what should run", ("pool",)
)
SERVING = Family(
    "prefork_workers_serving", "gauge", "Slots that have a ready worker.", "what runs: less than wanted is a loss",
    ("pool",),
)  # fmt: skip
WORKERS = Family(
    "prefork_workers", "gauge",
    "Processes and empty slots by state (waiting, degraded: failed, and to be started again).",
    "a rollout as it goes, drains that take long, slots that fail", ("pool", "state"),
)  # fmt: skip
ENDED = Family(
    "prefork_workers_ended", "counter", "Ends of workers by cause.",
    "crash, out_of_memory, hang and start are failures; the others were asked for", ("pool", "cause"),
)  # fmt: skip
CUT = Family(
    "prefork_workers_cut", "counter", "Workers killed since they still drained after drain_timeout.",
    "requests that were lost: a drain_timeout that is too short", ("pool",),
)  # fmt: skip
HUNG = Family(
    "prefork_workers_hung", "counter", "Workers that hung, by verdict.", "deadlocks and blocked loops",
    ("pool", "verdict"),
)  # fmt: skip
STUCK = Family(
    "prefork_requests_stuck", "counter", "Requests without progress while their worker went on, by verdict.",
    "calls without a timeout", ("pool", "verdict"),
)  # fmt: skip
STARVED = Family(
    "prefork_workers_starved", "counter", "Workers that made no progress since they got no processor.",
    "too many processes for the machine", ("pool",),
)  # fmt: skip
RESTARTS = Family(
    "prefork_worker_restarts", "counter", "Restarts of a slot after failures.", "the slot that fails", ("slot",)
)
FAILURES = Family(
    "prefork_worker_failures", "gauge", "Failed starts and early deaths of a slot in a row.",
    "a crash loop: it is 0 again after a worker that stays", ("slot",),
)  # fmt: skip
RETRY = Family(
    "prefork_worker_retry_timestamp_seconds", "gauge", "When a slot that has to wait is started again.",
    "pauses after failures (backoff); only slots that wait have it", ("slot",),
)  # fmt: skip
CPU = Family(
    "prefork_worker_cpu_seconds", "counter", "Processor time of a slot's newest worker.", "who uses the processors",
    ("slot",),
)  # fmt: skip
WAITED = Family(
    "prefork_worker_cpu_wait_seconds", "counter",
    "Time for which the main thread of a slot's newest worker waited for a processor.",
    "too many processes for the machine, before requests show it", ("slot",),
)  # fmt: skip
PRIVATE = Family(
    "prefork_worker_private_memory_bytes", "gauge", "Memory that a slot's newest worker shares with no process.",
    "leaks; what one more worker costs", ("slot",),
)  # fmt: skip
SHARED = Family(
    "prefork_worker_shared_memory_bytes", "gauge", "Memory that a slot's newest worker shares with others.",
    "whether the mold's pages stay shared", ("slot",),
)  # fmt: skip

_UNKNOWN = Usage(None, None, None)

FAMILIES = (
    *(WANTED, SERVING, WORKERS, ENDED, CUT, HUNG, STUCK, STARVED, RESTARTS, FAILURES, RETRY),
    *(CPU, WAITED, PRIVATE, SHARED),
)


def samples(seen: Seen) -> Iterator[Sample]:
    """Yield the samples of all these families."""
    if seen.status is None:
        return
    yield from _pools(seen)
    yield from _counts(seen.status["counts"], sorted({slot["key"].partition("/")[0] for _, slot in seen.slots()}))
    for _, slot in seen.slots():
        yield from _slot(slot, seen.usage.get(slot["pid"], _UNKNOWN))


def _pools(seen: Seen) -> Iterator[Sample]:
    wanted: Counter[str] = Counter()
    serving: Counter[str] = Counter()
    states: Counter[tuple[str, str]] = Counter()
    for pool, slot in seen.slots():
        wanted[pool] += bool(slot["kind"])
        serving[pool] += slot["serving"]
        states.update((pool, each["state"]) for each in (slot, *slot["leaving"]))
    for pool in sorted(wanted):
        yield WANTED.at(wanted[pool], pool)
        yield SERVING.at(serving[pool], pool)
        for state in STATES:
            yield WORKERS.at(states[pool, state], pool, state)


def _counts(counts: Mapping[str, Any], pools: list[str]) -> Iterator[Sample]:
    """Yield the counts by pool; those of a pool that is there begin with 0, so that the first one is an increase."""
    for family, found, names in (
        (ENDED, counts["ends"], CAUSES), (HUNG, counts["hung"], VERDICTS), (STUCK, counts["stuck"], VERDICTS)
    ):  # fmt: skip
        for pool in sorted({*pools, *found} - {AGENT}):
            for name in names:
                yield family.at(found.get(pool, {}).get(name, 0), kind_in(pool), name)
    for family, by_pool in (CUT, counts["cut"]), (STARVED, counts["starved"]):
        for pool in sorted({*pools, *by_pool} - {AGENT}):
            yield family.at(by_pool.get(pool, 0), kind_in(pool))


def _slot(slot: Mapping[str, Any], usage: Usage) -> Iterator[Sample]:
    key = slot["key"]
    yield RESTARTS.at(slot["restarts"], key)
    yield FAILURES.at(slot["failures"], key)
    values = (RETRY, slot["retry_at"]), (CPU, usage.cpu), (WAITED, usage.waited)
    for family, value in (*values, (PRIVATE, usage.private), (SHARED, usage.shared)):
        if value is not None:
            yield family.at(value, key)
