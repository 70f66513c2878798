"""What the agent knows of its daemon, for all that it serves: read when it is asked for, and not otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .._linux.figures import process as figures
from ..client import Client, Event, Status
from ..scoreboard import Board, Reading, open_scoreboard
from .brief import Brief

_REST = 100.0
"""Seconds between two walks over the memory of all processes, for each second that one takes."""


class Usage(NamedTuple):
    """Processor time in seconds; private and shared memory in bytes; seconds of the main thread's wait for a processor.

    None where it cannot be read.
    """

    cpu: float | None
    private: int | None
    shared: int | None
    waited: float | None = None


class Source:
    """The daemon as the agent sees it. For any thread; every error is a PreforkError, and the next call tries again.

    `directory` is the daemon's runtime directory; None if the agent has another user than the master. `Client` commands
    the daemon by it, and the agent may write there.
    """

    def __init__(self, client: Client, directory: str | None = None) -> None:
        self.directory = directory
        self._client = client
        self._board: Board | None = None
        self._reading = Brief(self._read)
        self._status = Brief(client.status)
        self._processes = Brief(self._measure)
        self._memory = Brief(self._memories, rest=_REST)

    def reading(self) -> Reading:
        """Return the counters of all workers, at most a moment old (`brief.FRESH`)."""
        return self._reading.value()

    def status(self) -> Status:
        """Return the daemon's state (docs/control.md), at most a moment old (`brief.FRESH`)."""
        return self._status.value()

    def processes(self) -> dict[int, Usage]:
        """Return what each process of the daemon uses, by pid.

        Processor time is at most a moment old. Memory is older where there is much of it: the kernel walks over all
        pages for it, a hundredth of the time at most.
        """
        return self._processes.value()

    def events(self, follow: bool = False) -> Iterator[Event]:
        """Yield the recent events, and with `follow` each new one, over a connection of its own."""
        return self._client.events(follow)

    def _read(self) -> Reading:
        if self._board is None:
            self._board = open_scoreboard(self._client)
        return self._board.read()

    def _measure(self) -> dict[int, Usage]:
        memories = self._memory.value()
        nothing = None, None
        return {pid: Usage(figures.cpu(pid), *memories.get(pid, nothing), figures.waited(pid)) for pid in self._pids()}

    def _memories(self) -> dict[int, tuple[int | None, int | None]]:
        found = {pid: figures.memory(pid) or {} for pid in self._pids()}
        return {pid: (memory.get("private"), memory.get("shared")) for pid, memory in found.items()}

    def _pids(self) -> list[int]:
        status = self.status()
        found = [status, *status["molds"], *status["slots"]]
        found += [old for slot in status["slots"] for old in slot["leaving"]]
        return [each["pid"] for each in found if each["pid"]]
