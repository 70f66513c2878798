"""The sentences of the journal's records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .units import counted, duration

Record = dict[str, Any]

_SENTENCES = {
    "started": "the master has started",
    "command": "{by} asks for: {words}",
    "signal": "signal {signal} came",
    "mold started": "the mold of generation {generation} imports the application",
    "mold ended": "the mold of generation {generation} {reason}",
    "planned": "generation {generation} has a plan: {of_workers}",
    "not planned": "generation {generation} has no plan",
    "not born": "the mold of generation {generation} could not fork {count} of those it was to: {reason}",
    "ordered": "started, generation {generation}{as_pid}{because}",
    "spawned": "has an interpreter of its own, pid {pid}",
    "not started": "could not be started: {reason}",
    "ready": "ready after {after_span} (pid {pid})",
    "worn out": "is to be replaced: {reason} (pid {pid})",
    "failed": "failed (pid {pid})",
    "draining": "asked to drain (pid {pid}){because}",
    "killing": "killed by us {why} (pid {pid})",
    "hung": "hung for {seconds} s: {verdict}{while_doing} (pid {pid})",
    "stopped": "stopped by signal {signal} (pid {pid})",
    "continued": "continued after {after_span} (pid {pid})",
    "starved": "no progress for {seconds} s, starved of CPU (pid {pid}); not treated as hung",
    "slept": "master suspended for {seconds} s; hang timers adjusted",
    "ended": "{reason} after {after_span} (pid {pid}, generation {generation})",
    "lost": "{count} events were lost: the reader was too slow",
}
"""event -> sentence, of which a record fills the gaps."""


def subject(record: Record) -> str:
    """Return the subject of a record: a slot's key, or `daemon`."""
    return str(record.get("slot") or "daemon")


def sentence(record: Record) -> str:
    """Return what happened, without whom it happened to; an application's report is on lines of its own.

    What this version does not know, or not in this form, is shown as it came.
    """
    try:
        if record["event"] == "change":
            return _change(record)
        text = _SENTENCES[record["event"]].format(**record, **_derived(record))
    except (KeyError, TypeError, ValueError):
        return " ".join(f"{name}={value}" for name, value in record.items() if name not in ("number", "time", "slot"))
    return "\n".join([text, *str(record["report"]).splitlines()]) if "report" in record else text


def _derived(record: Record) -> Record:
    return {
        "because": f": {record['why']}" if record.get("why") else "",
        "while_doing": f", while doing {record['doing']}" if record.get("doing") else "",
        "as_pid": f" as pid {record['pid']}" if record.get("pid") else "",
        "words": " ".join(str(record[name]) for name in ("command", "of", "key", "kind", "size") if name in record),
        "of_workers": counted(record.get("workers", 0), "worker"),
        "after_span": duration(record.get("after", 0)),
    }


def _change(record: Record) -> str:
    of = record.get("key") or f"generation {record['generation']}"
    if record.get("text"):
        return str(record["text"])
    if record["stage"] == "rolling" or record["stage"] == "settled":
        return f"{record['what']} of {of}: {counted(record['left'], 'slot')} to go"
    return f"{record['what']} of {of}: {record['stage']}"


def ended(status: int | None, signal_names: Mapping[int, str]) -> str:
    """Say how a process ended. `status` is an exit code, or the negated number of the signal that killed it."""
    if status is None:
        return "is no child of the master, or somebody else has waited for it"
    if status >= 0:
        return f"exited {status}"
    return f"was killed by {signal_names.get(-status, f'signal {-status}')}"
