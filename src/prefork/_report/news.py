"""Which records are logged, and in which words."""

from __future__ import annotations

from .._records.record import record
from .journal import Record
from .sentences import EVENTS, Tone, sentence, tone


@record
class News:
    """What is logged of a record. `text`: one line, then perhaps the application's report."""

    record: Record
    text: str
    tone: Tone

    @property
    def folds(self) -> bool:
        """Whether it is counted if it repeats; of changes, those that fail; of commands, all but a stop."""
        if self.record.get("command") == "stop":
            return False
        event = EVENTS.get(self.record["event"])
        repeats = self.record.get("stage", "failed") == "failed" and event is not None and bool(event.verb)
        return self.tone != "faint" and repeats

    @property
    def due_to(self) -> str:
        """Return what a folded line names: the request of a worker that ended, or a command with its user."""
        if self.record["event"] == "command":
            return f"{self.record['command']} by {self.record['by']}"
        return str(self.record.get("doing") or "") if self.record["event"] == "ended" else ""


def reported(record: Record | None, text: str) -> News:
    """Return a decider's report as news, with the record that it is about."""
    return News({"event": "message"}, text, "plain") if record is None else News(record, text, tone(record, True))


def usual(record: Record, everything: bool = False) -> News | None:
    """Return what is logged of a record without a report; None for nothing. `everything`: at level debug."""
    if EVENTS[record["event"]].usual or _is_outcome(record):
        return News(record, _line(record), "plain")
    return News(record, _line(record), "faint") if everything else None


def _is_outcome(record: Record) -> bool:
    """Return whether it is the outcome of a command; those of a start and a stop are logged elsewhere."""
    return record.get("stage") in ("done", "failed") and record["what"] not in ("start", "stop")


def _line(record: Record) -> str:
    """Return a record as one line, without the application's report."""
    text = sentence(record).partition("\n")[0]
    return f"{record.get('slot') or 'prefork'}: {text}"
