"""Crash reports: of each worker that did not end as it should, one JSON file in the runtime directory.

They are written one in a turn of the loop, and those that would be removed at once are not written at all: many that
end together delay nobody.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._wire.places import CRASHES, numbers_in

if TYPE_CHECKING:
    from ..._core.events import ProcessExit
    from ..loop import Master

KEPT = 20
"""So many reports are kept."""

_LONGEST = 64 * 1024
"""Characters of one text in a report."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A worker that has ended: who it was, what it was doing, and what it wrote last where that is captured."""

    slot: str
    generation: int
    reason: str
    doing: str
    output: list[str]


class Crashes:
    """The reports of one daemon, in a directory of theirs."""

    def __init__(self, master: Master, runtime: str) -> None:
        self._master = master
        self._directory = f"{runtime}/{CRASHES}"
        self._notes: dict[int, dict[str, str]] = {}
        self._waiting: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._due = False
        self._numbers = sorted(numbers_in(self._directory))
        self._next = self._numbers[-1] + 1 if self._numbers else 1

    def close(self) -> None:
        """Write what has not been written."""
        while self._waiting:
            self._write()

    def note(self, pid: int, what: str, text: str) -> None:
        """Keep what is to be in the report of this process, should it crash: `hang`, or `failure`, its own words."""
        self._notes.setdefault(pid, {})[what] = text[:_LONGEST]

    def ended(self, end: ProcessExit, crash: Crash | None) -> None:
        """A process has ended; a report is made of a `crash`."""
        notes = self._notes.pop(end.pid, {})
        if crash is None:
            return
        user, system, memory = end.usage or (None, None, None)
        self._waiting.append(
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
        self._later()

    def _later(self) -> None:
        if self._waiting and not self._due:
            self._due = True
            self._master.later(0, self._turn)

    def _turn(self) -> None:
        self._due = False
        if self._waiting:
            self._write()
            self._later()

    def _write(self) -> None:
        report = self._waiting.popleft()
        number = report["number"]
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            path = f"{self._directory}/{number}.json"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            # Under another name first, so that nobody reads half of it.
            with open(os.open(f"{path}.new", flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(report, file)
            os.rename(f"{path}.new", path)
            self._numbers.append(number)
            while len(self._numbers) > KEPT:
                os.unlink(f"{self._directory}/{self._numbers.pop(0)}.json")
        except OSError as error:
            self._master.relay.say(f"prefork: the crash report of {report['slot']} could not be written: {error}")
