"""The texts of the journal's records: one table of events, and the values for its placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .._core.commands import OF_JUDGE, typed
from .._records.record import record
from .units import counted, duration

Record = Mapping[str, Any]

Tone = Literal["good", "bad", "plain", "faint"]


@record
class EventText:
    """The text of an event.

    `sentence`: with placeholders for the record's members. `tone`: of the record; `reported`: of a report about it, if
    different. `usual`: it is logged without a report, too. `verb`: for the line that sums up many of them; an event
    without one is never folded.
    """

    sentence: str
    tone: Tone = "plain"
    reported: Tone | None = None
    usual: bool = False
    verb: str = ""


EVENTS: Mapping[str, EventText] = {
    "started": EventText("master started"),
    "orphans_found": EventText("found workers of a previous master: pid {pids}"),
    "command": EventText("{words} requested by {by}", usual=True, verb="commands received"),
    "signal": EventText("signal {signal} received", usual=True),
    "change": EventText("", verb="changes failed"),
    "mold_started": EventText("mold of generation {generation} started; importing the application"),
    "mold_ended": EventText("mold of generation {generation} {reason}", reported="bad", verb="molds ended"),
    "planned": EventText("generation {generation} planned ({of_workers})"),
    "plan_failed": EventText("generation {generation} has no plan", "bad"),
    "warming_failed": EventText("warming of generation {generation} failed", "bad"),
    "fork_failed": EventText(
        "mold of generation {generation} failed to fork {count}: {reason}", "bad", verb="forks failed"
    ),
    "ordered": EventText("started ({generation_and_pid}){because}"),
    "adopted": EventText("adopted from a killed master ({generation_and_pid})"),
    "spawned": EventText("spawned with its own interpreter (pid {pid})"),
    "spawn_failed": EventText("failed to start: {reason}", "bad", verb="failed to start"),
    "ready": EventText("ready after {after_span} (pid {pid})", "good"),
    "worn_out": EventText("reached a limit: {reason} (pid {pid}); to be replaced", verb="was replaced"),
    "failed": EventText("failed (pid {pid})", "bad", verb="failed"),
    "draining": EventText("asked to drain (pid {pid}){because}"),
    "killing": EventText("killed by the master: {why} (pid {pid})", "bad"),
    "hung": EventText("hung for {seconds} s: {verdict}{while_doing} (pid {pid})", "bad", verb="hung"),
    "stuck": EventText(
        "a request has made no progress for {seconds} s: {verdict}{while_doing} (pid {pid}); other threads are free"
    ),
    "stopped": EventText("stopped by signal {signal} (pid {pid})"),
    "continued": EventText("continued after {after_span} (pid {pid})"),
    "starved": EventText("no progress for {seconds} s, starved of CPU (pid {pid}); not treated as hung"),
    "suspended": EventText("suspended for {seconds} s; hang timers adjusted"),
    "ended": EventText(
        "{reason}{lived}{while_doing} (pid {pid}, generation {generation})", reported="bad", verb="failed"
    ),
    "lost": EventText("{count} events lost: this client was too slow", "bad"),
}
"""By the event's name in the control protocol."""


def tone(record: Record, reported: bool = False) -> Tone:
    """Return the tone of a record, or of a report about it."""
    if record.get("stage") == "failed" or record.get("status") not in (None, 0):
        return "bad"
    if record.get("stage") == "done":
        return "good"
    text = EVENTS.get(record["event"])
    return "plain" if text is None else (reported and text.reported) or text.tone


def subject(record: Record) -> str:
    """Return the subject of a record: a slot's key, or `daemon`."""
    return str(record.get("slot") or "daemon")


def sentence(record: Record) -> str:
    """Return what happened, without the subject; an application's report is on lines of its own.

    An event that this version does not know is returned as its members.
    """
    try:
        if record["event"] == "change":
            return _change(record)
        text = EVENTS[record["event"]].sentence.format(**record, **_derived(record))
    except (KeyError, TypeError, ValueError):
        return " ".join(f"{name}={value}" for name, value in record.items() if name not in ("number", "time", "slot"))
    return "\n".join([text, *str(record["report"]).splitlines()]) if "report" in record else text


def _derived(record: Record) -> Record:
    pid = f", pid {record['pid']}" if record.get("pid") else ""
    return {
        "because": f": {record['why']}" if record.get("why") else "",
        "while_doing": f", while doing {record['doing']}" if record.get("doing") else "",
        "generation_and_pid": f"generation {record.get('generation')}{pid}",
        "words": typed({name: record[name] for name in ("command", "of", "pool", "size", *OF_JUDGE) if name in record}),
        "of_workers": counted(record.get("workers", 0), "worker"),
        "lived": "" if "by the master" in str(record.get("reason")) else f" after {duration(record.get('after', 0))}",
        "after_span": duration(record.get("after", 0)),
    }


def _change(record: Record) -> str:
    of = record.get("slot") or record.get("pool") or f"generation {record['generation']}"
    if record.get("text"):
        return str(record["text"])
    if record["stage"] == "rolling" or record["stage"] == "settled":
        return f"{record['what']} of {of}: {counted(record['left'], 'slot')} to go"
    return f"{record['what']} of {of}: {record['stage']}"


def ended(status: int | None, signal_names: Mapping[int, str]) -> str:
    """Return how a process ended. `status` is an exit code, or the negated number of the signal that killed it."""
    if status is None:
        return "ended with an unknown status (reaped elsewhere)"
    if status >= 0:
        return f"exited {status}"
    return f"killed by {signal_names.get(-status, f'signal {-status}')}"
