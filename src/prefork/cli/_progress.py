"""The progress of a command: a line for each slot, and on a terminal a bar below them.

It is written to standard error, so that standard output has the outcome and nothing else.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

import click

from .._wire.printable import printable
from ..client import Event
from ._words import with_user_names

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_MANY = 50
"""With more slots than this a terminal shows the bar only."""

_CLEAR = "\r\033[K"


class Progress:
    """Receives each event while the command is executed."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._last: dict[str, Event] = {}
        self._total = 0
        self._bar: _Bar | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = _Bar(self._what)
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, event: Event) -> None:
        """Show what an event changes."""
        match event["event"]:
            case "mold_started":
                self._step(f"importing generation {event['generation']}")
            case "planned":
                self._step(f"generation {event['generation']} is planned")
            case "ready":
                self._last[event["slot"]] = event
            case "ended":  # If the slot's new worker was ready before, its line stays.
                self._last.setdefault(event["slot"], event)
            case "change" if event["stage"] == "planning" and event["what"] == self._what and event.get("text"):
                self._step(event["text"])
            case "change" if event["stage"] == "rolling" and event["what"] == self._what:
                self._total = event["left"]
                if self._bar is not None:
                    self._bar.begin(self._total)
            case "change" if event["stage"] == "settled" and event["what"] == self._what:
                self._settled(event["slot"], event["left"])

    def _step(self, text: str) -> None:
        if self._bar is not None:
            self._bar.step(text)
        else:
            print(f"{self._what}: {text}", file=sys.stderr, flush=True)

    def _settled(self, key: str, left: int) -> None:
        done = max(0, self._total - left)
        text = f"{key}  {_result(self._last.get(key))}"
        if self._bar is not None:
            self._bar.settled(text if self._total <= _MANY else "", done)
        else:
            print(f"{text}  ({done} of {self._total})", file=sys.stderr, flush=True)


def _result(event: Event | None) -> str:
    if event is None:
        return "done"
    if event["event"] == "ready":
        return f"ready after {event['after']:.2g} s (pid {event['pid']}, generation {event['generation']})"
    return printable(with_user_names(str(event["reason"])))


class _Bar:
    """The last line of a terminal. click's bar and not rich's: rich is not needed to install or to import for it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: ProgressBar[int] | None = None

    def begin(self, total: int) -> None:
        """Show a bar for this number of slots."""
        click.echo(_CLEAR, nl=False, err=True)
        self._bar = click.progressbar(length=total, label=self._what, file=sys.stderr, show_eta=False, show_pos=True)
        self._bar.render_progress()

    def step(self, text: str) -> None:
        """Show the present step, until the next one or the bar takes its line."""
        if self._bar is None:
            click.echo(f"{_CLEAR}{self._what}: {text}", nl=False, err=True)

    def settled(self, text: str, done: int) -> None:
        """Print the line of a slot above the bar, and move the bar on."""
        if text:
            click.echo(f"{_CLEAR}{text}", err=True)
        if self._bar is not None:
            self._bar.update(done - self._bar.pos)

    def close(self) -> None:
        """End the line: a bar stays as it is, a step is cleared."""
        if self._bar is not None:
            self._bar.render_finish()
        else:
            click.echo(_CLEAR, nl=False, err=True)
