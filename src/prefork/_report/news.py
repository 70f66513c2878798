"""Which records the log tells, and in which words: what a decider reports stands with the record that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from .._core.actions import Action, Report
from .journal import Record
from .sentences import sentence

Tone = Literal["good", "bad", "plain", "faint"]

_USUAL = ("signal", "command")
"""Events that the log tells though nobody reports on them."""

_BAD = ("ended", "failed", "hung", "not started", "not born", "mold ended")
_FOLDED = (*_BAD, "worn out", "command")
"""Events that may come again and again; so may the failure of a change."""


@dataclass(frozen=True, slots=True)
class News:
    """One thing that has happened. `text` is for people: one line, then perhaps the application's own report."""

    record: Record
    text: str
    tone: Tone
    reported: bool = False

    @property
    def folds(self) -> bool:
        """Whether it is counted where it comes too often."""
        return self.tone != "faint" and (self.record["event"] in _FOLDED or self.record.get("stage") == "failed")


def news(records: Sequence[Record], actions: Sequence[Action], everything: bool = False) -> Iterator[News]:
    """Return what one event has brought: what was reported, with the record that it is about, and what else is usual.

    `everything`: all the other records too. There are as many that are reported as there are reports.
    """
    reports = [action.text for action in actions if isinstance(action, Report)]
    about: dict[int, str] = {}
    for report in reports:
        number = _subject(records, report, about)
        if number is None:
            yield News({"event": "message"}, report, "plain", True)
        else:
            about[number] = report
    for number, record in enumerate(records):
        if number in about:
            yield News(record, about[number], _tone(record), True)
        elif record["event"] in _USUAL or _is_outcome(record):
            yield News(record, _told(record), "plain")
        elif everything:
            yield News(record, _told(record), "faint")


def _subject(records: Sequence[Record], report: str, taken: dict[int, str]) -> int | None:
    """Return the index of what a report is about: the change of which it says the outcome, or else the fact itself."""
    first = report.partition("\n")[0]
    for number, record in enumerate(records):
        of = str(record.get("text", "")).partition("\n")[0]
        if record["event"] == "change" and of == first and number not in taken:
            return number
    return 0 if records and 0 not in taken and records[0]["event"] != "change" else None


def _tone(record: Record) -> Tone:
    """Return how a report on a record sounds."""
    if record["event"] == "change":
        return "bad" if record["stage"] == "failed" else "good"
    return "bad" if record["event"] in _BAD else "plain"


def _is_outcome(record: Record) -> bool:
    """Whether it is what came of a command; how a start or a stop has ended shows by itself."""
    return record.get("stage") in ("done", "failed") and record["what"] not in ("start", "stop")


def _told(record: Record) -> str:
    """Return a record as one line; the application's report comes with what is reported on it."""
    text = sentence(record).partition("\n")[0]
    return f"{record['slot']} {text}" if record.get("slot") else f"prefork: {text}"
