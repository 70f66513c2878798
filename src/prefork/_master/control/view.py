"""What clients read over the control socket, made in short pieces.

The loop goes on between two pieces, so a status is no snapshot: each slot is as it was when its piece was made. Dates
are in seconds since 1970.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from time import time as date
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..._records.record import record
from ..._wire.places import PROTOCOL

if TYPE_CHECKING:
    from ..._report.journal import Journal

_PIECE = 20
"""Slots, or events, in one piece."""

_PYTHON = ".".join(map(str, sys.version_info[:3]))

_DATES = ("since", "retry_at", "begun", "until")


class Served(Protocol):
    """How many of the `wanted` slots are served by a ready worker."""

    @property
    def ready(self) -> int:
        """Slots with one."""

    @property
    def wanted(self) -> int:
        """All slots."""

    @property
    def stopping(self) -> bool:
        """Whether the daemon is stopping."""


class Seen(Protocol):
    """What decides about slots, as plain data: see `_core.view` for the members. Times are of the events' clock."""

    def overview(self) -> dict[str, Any]:
        """Return all but the slots."""

    def keys(self) -> list[str]:
        """Return the keys of all slots."""

    def slots(self, keys: Sequence[str], now: float) -> list[dict[str, Any]]:
        """Return these slots, as far as they exist."""

    def health(self) -> Served:
        """Return how many slots are served."""


class Refused(Exception):
    """A request that this daemon cannot answer; the text says why, and what to use instead."""


def _no_profile(_which: str, _seconds: float, _rate: int, _idle: bool) -> int:
    raise Refused("a program with hooks takes no profiles: use `py-spy record --pid PID`")


@record
class Origin:
    """Where a daemon was started, what it runs as it was typed, and which interface its program uses.

    A command without a name is for the daemon of its own directory. `journal`: a service manager's has the log.
    """

    directory: str | None
    target: str
    model: Literal["daemon", "hooks"] = "daemon"
    journal: bool = False


@record
class Means:
    """What the executor knows, and what it does for clients.

    `molds` returns their pids by generation, `addresses` those of the listeners by name, `scoreboard` a descriptor to
    read from, and to close. `stacks` is called with the number of a command, a slot (empty: all) and whether to use
    force; the outcome is a `Reply`. `profile` takes a slot or a pool, seconds, samples a second, and whether waiting
    threads count; it returns a descriptor to read the profile from. All but the first two may raise `Refused`.
    """

    molds: Callable[[], dict[int, int]]
    scoreboard: Callable[[], int]
    stacks: Callable[[int, str, bool], object]
    addresses: Callable[[], dict[str, str]]
    profile: Callable[[str, float, int, bool], int] = _no_profile


@record
class DaemonView:
    """A daemon's state, its journal, and the means of its executor."""

    supervisor: Seen
    journal: Journal
    means: Means
    origin: Origin
    started: float

    def hello(self) -> dict[str, Any]:
        """Return the reply to `hello`."""
        health = self.supervisor.health()
        return {
            "ok": True, "protocol": PROTOCOL, "name": self.supervisor.overview()["name"], **self._about(),
            "ready": health.ready, "wanted": health.wanted, "stopping": health.stopping,
            "journal": self.origin.journal,
        }  # fmt: skip

    def _about(self) -> dict[str, Any]:
        origin, started = self.origin, round(self.started, 3)
        return {
            "pid": os.getpid(), "started": started,
            "directory": origin.directory, "target": origin.target, "model": origin.model,
        }  # fmt: skip

    def status(self) -> Iterator[bytes]:
        """Make the reply to `status`."""
        supervisor, molds, addresses = self.supervisor, self.means.molds(), self.means.addresses()
        seen, tally = supervisor.overview(), self.journal.tally.view()
        for listener in seen["listeners"]:
            listener["address"] = addresses.get(listener["name"], listener["address"])
        for mold in seen["molds"]:
            mold["pid"] = molds.get(mold["generation"])
            _dated(mold)
        _dated((seen["change"] or {}).get("bake") or {})
        head = {"name": seen.pop("name"), **self._about(), "time": _now(), "python": _PYTHON}
        yield encoded({"ok": True, "status": {**head, **seen, "counts": tally, "slots": []}})[: -len(b"]}}\n")]
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
