"""Folding: repeated log lines of one event and kind become one line with their number.

The first few lines, usually `BURST`, are logged. Then they are counted, and each `WINDOW` with any ends with one line.
After a window without one, the next is logged again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .._records.members import field
from .._records.record import mutable, record
from .sentences import EVENTS

BURST = 5
"""Lines that are logged before counting begins."""

WINDOW = 10.0
"""Seconds that one line sums up."""

_WORDS = 8
"""Different reports of the application that are logged in one run, beyond the burst; kinds of commands in a line."""


@record
class Repeated:
    """The number of repeated events of one slot, or of several of a kind. `last`: the last line.

    `event`: one of `EVENTS`, or else its own verb. `backing_off`: some slot was not restarted at once. `named`: the
    request that most workers had, or the commands with their users.
    """

    event: str
    kind: str
    slots: tuple[str, ...]
    count: int
    seconds: float
    last: str
    backing_off: bool
    named: str = ""

    @property
    def text(self) -> str:
        """Return it as a line."""
        verb = EVENTS[self.event].verb if self.event in EVENTS else self.event
        often = f"{verb} {_times(self.count)} in {self.seconds:.0f} s"
        if self.backing_off:
            often += " (backing off)"
        if self.named:
            often += f" ({self.named})"
        if not self.slots:
            return f"prefork: {often}; last: {self.last}"
        subject = f"{self.slots[0]}:" if len(self.slots) == 1 else f"{self.kind}: {len(self.slots)} workers"
        return f"{subject} {often}; last: {self.last}"


def blamed(requests: Iterable[str], crashes: int) -> str:
    """Return the request that most workers had when they ended: `GET /crash: 14 of 15 crashes`; empty for none."""
    label, count = next(iter(Counter(filter(None, requests)).most_common(1)), ("", 0))
    return f"{label}: {count} of {crashes} crashes" if count > 1 and 2 * count >= crashes else ""


def asked(commands: Iterable[str]) -> str:
    """Return commands, each as `scale by uid 0 (pid 7)`, by kind and user, with the process of the last of each."""
    found: dict[str, list[str]] = {}
    for command in commands:
        found.setdefault(command.partition(" (pid ")[0], []).append(command)
    texts = []
    for same in list(found.values())[:_WORDS]:
        what, _, by = same[-1].partition(" by ")
        texts.append(f"{what} {_times(len(same))}{', last' if len(same) > 1 else ''} by {by}")
    return "; ".join([*texts, *([f"and {len(found) - _WORDS} more"] if len(found) > _WORDS else [])])


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


@mutable
class _Run:
    since: float
    room: int  # lines that may still be logged
    count: int = 0
    held: int = 0  # of `count`, not logged
    slots: dict[str, None] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    last: str = ""
    backing_off: bool = False
    due_to: list[str] = field(default_factory=list)  # as `attribute` was told


class Folding:
    """Decides which lines are logged and which are only counted, from the line after `burst` lines on."""

    def __init__(self, burst: int = BURST) -> None:
        self._burst = burst
        self._runs: dict[tuple[str, str], _Run] = {}

    def passes(self, event: str, slot: str, text: str, backs_off: bool, now: float) -> bool:
        """Count a line; return whether to log it. Call `due` first."""
        first, _, words = text.partition("\n")
        key = event, slot.partition("/")[0]
        run = self._runs.get(key)
        if run is None or now >= run.since + WINDOW:
            run = self._runs[key] = _Run(now, self._burst)
        run.count += 1
        run.last = first
        run.backing_off |= backs_off
        if slot:
            run.slots[slot] = None
        new = bool(words) and words not in run.words and len(run.words) < _WORDS
        if new:
            run.words.add(words)
        if new or run.room > 0:
            run.room -= 1
            return True
        run.held += 1
        return False

    def attribute(self, event: str, slot: str, to: str) -> None:
        """Note what a line is due to, after `passes`: the request of a worker that ended, or a command and its user."""
        self._runs[event, slot.partition("/")[0]].due_to.append(to)

    def due(self, now: float, at_once: bool = False) -> list[Repeated]:
        """Return what was counted, once its window is over; `at_once`: all of it now."""
        repeated = []
        for (event, kind), run in list(self._runs.items()):
            over = now >= run.since + WINDOW
            if run.held and (over or at_once):
                seconds = now - run.since
                facts = (tuple(run.slots), run.count, seconds, run.last, run.backing_off)
                named = asked(run.due_to) if event == "command" else blamed(run.due_to, run.count)
                repeated.append(Repeated(event, kind, *facts, named))
                self._runs[event, kind] = _Run(now, 0, words=run.words)
            elif over:
                del self._runs[event, kind]
        return repeated

    def next_deadline(self) -> float | None:
        """Return when `due` has something to return; None if nothing was counted."""
        return min((run.since + WINDOW for run in self._runs.values() if run.held), default=None)
