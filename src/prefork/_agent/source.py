"""What the agent knows of its daemon, for all that it serves: read when it is asked for, and not otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

from .._errors import PreforkError
from .._linux.figures import process as figures
from ..client import Client, Event
from ..scoreboard import Board, Reading, open_scoreboard

T = TypeVar("T")

FRESH = 0.1
"""Seconds for which what was read is returned again, so that many scrapes cost the daemon what one costs."""


class Usage(NamedTuple):
    """Processor time in seconds; private and shared memory in bytes. None where it cannot be read."""

    cpu: float | None
    private: int | None
    shared: int | None


class Source:
    """The daemon as the agent sees it. For any thread; every error is a PreforkError, and the next call tries again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._board: Board | None = None
        self._reading = _Brief(self._read)
        self._status = _Brief(client.status)
        self._processes = _Brief(self._measure)

    def reading(self) -> Reading:
        """Return the counters of all workers, at most `FRESH` seconds old."""
        return self._reading.value()

    def status(self) -> dict[str, Any]:
        """Return the daemon's state (docs/control.md), at most `FRESH` seconds old."""
        return self._status.value()

    def processes(self) -> dict[int, Usage]:
        """Return what each process of the daemon uses, by pid, at most `FRESH` seconds old."""
        return self._processes.value()

    def events(self, follow: bool = False) -> Iterator[Event]:
        """Yield the recent events, and with `follow` each new one, over a connection of its own."""
        return self._client.events(follow)

    def _read(self) -> Reading:
        if self._board is None:
            self._board = open_scoreboard(self._client)
        return self._board.read()

    def _measure(self) -> dict[int, Usage]:
        status = self.status()
        found = [status, *status["molds"], *status["slots"]]
        found += [old for slot in status["slots"] for old in slot["leaving"]]
        return {each["pid"]: _usage(each["pid"]) for each in found if each["pid"]}


def _usage(pid: int) -> Usage:
    memory = figures.memory(pid) or {}
    return Usage(figures.cpu(pid), memory.get("private"), memory.get("shared"))


class _Brief(Generic[T]):
    """A value that is made for one caller at a time, and kept for a moment."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = Lock()
        self._kept: tuple[float, T | PreforkError] | None = None

    def value(self) -> T:
        """Return the value. Raises what making it raises, for a moment without another try."""
        with self._lock:
            if self._kept is None or monotonic() - self._kept[0] >= FRESH:
                made: T | PreforkError
                try:
                    made = self._make()
                except PreforkError as error:
                    made = error
                self._kept = monotonic(), made
            found = self._kept[1]
        if isinstance(found, PreforkError):
            raise found
        return found
