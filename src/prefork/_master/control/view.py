"""What clients read over the control socket, made in short pieces.

The loop goes on between two pieces, so a status is no snapshot: each slot is as it was when its piece was made. Dates
are in seconds since 1970.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from time import time as date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..._core.supervisor import Supervisor
    from ..._report.journal import Journal

_PIECE = 20
"""Slots, or events, in one piece."""

_PYTHON = ".".join(map(str, sys.version_info[:3]))

_DATES = ("since", "retry_at")


@dataclass(frozen=True, slots=True)
class DaemonView:
    """A daemon's state, its journal, and what the executor knows.

    `molds` returns their pids by generation, `scoreboard` a descriptor to read from, and to close. `stacks` is called
    with the number of a command, a slot (empty: all) and whether to use force; the outcome is a `Reply`.
    """

    supervisor: Supervisor
    journal: Journal
    molds: Callable[[], dict[int, int]]
    scoreboard: Callable[[], int]
    stacks: Callable[[int, str, bool], object]
    started: float

    def status(self) -> Iterator[bytes]:
        """Make the reply to `status`."""
        supervisor, molds = self.supervisor, self.molds()
        seen = supervisor.overview()
        for mold in seen["molds"]:
            mold["pid"] = molds.get(mold["generation"])
            _dated(mold)
        head = {"name": seen.pop("name"), "pid": os.getpid(), "started": round(self.started, 3), "time": _now()}
        head["python"] = _PYTHON
        yield encoded({"ok": True, "status": {**head, **seen, "slots": []}})[: -len(b"]}}\n")]
        keys, comma = supervisor.keys(), b""
        for first in range(0, len(keys), _PIECE):
            slots = supervisor.slots(keys[first : first + _PIECE], monotonic())
            if slots:
                yield comma + json.dumps([_slot(slot) for slot in slots], separators=(",", ":"))[1:-1].encode()
                comma = b","
        yield b"]}}\n"

    def history(self) -> Iterator[bytes]:
        """Make the reply to `events`: all that is remembered, up to this moment when the last piece has been taken."""
        yield encoded({"ok": True})
        lines, place = self.journal.lines(0, _PIECE)
        while lines:
            yield "".join(f"{line}\n" for line in lines).encode()
            lines, place = self.journal.lines(place, _PIECE)

    def slot(self, key: str) -> dict[str, Any]:
        """Return the reply to `explain`."""
        slots = self.supervisor.slots([key], monotonic())
        events = self.journal.about(key)
        if not slots and not events:
            return {"ok": False, "error": "failed", "text": f"there is no slot {key}"}
        return {"ok": True, "time": _now(), "slot": _slot(slots[0]) if slots else None, "events": events}

    def name(self) -> str:
        """Return the daemon's name."""
        return str(self.supervisor.overview()["name"])


def encoded(message: dict[str, Any]) -> bytes:
    """Return a message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _slot(slot: dict[str, Any]) -> dict[str, Any]:
    for leaving in slot["leaving"]:
        _dated(leaving)
    _dated(slot)
    return slot


def _dated(view: dict[str, Any]) -> None:
    """Put dates in place of the loop's own time."""
    shift = date() - monotonic()
    for name in _DATES:
        if view.get(name) is not None:
            view[name] = round(view[name] + shift, 3)


def _now() -> float:
    return round(date(), 3)
