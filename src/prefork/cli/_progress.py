"""How a command that takes its time is getting on: a bar and a line for each slot on a terminal, else the lines alone.

It goes to standard error, so that standard output has the outcome and nothing else.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..client import Event
from ._words import with_user_names

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_MANY = 50
"""With more slots than this a terminal shows the bar only."""


class Watched:
    """Told each event while the command is under way."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last: dict[str, Event] = {}
        self._total = 0
        self._bar: _Bar | None = None

    def __enter__(self) -> Watched:
        if sys.stderr.isatty():
            self._bar = _Bar(self._what)
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def each(self, event: Event) -> None:
        """Take note of an event."""
        match event["event"]:
            case "mold started":
                self._now(f"importing generation {event['generation']}")
            case "planned":
                self._now(f"generation {event['generation']} is planned")
            case "ready":
                self._last[event["slot"]] = event
            case "ended":  # Of a slot that had a new worker before, that one is told of.
                self._last.setdefault(event["slot"], event)
            case "change" if event["stage"] == "rolling" and event["what"] == self._what:
                self._total = event["left"]
                if self._bar is not None:
                    self._bar.begin(self._total)
            case "change" if event["stage"] == "settled" and event["what"] == self._what:
                self._settled(event["key"], event["left"])

    def _now(self, text: str) -> None:
        if self._bar is not None:
            self._bar.say(text)
        else:
            print(f"{self._what}: {text}", file=sys.stderr, flush=True)

    def _settled(self, key: str, left: int) -> None:
        done = max(0, self._total - left)
        text = f"{key}  {_last_word(self._last.get(key))}"
        if self._bar is not None:
            self._bar.settled(text, done, show=self._total <= _MANY)
        else:
            print(f"{text}  ({done} of {self._total})", file=sys.stderr, flush=True)


def _last_word(event: Event | None) -> str:
    if event is None:
        return "done"
    if event["event"] == "ready":
        return f"ready after {event['after']:.2g} s: pid {event['pid']}, generation {event['generation']}"
    return with_user_names(str(event["reason"]))


class _Bar:
    """One line at the bottom of a terminal that is drawn again and again, and what is printed above it."""

    def __init__(self, what: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console: Console = Console(stderr=True, highlight=False, markup=False)
        columns: tuple[Any, ...] = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._progress: Progress = Progress(*columns, console=self._console, transient=True)
        self._what = what
        self._task: TaskID = self._progress.add_task(what, total=None)
        self._progress.start()

    def begin(self, total: int) -> None:
        """So many slots are on their way."""
        self._progress.update(self._task, description=self._what, total=total, completed=0)

    def say(self, text: str) -> None:
        """Show what is being done now."""
        self._progress.update(self._task, description=f"{self._what}: {text}")

    def settled(self, text: str, done: int, show: bool) -> None:
        """One more slot is as it was wished."""
        if show:
            self._console.print(text)
        self._progress.update(self._task, completed=done)

    def close(self) -> None:
        """Take the bar away; what was printed above it stays."""
        self._progress.stop()
