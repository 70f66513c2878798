"""A daemon's records as spans: changes and what they did, relaunches with their cause, hangs. Pure.

A span is known when the record comes that ends it. It is numbered by the record that begins it, and so are its trace
and its parent: an agent that is replaced in the middle of a reload goes on with the trace of the one before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Record = Mapping[str, Any]

_ALL_SLOTS = ("start", "reload", "replan")
"""Changes that are about every slot of their generation."""
_RENEWING = ("reload", "replan")
_CRASHED = "previous worker "
"""How the cause of an order begins that follows the end of a worker."""
_OF_WORKER = ("slot", "pid", "generation")
_KEPT = 32
"""Changes that are remembered: workers of a start become ready after its outcome."""


@dataclass(frozen=True, slots=True)
class Span:
    """What was done between two records. Times are seconds since 1970; `parent` is None for the root of a trace."""

    name: str
    number: int
    begun: float
    attributes: dict[str, Any]
    trace: int
    parent: int | None = None
    ended: float = 0.0
    error: str = ""


@dataclass(slots=True)
class _Change:
    """A change. `canary`: until the first worker of it is ready, which shows whether the others follow."""

    what: str
    generation: int
    slot: str
    pool: str
    root: Span
    canary: bool
    ended: bool = False

    def orders(self, start: Span) -> bool:
        """Return whether it is this change that has started a worker."""
        of = start.attributes
        if self.what == "start":
            return str(of.get("prefork.cause")) == "daemon start"
        if self.what in _ALL_SLOTS:
            return not self.ended and self.generation == of["prefork.generation"]
        return self.is_about(of["prefork.slot"])

    def drains(self, record: Record) -> bool:
        """Return whether it is this change that drains a worker."""
        if self.what in _ALL_SLOTS:
            return not self.ended and self.generation > record["generation"]
        return self.is_about(record["slot"])

    def is_about(self, slot: str) -> bool:
        return not self.ended and (self.slot == slot or slot.startswith(f"{self.pool or None}/"))


@dataclass(slots=True)
class Story:
    """What the records so far have begun; `without` is a slot that is left out."""

    without: str = ""
    changes: deque[_Change] = field(default_factory=lambda: deque(maxlen=_KEPT))
    molds: dict[int, Span] = field(default_factory=dict)  # by generation
    starts: dict[int, Span] = field(default_factory=dict)  # of workers, by pid
    drains: dict[int, Span] = field(default_factory=dict)  # by pid
    relaunches: dict[str, Span] = field(default_factory=dict)  # by slot
    exchanged: dict[str, Span] = field(default_factory=dict)  # slot -> the root that the drain of its old worker is of
    asked: Record = field(default_factory=dict)
    """The last command or signal."""

    def tell(self, record: Record) -> Iterator[Span]:
        """Yield the spans that this record ends."""
        if record.get("slot") == self.without != "":
            return
        match record["event"]:
            case "command" | "signal":
                self.asked = record
            case "change" if record["stage"] != "settled":
                yield from self._change(record)
            case "mold_started":
                self._import(record)
            case "planned" | "plan_failed" | "mold_ended":
                if (span := self.molds.pop(record["generation"], None)) is not None:
                    yield _ended(span, record, str(record.get("report") or record.get("reason") or ""))
            case "ordered":
                self._ordered(record)
            case "ready":
                yield from self._ready(record)
            case "draining":
                self._draining(record)
            case "ended":
                yield from self._end(record)
            case "hung" | "stuck":
                span = _begun("hang", record, *_OF_WORKER, "verdict", "doing")
                yield _ended(replace(span, begun=record["time"] - record["seconds"]), record, record["verdict"])

    def _change(self, record: Record) -> Iterator[Span]:
        what, generation = record["what"], record["generation"]
        slot, pool = record.get("slot", ""), record.get("pool", "")
        which = (what, generation, slot, pool)
        found = [each for each in self.changes if (each.what, each.generation, each.slot, each.pool) == which]
        change = next((each for each in found if not each.ended), None)
        if change is None:
            asked = self.asked if self.asked.get("time") == record["time"] else {}
            cause = asked.get("by") or (f"signal {asked['signal']}" if "signal" in asked else "")
            root = _begun(what, {**record, "cause": cause}, "slot", "pool", "generation", "cause")
            change = _Change(what, generation, slot, pool, root, canary=what in _RENEWING)
            self.changes.append(change)
        if record["stage"] in ("done", "failed"):
            change.ended = True
            yield _ended(change.root, record, record.get("text", "") if record["stage"] == "failed" else "")

    def _import(self, record: Record) -> None:
        span = _begun("import", record, "generation")
        of = [each for each in self.changes if not each.ended and each.generation == record["generation"]]
        self.molds[record["generation"]] = _within(of[-1].root, span) if of else span

    def _ordered(self, record: Record) -> None:
        self.starts[record["pid"]] = _begun("worker start", {**record, "cause": record["why"]}, *_OF_WORKER, "cause")
        if not record["why"].startswith(_CRASHED):
            self.relaunches.pop(record["slot"], None)  # It had not come to one: the slot was removed meanwhile.

    def _ready(self, record: Record) -> Iterator[Span]:
        span = self.starts.pop(record["pid"], None)
        if span is None:
            return
        slot = record["slot"]
        if (relaunch := self.relaunches.pop(slot, None)) is not None:
            yield _ended(relaunch, record)
        elif (change := self._ordering(span)) is not None:
            if change.what not in ("start", "scale"):
                self.exchanged[slot] = change.root
                span = replace(span, name="canary" if change.canary else "exchange")
                change.canary = False
            yield _ended(_within(change.root, span), record)
        else:
            self.exchanged[slot] = span
            yield _ended(replace(span, name="relaunch"), record)

    def _ordering(self, start: Span) -> _Change | None:
        return next((each for each in reversed(self.changes) if each.orders(start)), None)

    def _draining(self, record: Record) -> None:
        span = _begun("drain", {**record, "cause": record["why"]}, *_OF_WORKER, "cause")
        changes = (each.root for each in reversed(self.changes) if each.drains(record))
        of = self.exchanged.pop(record["slot"], None) or next(changes, None)
        self.drains[record["pid"]] = span if of is None else _within(of, span)

    def _end(self, record: Record) -> Iterator[Span]:
        failure = record["reason"] if record["status"] else ""
        if (drain := self.drains.pop(record["pid"], None)) is not None:
            yield _ended(drain, record, failure)
            return
        slot, start = record["slot"], self.starts.pop(record["pid"], None)
        if start is not None:
            change = self._ordering(start)
            of = self.relaunches.get(slot) or (change.root if change else None)
            yield _ended(start if of is None else _within(of, start), record, record["reason"])
        if slot not in self.relaunches:
            with_cause = {**record, "cause": record["reason"]}
            self.relaunches[slot] = _begun("relaunch", with_cause, *_OF_WORKER, "cause", "doing")


def _begun(name: str, record: Record, *members: str) -> Span:
    """Return a span that this record begins, a trace's root, with these members of it."""
    attributes = {f"prefork.{member}": record[member] for member in members if record.get(member) not in (None, "")}
    return Span(name, record["number"], record["time"], attributes, trace=record["number"])


def _within(parent: Span, span: Span) -> Span:
    return replace(span, trace=parent.trace, parent=parent.number)


def _ended(span: Span, record: Record, error: str = "") -> Span:
    return replace(span, ended=record["time"], error=error)
