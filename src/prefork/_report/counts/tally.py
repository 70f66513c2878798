"""The tally: how often workers ended, by cause, how often they hung, and how changes went.

It is made of the journal's records, in their order, and never forgets: the journal keeps the last records only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._core.commands import COMMANDS
from ..._records.members import asdict, field
from ..._records.record import mutable

Record = Mapping[str, Any]
Counts = dict[str, dict[str, int]]

CAUSES = (
    *("crash", "out_of_memory", "hang", "start", "exit"),
    *("recycled", "reload", "replan", "restart", "scale", "rollback", "stop"),
)
"""The causes of a worker's end (docs/control.md): first those that no command has asked for."""

_SIGNALS = {"HUP": "reload", "TTIN": "scale", "TTOU": "scale"}
# A hook replaces workers when its daemon reloads.
_OTHERS = {"back": "rollback", "worn": "recycled", "replaced": "reload"}
_WITHDRAWN = ("rolled back", "superseded")
_READY = ""


def cause_of(why: str) -> str:
    """Return the cause that the reason of a drain names: `reload requested by uid 0 (pid 7)` -> `reload`."""
    first, _, rest = why.partition(" ")
    if why.endswith(_WITHDRAWN):
        return "rollback"
    if first == "signal":
        return _SIGNALS.get(rest, "stop")
    return _OTHERS.get(first) or (first if first in COMMANDS else "stop")


@mutable
class Outcomes:
    """How changes of one sort ended; of the last one, its `outcome`, its end (since 1970) and how long it took."""

    done: int = 0
    failed: int = 0
    outcome: str = ""
    time: float = 0.0
    seconds: float = 0.0


@mutable
class Tally:
    """Counts by pool (the kind of the workers), since the master started.

    `ends`: by cause. `cut`: workers killed since they still drained after their `drain_timeout`. `hung`, `stuck`: by
    verdict. `starved`: how often a worker made no progress while it waited for a processor.
    """

    ends: Counts = field(default_factory=dict)
    hung: Counts = field(default_factory=dict)
    stuck: Counts = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    starved: dict[str, int] = field(default_factory=dict)
    changes: dict[str, Outcomes] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    causes: dict[int, str] = field(default_factory=dict)  # by pid, of those that were ready: why it is to end

    def note(self, record: Record) -> None:
        """Count one record."""
        pool = record.get("slot", "").partition("/")[0]
        match record["event"]:
            case "ready":
                self.causes.setdefault(record["pid"], _READY)
            case "draining":
                self.causes[record["pid"]] = cause_of(record["why"])
            case "killing":
                self._killing(pool, record["pid"], record["why"])
            case "ended":
                self._ended(pool, record)
            case "spawn_failed":
                _add(self.ends.setdefault(pool, {}), "start")
            case "hung":
                _add(self.hung.setdefault(pool, {}), record["verdict"])
            case "stuck":
                _add(self.stuck.setdefault(pool, {}), record["verdict"])
            case "starved":
                _add(self.starved, pool)
            case "change":
                self._change(record["what"], record["stage"], record["time"])

    def view(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        counts = asdict(self)
        del counts["begun"], counts["causes"]
        return counts

    def _killing(self, pool: str, pid: int, why: str) -> None:
        if why.startswith("hung"):
            self.causes[pid] = "hang"
        elif why.startswith("still draining"):
            _add(self.cut, pool)

    def _ended(self, pool: str, record: Record) -> None:
        cause = self.causes.pop(record["pid"], "start")
        if "out of memory" in record["reason"]:
            cause = "out_of_memory"
        elif cause == _READY:
            cause = "crash" if record["status"] else "exit"
        _add(self.ends.setdefault(pool, {}), cause)

    def _change(self, what: str, stage: str, time: float) -> None:
        if stage not in ("done", "failed"):
            self.begun.setdefault(what, time)
        elif what != "preview":
            outcomes = self.changes.setdefault(what, Outcomes())
            setattr(outcomes, stage, getattr(outcomes, stage) + 1)
            begun = self.begun.pop(what, time)
            outcomes.outcome, outcomes.time, outcomes.seconds = stage, time, round(time - begun, 3)


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
