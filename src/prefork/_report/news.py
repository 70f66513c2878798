"""Which records are logged, and in which words."""

from __future__ import annotations

from dataclasses import dataclass

from .journal import Record
from .sentences import EVENTS, Tone, sentence, tone


@dataclass(frozen=True, slots=True)
class News:
    """One thing that has happened. `text` is for people: one line, then perhaps the application's own report."""

    record: Record
    text: str
    tone: Tone

    @property
    def folds(self) -> bool:
        """Whether it is counted where it is repeated often; of changes, those that fail."""
        event = EVENTS.get(self.record["event"])
        repeats = self.record.get("stage", "failed") == "failed" and event is not None and bool(event.verb)
        return self.tone != "faint" and repeats


def reported(record: Record | None, text: str) -> News:
    """Return what a decider reports, with the record that it is about."""
    return News({"event": "message"}, text, "plain") if record is None else News(record, text, tone(record, True))


def usual(record: Record, everything: bool = False) -> News | None:
    """Return what is logged of a record that nothing is reported about; None for nothing. `everything`: of each."""
    if EVENTS[record["event"]].usual or _is_outcome(record):
        return News(record, _told(record), "plain")
    return News(record, _told(record), "faint") if everything else None


def _is_outcome(record: Record) -> bool:
    """Whether it is what came of a command; how a start or a stop has ended shows by itself."""
    return record.get("stage") in ("done", "failed") and record["what"] not in ("start", "stop")


def _told(record: Record) -> str:
    """Return a record as one line; the application's report comes with what is reported on it."""
    text = sentence(record).partition("\n")[0]
    return f"{record.get('slot') or 'prefork'}: {text}"
