"""Folding: what repeats is logged once in a while, with its count.

The first few of a kind are said as they are. Then they are counted, and each `WINDOW` in which there were any ends with
one line. When a window has passed without one, the next is said as it is again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .sentences import EVENTS

BURST = 5
"""How many of a kind are said as they are."""

WINDOW = 10.0
"""Seconds that are told of in one line."""

_WORDS = 8
"""How many different reports of the application are said in one run, however often each of them comes."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """How often something happened: to one slot, or to several of a kind. `last` is what was said of it last.

    `backing_off`: some of it was not tried again at once.
    """

    event: str
    kind: str
    slots: tuple[str, ...]
    count: int
    seconds: float
    last: str
    backing_off: bool

    @property
    def text(self) -> str:
        """Return it as a line."""
        often = f"{EVENTS[self.event].verb} {_times(self.count)} in {self.seconds:.0f} s"
        if self.backing_off:
            often += " (backing off)"
        if not self.slots:
            return f"prefork: {often}; last: {self.last}"
        who = self.slots[0] if len(self.slots) == 1 else f"{self.kind}: {len(self.slots)} workers"
        return f"{who}{':' if len(self.slots) == 1 else ''} {often}; last: {self.last}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


@dataclass(slots=True)
class _Run:
    since: float
    room: int  # so many more are said as they are
    count: int = 0
    held: int = 0  # of them were not said
    slots: dict[str, None] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    last: str = ""
    backing_off: bool = False


class Folding:
    """Decides what is said and what is counted."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], _Run] = {}

    def says(self, event: str, slot: str, text: str, backs_off: bool, now: float) -> bool:
        """Take note of something; tell whether to say it. `due` has to be asked first."""
        first, _, words = text.partition("\n")
        key = event, slot.partition("/")[0]
        run = self._runs.get(key)
        if run is None or now >= run.since + WINDOW:
            run = self._runs[key] = _Run(now, BURST)
        run.count += 1
        run.last = first
        run.backing_off |= backs_off
        if slot:
            run.slots[slot] = None
        news = bool(words) and words not in run.words and len(run.words) < _WORDS
        if news:
            run.words.add(words)
        if news or run.room > 0:
            run.room -= 1
            return True
        run.held += 1
        return False

    def due(self, now: float, at_once: bool = False) -> list[Repeated]:
        """Return what is to be said now of what was counted; `at_once`, all of it."""
        told = []
        for (event, kind), run in list(self._runs.items()):
            over = now >= run.since + WINDOW
            if run.held and (over or at_once):
                seconds = now - run.since
                told.append(Repeated(event, kind, tuple(run.slots), run.count, seconds, run.last, run.backing_off))
                self._runs[event, kind] = _Run(now, 0, words=run.words)
            elif over:
                del self._runs[event, kind]
        return told

    def next_deadline(self) -> float | None:
        """When `due` has something to tell; None while nothing was counted."""
        return min((run.since + WINDOW for run in self._runs.values() if run.held), default=None)
