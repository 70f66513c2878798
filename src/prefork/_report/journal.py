"""The journal: events and actions as records, for people and programs.

A record is plain data: its `number` (they only grow), its `time` (seconds since 1970), its `event` and, as far as they
apply, `slot`, `pid`, `generation` and the members of the event. docs/control.md lists them. The last records are kept,
and the last of each slot, so that the history of a slot does not depend on how much happened to others.
"""

from __future__ import annotations

import json
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._core import actions as act
from .._core import events as ev
from .._core.commands import named
from .._core.handover.orders import AdoptWorker
from .._records.members import asdict, field, fields
from .._records.record import mutable, record
from .counts.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


ALL, EACH = 1000, 24
"""How many records are kept in all, and of each slot."""

_GONE = 128
"""Slots without a process that are remembered at least."""

_LONGEST = 4000
"""Characters of an application's report that are kept: its end, which names the error."""

Record = dict[str, Any]

_UNRECORDED = ("pid", "patience", "terminal_gone")
"""Fields of events that are for the supervisor alone, or stand in each record of a worker."""

_CALLED = {"key": "slot", "name": "signal"}
"""Fields of events that have another name in the protocol."""

_line = json.JSONEncoder(separators=(",", ":")).encode
"""A record is kept as its line of JSON, which takes half the memory."""


@record
class Notes:
    """The records of one event in order; that of the event itself, and those of the changes' progress."""

    records: Sequence[Record] = ()
    fact: Record | None = None
    changes: Mapping[act.Announce, Record] = field(default_factory=dict)

    def subject(self, report: act.Report) -> Record | None:
        """Return the record that a report is about."""
        return (
            self.changes.get(report.about)
            if isinstance(report.about, act.Announce)
            else (self.fact if report.about == "fact" else None)
        )


@mutable
class _Worker:
    key: str
    generation: int
    since: float


