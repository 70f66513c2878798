"""What has happened, as records: the stream of events and actions, for people and programs.

A record is plain data: its `number` (they only grow), its `time` (seconds since 1970), the `event` in a word and, as
far as they apply, `slot`, `pid`, `generation` and what the event has to say. docs/control.md lists them. The last
records are kept, and the last of each slot, so that what happened to one is known however much happened to others.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, astuple, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from .._core import actions as act
from .._core import events as ev

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._core.commands import Command

ALL, EACH = 1000, 24
"""How many records are kept in all, and of each slot."""

_GONE = 128
"""So many slots without a process are remembered at least."""

_LONGEST = 4000
"""Characters of an application's report that are kept: its end, which names the error."""

Record = dict[str, Any]

_line = json.JSONEncoder(separators=(",", ":")).encode
"""What is kept of a record is its line of JSON: half the memory, in a master that is to stay as small as it was."""


@dataclass(slots=True)
class _Worker:
    key: str
    generation: int
    since: float


@dataclass(slots=True)
class Journal:
    """Turns facts and orders into records, and remembers the last of them."""

    number: int = 0
    kept: int = 0  # how many since the start
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=ALL))
    slots: dict[str, list[str]] = field(default_factory=dict)  # those with news last
    workers: dict[int, _Worker] = field(default_factory=dict)  # by pid, from order to end
    limit: int = 2 * _GONE
    report: str = ""  # the last one: slots that fail alike share it

    def note(self, event: ev.Event, actions: Sequence[act.Action], now: float, time: float) -> list[Record]:
        """Take note of a fact and of what was ordered on it. `now` is of the events' clock, `time` is the date."""
        noted = []
        for record in (*self._fact(event, now), *self._orders(actions, now)):
            self.number += 1
            whole = {"number": self.number, "time": round(time, 3), **record}
            noted.append(whole)
            if record.get("stage") != "settled":  # It tells watchers how far a change has come, and is no news later.
                self._keep(whole)
        return noted

    def about(self, key: str) -> list[Record]:
        """Return what is remembered of a slot, oldest first."""
        return list(map(json.loads, self.slots.get(key, ())))

    def lines(self, first: int, most: int) -> tuple[list[str], int]:
        """Return so many records at most as JSON, oldest first, and where to go on; `first` is 0 to begin."""
        forgotten = self.kept - len(self.recent)
        first = max(first, forgotten)
        lines = list(islice(self.recent, first - forgotten, first - forgotten + most))
        return lines, first + len(lines)

    def snapshot(self) -> dict[str, Any]:
        """Return everything as plain data: what JSON can hold."""
        return {
            "number": self.number,
            "recent": list(map(json.loads, self.recent)),
            "slots": {key: self.about(key) for key in self.slots},
            "workers": [[pid, *astuple(worker)] for pid, worker in self.workers.items()],
        }

    @classmethod
    def restore(cls, data: dict[str, Any]) -> Journal:
        """Go on where a snapshot was taken."""
        return cls(
            data["number"],
            len(data["recent"]),
            deque(map(_line, data["recent"]), ALL),
            {key: list(map(_line, history[-EACH:])) for key, history in data["slots"].items()},
            {pid: _Worker(*worker) for pid, *worker in data["workers"]},
            2 * (len(data["slots"]) + _GONE),
        )

    def _keep(self, record: Record) -> None:
        line = _line(record)
        self.kept += 1
        self.recent.append(line)
        key = record.get("slot")
        if key is not None:
            history = self.slots.pop(key, [])
            history.append(line)
            del history[:-EACH]
            self.slots[key] = history
            if len(self.slots) > self.limit:
                self._forget()

    def _forget(self) -> None:
        """Let go of slots that have had no process for longest; not at each record, so that none pays for all slots."""
        living = {worker.key for worker in self.workers.values()}
        gone = [key for key in self.slots if key not in living]
        for key in gone[:-_GONE]:
            del self.slots[key]
        self.limit = 2 * (len(self.slots) + _GONE)

    def _fact(self, event: ev.Event, now: float) -> Iterator[Record]:
        match event:
            case ev.WorkerReady(pid):
                yield from self._of(pid, "ready", now)
            case ev.WorkerWornOut(pid, reason):
                yield from self._of(pid, "worn out", now, reason=reason)
            case ev.WorkerFailed(pid, report):
                yield from self._of(pid, "failed", now, report=self._end_of(report))
            case ev.WorkerHung(pid, verdict, hang, report):
                more = {"doing": hang.doing, "seconds": round(hang.seconds, 3), "excused": round(hang.excused, 3)}
                yield from self._of(pid, "hung", now, verdict=verdict, **more, report=report[:_LONGEST])
            case ev.WorkerStopped(pid, number):
                yield from self._of(pid, "stopped", now, signal=number)
            case ev.WorkerContinued(pid):
                yield from self._of(pid, "continued", now)
            case ev.WorkerStarved(pid, seconds):
                yield from self._of(pid, "starved", now, seconds=seconds)
            case ev.MachineSlept(seconds):
                yield {"event": "slept", "seconds": seconds}
            case ev.WorkerEnded(pid, status, reason):
                yield from self._of(pid, "ended", now, status=status, reason=reason)
                self.workers.pop(pid, None)
            case ev.WorkerSpawned(generation, key, pid):
                yield self._begun("spawned", key, pid, generation, now)
            case ev.SpawnFailed(generation, key, reason):
                yield {"event": "not started", "slot": key, "generation": generation, "reason": reason}
            case ev.BirthFailed(generation, count, reason):
                yield {"event": "not born", "generation": generation, "count": count, "reason": reason}
            case ev.MoldPlanned(generation, plan):
                yield {"event": "planned", "generation": generation, "workers": len(plan.wanted({}))}
            case ev.MoldFailed(generation, report) | ev.PlanFailed(generation, report):
                yield {"event": "not planned", "generation": generation, "report": self._end_of(report)}
            case ev.MoldEnded(generation, reason):
                yield {"event": "mold ended", "generation": generation, "reason": reason}
            case ev.CommandReceived(_, command, by):
                yield {"event": "command", **_plain(command), "by": by}
            case ev.SignalReceived(name):
                yield {"event": "signal", "signal": name}
            case ev.Started():
                yield {"event": "started"}
            case _:
                pass  # Births without an order, listeners and passing deadlines: what comes of them is told.

    def _orders(self, actions: Sequence[act.Action], now: float) -> Iterator[Record]:
        for action in actions:
            match action:
                case act.OrderWorker(pid, generation, key):
                    yield {**self._begun("ordered", key, pid, generation, now), "why": action.why}
                case act.SpawnWorker(generation, key):
                    yield {"event": "ordered", "slot": key, "generation": generation, "why": action.why}
                case act.AskToDrain(pid, _, why):
                    yield from self._of(pid, "draining", now, why=why)
                case act.KillWorker(pid, why):
                    yield from self._of(pid, "killing", now, why=why)
                case act.StartMold(generation):
                    yield {"event": "mold started", "generation": generation}
                case act.Announce():
                    told = {name: value for name, value in asdict(action).items() if value or name == "left"}
                    yield {"event": "change", **told}
                case _:
                    pass

    def _begun(self, what: str, key: str, pid: int, generation: int, now: float) -> Record:
        self.workers[pid] = _Worker(key, generation, now)
        return {"event": what, "slot": key, "pid": pid, "generation": generation}

    def _of(self, pid: int, what: str, now: float, **more: Any) -> Iterator[Record]:
        """Tell of a worker; spares, and processes that nobody knows, are no news. `after`: seconds since the last."""
        if worker := self.workers.get(pid):
            after, worker.since = round(now - worker.since, 3), now
            yield {
                "event": what, "slot": worker.key, "pid": pid, "generation": worker.generation, "after": after, **more
            }  # fmt: skip

    def _end_of(self, report: str) -> str:
        if report[-_LONGEST:] != self.report:
            self.report = report[-_LONGEST:]
        return self.report


def _plain(command: Command) -> Record:
    return {"command": type(command).__name__.lower(), **asdict(command)}
