"""What the daemon's events tell the page: their texts, the history of each slot, and crashes and hangs with reports.

Pure: records in, values out; the time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from ..._report.folding import blamed
from ..._report.sentences import Record, sentence, subject, tone

SHOWN = 200
"""Events that a page gets when it opens; the master keeps more."""

INCIDENTS = 20
"""Crashes, hangs and failed imports that are kept with their reports."""

OF_A_SLOT, SLOTS = 24, 4096
"""Events that are kept of each slot, and slots of which any are kept."""

_FAILURES = frozenset({"hung", "stuck", "plan_failed", "spawn_failed", "fork_failed"})
"""Events that are incidents by themselves; a crash is one when its process ends."""


@dataclass(slots=True)
class History:
    """The events so far, as the page shows them.

    `has_files`: the master's crash reports can be read, so that each crash has one. `setback`: the record of the last
    change, if it has failed; its `number` is that of the incident with the report.
    """

    has_files: bool = False
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=SHOWN))
    incidents: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=INCIDENTS))
    reports: dict[int, str] = field(default_factory=dict)  # by the number of their incident
    hung: dict[int, Record] = field(default_factory=dict)  # by the pid of a worker that has hung and not ended
    stopped: dict[int, Record] = field(default_factory=dict)  # by the pid of a worker that a signal has stopped
    setback: Record | None = None
    _slots: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)  # those with news last
    _words: dict[int, str] = field(default_factory=dict)  # by the pid of a worker that has failed: its traceback
    _crashes: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=1000))

    def add(self, record: Record) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Add an event; return its entry for the list and its incident. Both may be None."""
        if record.get("stage") == "settled":
            return None, None
        self._note(record)
        incident = self._incident(record)
        entry = {**_entry(record), "report": bool(incident and incident["report"])}
        self.events.append(entry)
        if "slot" in record:
            self._keep(entry)
        return entry, incident

    def incident(self, number: int) -> dict[str, Any] | None:
        """Return an incident by its number; None if it is not kept. For any thread, so it looks at a copy."""
        return next((each for each in list(self.incidents) if each["number"] == number), None)

    def about(self, slot: str) -> list[dict[str, Any]]:
        """Return the events of a slot, oldest first."""
        return list(self._slots.get(slot, ()))

    def troubles(self) -> dict[int, str]:
        """Return what is wrong with workers, by pid: `hung` or `stopped`."""
        hung = {pid: "hung" for pid, record in self.hung.items() if record["event"] == "hung"}
        return hung | dict.fromkeys(self.stopped, "stopped")

    def crashes(self, slots: Container[str], since: float) -> tuple[int, str]:
        """Return the number of crashes in these slots since then, and the request that most of them had."""
        lately = [doing for time, slot, doing in self._crashes if time > since and slot in slots]
        return len(lately), blamed(lately, len(lately))

    def _note(self, record: Record) -> None:
        pid = record.get("pid", 0)
        match record["event"]:
            case "hung" | "stuck":
                self.hung[pid] = record
            case "stopped":
                self.stopped[pid] = record
            case "continued":
                self.stopped.pop(pid, None)
            case "failed":
                self._words[pid] = record.get("report", "")
            case "change" if record["stage"] in ("done", "failed") and record["what"] != "preview":
                self.setback = {**record, "number": self._why()} if record["stage"] == "failed" else None
            case "ended":
                self._ended(record)

    def _why(self) -> int:
        """Return the number of the incident whose report says why a change has failed; 0 without one."""
        last = self.incidents[-1] if self.incidents else None
        return last["number"] if last and last["report"] and last["event"] in ("plan_failed", "ended") else 0

    def _ended(self, record: Record) -> None:
        pid = record["pid"]
        self.stopped.pop(pid, None)
        if record["status"] and "by the master" not in record["reason"]:
            self._crashes.append((record["time"], record["slot"], record.get("doing", "")))

    def _keep(self, entry: dict[str, Any]) -> None:
        events = self._slots.pop(entry["slot"], None) or deque(maxlen=OF_A_SLOT)
        events.append(entry)
        self._slots[entry["slot"]] = events
        if len(self._slots) > SLOTS:
            del self._slots[next(iter(self._slots))]

    def _incident(self, record: Record) -> dict[str, Any] | None:
        event, pid = record["event"], record.get("pid", 0)
        report = record.get("report", "")
        if event == "ended":
            report, known = self._words.pop(pid, ""), self.hung.pop(pid, None)
            if not record.get("status") or (known and known["event"] == "hung"):
                return None  # It ended in order, or its hang has been reported.
        elif event not in _FAILURES:
            return None
        if len(self.incidents) == INCIDENTS:
            self.reports.pop(self.incidents[0]["number"], None)
        has_report = bool(report) or (event == "ended" and self.has_files)
        incident = {**_entry(record), "pid": pid, "doing": record.get("doing") or "", "report": has_report}
        self.incidents.append(incident)
        if report:
            self.reports[record["number"]] = report
        return incident


def _entry(record: Record) -> dict[str, Any]:
    """Return an event as the page lists it: its text is one line."""
    return {
        "number": record.get("number", 0),
        "time": record.get("time"),
        "event": record["event"],
        "slot": subject(record),
        "tone": tone(record, reported=record.get("status") not in (None, 0)),
        "text": sentence(record).partition("\n")[0],
    }