@mutable
class Journal:
    """Turns events and actions into records, counts them, and keeps the last of them."""

    number: int = 0
    kept: int = 0  # how many since the start
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=ALL))
    slots: dict[str, list[str]] = field(default_factory=dict)  # those with news last
    workers: dict[int, _Worker] = field(default_factory=dict)  # by pid, from order to end
    limit: int = 2 * _GONE
    report: str = ""  # the last one: slots that fail alike share it
    tally: Tally = field(default_factory=Tally)

    def note(self, event: ev.Event, actions: Sequence[act.Action], now: float, time: float) -> Notes:
        """Record an event and its actions. `now` is of the events' clock, `time` in seconds since 1970."""
        fact = self._fact(event, now)
        records = [] if fact is None else [self._numbered(fact, time)]
        changes = {}
        for action in actions:
            if (order := self._order(action, now)) is not None:
                records.append(self._numbered(order, time))
                if isinstance(action, act.Announce):
                    changes[action] = records[-1]
        return Notes(records, None if fact is None else records[0], changes)

    def _numbered(self, record: Record, time: float) -> Record:
        self.number += 1
        whole = {"number": self.number, "time": round(time, 3), **record}
        self.tally.note(whole)
        if record.get("stage") != "settled":  # It shows clients the progress, and is not kept.
            self._keep(whole)
        return whole

    def about(self, key: str) -> list[Record]:
        """Return the records of a slot, oldest first."""
        return list(map(json.loads, self.slots.get(key, ())))

    def lines(self, first: int, most: int) -> tuple[list[str], int]:
        """Return up to `most` records as JSON, oldest first, and where to go on; `first` is 0 to begin."""
        forgotten = self.kept - len(self.recent)
        first = max(first, forgotten)
        lines = list(islice(self.recent, first - forgotten, first - forgotten + most))
        return lines, first + len(lines)

    def _keep(self, record: Record) -> None:
        line = _line(record)
        self.kept += 1
        self.recent.append(line)
        key = record.get("slot")
        if key is not None and record["event"] not in ("change", "command"):  # Each order has its `why`.
            history = self.slots.pop(key, [])
            history.append(line)
            del history[:-EACH]
            self.slots[key] = history
            if len(self.slots) > self.limit:
                self._forget()

    def _forget(self) -> None:
        """Discard the slots without a process for longest; not at each record, so that none pays for all slots."""
        living = {worker.key for worker in self.workers.values()}
        gone = [key for key in self.slots if key not in living]
        for key in gone[:-_GONE]:
            del self.slots[key]
        self.limit = 2 * (len(self.slots) + _GONE)

    def _fact(self, event: ev.Event, now: float) -> Record | None:
        """Return the record of an event that has a name; the outcome of the others is recorded."""
        name = getattr(event, "NAME", "")
        match event:
            case ev.WorkerSpawned(generation, key, pid):
                return self._begun(name, key, pid, generation, now)
            case ev.WorkerEnded(pid):
                record = self._of(pid, name, now, _members(event))
                self.workers.pop(pid, None)
                return record
            case ev.OrphansFound(drain_timeouts):
                return {"event": name, "pids": list(drain_timeouts)}
            case ev.MoldPlanned(generation, plan):
                return {"event": name, "generation": generation, "workers": len(plan.wanted({}))}
            case ev.CommandReceived(_, command, by):
                return {"event": name, **named(command), "by": by}
            case ev.WorkerHung(pid, verdict, hang, report) | ev.WorkerStuck(pid, verdict, hang, report):
                more = {"doing": hang.doing, "seconds": round(hang.seconds, 3), "excused": round(hang.excused, 3)}
                return self._of(pid, name, now, {"verdict": verdict, **more, "report": report[:_LONGEST]})
        if not name:
            return None
        members = _members(event)
        if "report" in members:
            members["report"] = self._end_of(members["report"])
        worker: int | None = getattr(event, "pid", None)
        return {"event": name, **members} if worker is None else self._of(worker, name, now, members)

    def _order(self, action: act.Action, now: float) -> Record | None:
        match action:
            case act.OrderWorker(pid, generation, key):
                return {**self._begun("ordered", key, pid, generation, now), "why": action.why}
            case AdoptWorker(pid, generation, key):
                return self._begun("adopted", key, pid, generation, now)
            case act.SpawnWorker(generation, key):
                return {"event": "ordered", "slot": key, "generation": generation, "why": action.why}
            case act.AskToDrain(pid, _, why):
                return self._of(pid, "draining", now, {"why": why})
            case act.KillWorker(pid, why):
                return self._of(pid, "killing", now, {"why": why})
            case act.StartMold(generation):
                return {"event": "mold_started", "generation": generation}
            case act.Announce():
                members = {name: value for name, value in asdict(action).items() if value or name == "left"}
                return {"event": "change", **members}
            case _:
                return None

    def _begun(self, what: str, key: str, pid: int, generation: int, now: float) -> Record:
        self.workers[pid] = _Worker(key, generation, now)
        return {"event": what, "slot": key, "pid": pid, "generation": generation}

    def _of(self, pid: int, what: str, now: float, more: Record) -> Record | None:
        """Return the record of a worker; None of a spare or an unknown process. `after`: seconds since the last one."""
        worker = self.workers.get(pid)
        if worker is None:
            return None
        after, worker.since = round(now - worker.since, 3), now
        return {
            "event": what, "slot": worker.key, "pid": pid, "generation": worker.generation, "after": after, **more
        }  # fmt: skip

    def _end_of(self, report: str) -> str:
        if report[-_LONGEST:] != self.report:
            self.report = report[-_LONGEST:]
        return self.report


def _members(event: ev.Event) -> Record:
    """Return the fields of an event, by their names in the protocol."""
    names = [each.name for each in fields(event) if each.name not in _UNRECORDED]
    return {_CALLED.get(name, name): getattr(event, name) for name in names}
