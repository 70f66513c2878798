"""Crash reports: a JSON file for each worker that did not exit with 0.

The master writes one report in a turn of its loop, and skips those that it would remove at once: many workers that end
together do not delay it.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..._records.record import record
from ..._wire.places import CRASHES, numbers_in

if TYPE_CHECKING:
    from ..._core.events import ProcessExit
    from ..identity.lock import Lock
    from ..loop import Master

KEPT = 20
"""Number of reports that are kept."""

_LONGEST = 64 * 1024
"""Characters of one text in a report, at most."""


@record
class Crash:
    """A worker that has crashed, what it was doing, and the last lines that it wrote, if output is captured."""

    slot: str
    generation: int
    reason: str
    doing: str
    output: list[str]


class Crashes:
    """The crash reports of one daemon, in their directory."""

    def __init__(self, master: Master, runtime: Lock) -> None:
        self._master = master
        self._runtime = runtime
        self._notes: dict[int, dict[str, str]] = {}
        self._queue: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._due = False
        self._numbers = sorted(numbers_in(self._directory()))
        self._next = self._numbers[-1] + 1 if self._numbers else 1

    def _directory(self) -> str:
        return f"{self._runtime.path}/{CRASHES}"

    def close(self) -> None:
        """Write the reports that are still queued."""
        while self._queue:
            self._write()

    def note(self, pid: int, what: str, text: str) -> None:
        """Keep a text for the crash report of this process: `hang`, or `failure` (its traceback)."""
        self._notes.setdefault(pid, {})[what] = text[:_LONGEST]

    def ended(self, end: ProcessExit, crash: Crash | None) -> None:
        """Queue a report if the process that ended crashed."""
        notes = self._notes.pop(end.pid, {})
        if crash is None:
            return
        user, system, memory = end.usage or (None, None, None)
        self._queue.append(
            {
                "number": self._next,
                "time": round(time.time(), 3),
                "slot": crash.slot,
                "pid": end.pid,
                "generation": crash.generation,
                "status": end.status,
                "reason": crash.reason,
                "doing": crash.doing,
                "usage": {"user": user, "system": system, "memory": memory},
                "output": crash.output,
                "failure": notes.get("failure", ""),
                "hang": notes.get("hang", ""),
            }
        )
        self._next += 1
        self._schedule()

    def _schedule(self) -> None:
        if self._queue and not self._due:
            self._due = True
            self._master.later(0, self._write_one)

    def _write_one(self) -> None:
        self._due = False
        if self._queue:
            self._write()
            self._schedule()

    def _write(self) -> None:
        report, directory = self._queue.popleft(), self._directory()
        number = report["number"]
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            path = f"{directory}/{number}.json"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            # Renamed once complete, so that no client reads half a report.
            with open(os.open(f"{path}.new", flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(report, file)
            os.rename(f"{path}.new", path)
            self._numbers.append(number)
            while len(self._numbers) > KEPT:
                with suppress(FileNotFoundError):  # A sweeper was here.
                    os.unlink(f"{directory}/{self._numbers.pop(0)}.json")
        except OSError as error:
            self._master.relay.log(f"{report['slot']}: crash report not written: {error}")
