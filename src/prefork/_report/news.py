"""Which records are logged, and in which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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

    @property
    def folds(self) -> bool:
        """Whether it is counted where it comes too often."""
        return self.tone != "faint" and (self.record["event"] in _FOLDED or self.record.get("stage") == "failed")


def reported(record: Record | None, text: str) -> News:
    """Return what a decider reports, with the record that it is about."""
    return News({"event": "message"}, text, "plain") if record is None else News(record, text, _tone(record))


def usual(record: Record, everything: bool = False) -> News | None:
    """Return what the log says of a record that nothing is reported about; None for nothing. `everything`: of each."""
    if record["event"] in _USUAL or _is_outcome(record):
        return News(record, _told(record), "plain")
    return News(record, _told(record), "faint") if everything else None


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
