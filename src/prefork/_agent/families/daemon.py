"""The families about the daemon as a whole: what it runs, changes of it, its listeners, its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..._report.changes import SORTS, STAGES
from .family import Family, Sample
from .seen import Seen

OUTCOMES = ("done", "failed")

MASTER = Family(
    "prefork_master_up", "gauge", "1 while the master answers; without it the families about workers are missing.",
    "a master that is stopped or gone, while its workers serve on",
)  # fmt: skip
BUILD = Family(
    "prefork_build", "info", "The version of prefork, and of the master's Python.", "what runs where",
    ("version", "python"),
)  # fmt: skip
DAEMON = Family("prefork_daemon", "info", "The daemon and what it runs.", "names in legends", ("daemon", "target"))
STARTED = Family(
    "prefork_start_time_seconds", "gauge", "When the master started, in seconds since 1970.", "restarts of the daemon"
)
GENERATION = Family(
    "prefork_generation", "gauge", "The generation of the code that is in force.", "deploys: each reload adds one"
)
STOPPING = Family("prefork_stopping", "gauge", "1 while the daemon stops.", "ends that were asked for")
STAGE = Family(
    "prefork_change_stage", "gauge", "1 for the stage of the change that is under way, or for none.",
    "a rollout as it goes, one that does not end", ("stage",),
)  # fmt: skip
LEFT = Family(
    "prefork_change_slots_left", "gauge", "Slots that the change has not replaced yet.", "how far a rollout is"
)
CHANGED = Family(
    "prefork_changes", "counter", "Changes that have ended, by what they were and how they ended.",
    "deploys, and reloads that failed", ("change", "outcome"),
)  # fmt: skip
LAST_CHANGE = Family(
    "prefork_change_timestamp_seconds", "gauge", "When the last change of a sort ended, by its outcome.",
    "whether the last reload succeeded, and when", ("change", "outcome"),
)  # fmt: skip
TOOK = Family(
    "prefork_change_duration_seconds", "gauge", "How long the last change of a sort took.",
    "the time from a reload to all workers new", ("change",),
)  # fmt: skip
MOLD_FAILURES = Family(
    "prefork_mold_failures", "gauge", "Failed starts of the mold in force in a row, and forks that failed in a row.",
    "workers that end are not replaced while it grows",
)  # fmt: skip
SPARES = Family(
    "prefork_spares", "gauge", "Processes forked ahead that wait to become workers.", "0 for long: forks are slow"
)
WAITING = Family(
    "prefork_listen_queue_connections", "gauge", "Connections that wait to be accepted.",
    "workers that do not keep up, before requests are counted", ("listener",),
)  # fmt: skip
LONGEST = Family(
    "prefork_listen_queue_longest", "gauge", "Connections in the longest queue of a listener (of sharded ones each).",
    "one worker that does not accept", ("listener",),
)  # fmt: skip
LIMIT = Family(
    "prefork_listen_queue_limit", "gauge", "Connections that one queue of a listener can hold.",
    "beyond it connections are dropped", ("listener",),
)  # fmt: skip
MEMORY = Family(
    "prefork_memory_used_bytes", "gauge", "Memory of the control group, page cache included.", "all processes together"
)
MEMORY_LIMIT = Family(
    "prefork_memory_limit_bytes", "gauge", "The smallest limit of memory of the control group and those above it.",
    "how near the kernel is to killing; missing without a limit",
)  # fmt: skip
THROTTLED = Family(
    "prefork_cpu_throttled_seconds", "counter", "Time for which the control group's quota held its processes back.",
    "a quota that is too small: latency without load",
)  # fmt: skip

FAMILIES = (
    *(MASTER, BUILD, DAEMON, STARTED, GENERATION, STOPPING, STAGE, LEFT, CHANGED, LAST_CHANGE, TOOK),
    *(MOLD_FAILURES, SPARES, WAITING, LONGEST, LIMIT, MEMORY, MEMORY_LIMIT, THROTTLED),
)


def samples(seen: Seen, version: str) -> Iterator[Sample]:
    """Yield the samples of all these families; `version`: of this package."""
    status = seen.status
    yield MASTER.at(int(status is not None))
    if status is not None:
        yield BUILD.at(1, version, status["python"])
        yield DAEMON.at(1, status["name"], status["target"])
        yield STARTED.at(status["started"])
        yield GENERATION.at(status["generation"])
        yield STOPPING.at(int(status["stopping"]))
        yield from _change(status["change"])
        yield from _changes(status["counts"]["changes"])
        yield from _molds(status)
        yield from _listeners(seen, status["listeners"])
    limits = seen.limits
    values = (MEMORY, limits.memory), (MEMORY_LIMIT, limits.memory_limit), (THROTTLED, limits.throttled)
    yield from (family.at(value) for family, value in values if value is not None)


def _change(change: Mapping[str, Any] | None) -> Iterator[Sample]:
    now = "none" if change is None else change["stage"]
    for stage in STAGES:
        yield STAGE.at(int(stage == now), stage)
    yield LEFT.at(0 if change is None else change["left"])


def _changes(changes: Mapping[str, Any]) -> Iterator[Sample]:
    for what in SORTS:
        found = changes.get(what, {})
        for outcome in OUTCOMES:
            yield CHANGED.at(found.get(outcome, 0), what, outcome)
        if found:
            yield LAST_CHANGE.at(found["time"], what, found["outcome"])
            yield TOOK.at(found["seconds"], what)


def _molds(status: Mapping[str, Any]) -> Iterator[Sample]:
    for mold in status["molds"]:
        if mold["generation"] == status["generation"]:
            yield MOLD_FAILURES.at(mold["failures"] + mold["failed_forks"])
            yield SPARES.at(mold["spares"])


def _listeners(seen: Seen, listeners: list[Mapping[str, Any]]) -> Iterator[Sample]:
    for listener in listeners:
        found = seen.backlogs.get(listener["address"])
        if found is not None and not listener["auxiliary"]:
            yield WAITING.at(found.waiting, listener["name"])
            yield LONGEST.at(found.longest, listener["name"])
            yield LIMIT.at(found.limit, listener["name"])
