"""What all watchers of the page share: a reading each second, a thread that follows the events, a status after them.

Without a watcher there is no task and no timer. While the daemon has no events, nothing is requested from its master.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..._errors import PreforkError
from ..._linux import proc_stat
from ..._report.sentences import Record
from ...client import Status
from ...scoreboard import Reading
from ..brief import FRESH
from ..source import Source, Usage
from . import rows
from .figures import Figures
from .follower import EVERY, Follower
from .history import SHOWN, History
from .service import service
from .usage import UsageReader
from .verdict import verdict

MOST_WATCHERS = 32
"""Pages that may watch at the same time; a further one gets a 503."""

MOST_WAITING = 64
"""Messages that wait for a watcher; one that is further behind is cut off, and connects again."""

SETTLED = 1.5
"""Seconds after the last event until the last request of the status, for what changes without an event."""

_Measured = tuple[Reading, Mapping[int, Usage]]

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

_OVERVIEW = ("generation", "stopping", "change", "queue", "pools")


class Watcher:
    """One open page: the messages that wait for it. `lost`: it has fallen too far behind."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self.lost = asyncio.Event()

    def put(self, message: bytes) -> None:
        """Add a message, or cut the watcher off."""
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.lost.set()


class Hub:
    """The watchers, and what they have been sent: each gets the whole state first, then what changes."""

    def __init__(self, source: Source, steer: bool = False) -> None:
        self.history = History(source.directory is not None)
        self._source = source
        self._steer = steer
        self._watchers: set[Watcher] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._figures = Figures()
        self._usage = UsageReader()
        self._status: Status | None = None
        self._trouble = ""
        self._sections: dict[str, Any] = {}  # as they were sent, and so are the rows:
        self._slots: rows.Rows = {}
        self._live: rows.Rows = {}
        self._stirred = asyncio.Event()
        self._follower = Follower(source, self._arrived, self._stirred.set)

    def enter(self) -> Watcher | None:
        """Return a new watcher; None if there are too many."""
        if len(self._watchers) >= MOST_WATCHERS:
            return None
        watcher = Watcher()
        if self._tasks and self._status is not None:
            watcher.put(self._message(self._whole()))
        self._watchers.add(watcher)
        if not self._tasks:
            self._begin()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher; the last one ends all tasks."""
        self._watchers.discard(watcher)
        if not self._watchers:
            self._follower.rest()
            for task in self._tasks:
                task.cancel()
            self._tasks = []

    def _begin(self) -> None:
        self._status, self._trouble = None, ""
        self._figures.begin()
        self._stirred.set()
        self._follower.follow()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._ask())]

    async def _read(self) -> None:
        """Read the scoreboard once a second, and send something also while that waits for the master."""
        loop = asyncio.get_running_loop()
        measuring: asyncio.Task[_Measured] | None = None
        while True:
            began = loop.time()
            measuring = measuring or asyncio.create_task(asyncio.to_thread(self._measure))
            await asyncio.wait([measuring], timeout=EVERY)
            points = []
            if measuring.done():
                points, measuring = self._points(measuring), None
            self._send(always=True, points=points)
            await asyncio.sleep(max(EVERY / 2, began + EVERY - loop.time()))

    def _points(self, measured: asyncio.Task[_Measured]) -> list[Any]:
        try:
            reading, used = measured.result()
        except PreforkError as error:
            self._trouble = self._trouble or f"the counters of the workers cannot be read: {error}"
            return []
        return [self._figures.add(service(reading, self._auxiliary()), used, time.time())]

    def _auxiliary(self) -> set[str]:
        slots = self._status["slots"] if self._status else ()
        return {slot["key"] for slot in slots if slot["auxiliary"]}

    def _measure(self) -> _Measured:
        reading = self._source.reading()
        return reading, self._usage.read([process.pid for process in reading.processes])

    async def _ask(self) -> None:
        """Ask for the status after events, and once more after the last; less often with more slots."""
        while True:
            await self._stirred.wait()
            while self._stirred.is_set():
                self._stirred.clear()
                await asyncio.sleep(FRESH)  # The source may have a status from before the event.
                await asyncio.sleep(0.2 + await self._fetch() / 1000)
                try:
                    await asyncio.wait_for(self._stirred.wait(), SETTLED)
                except TimeoutError:
                    pass  # No event came: the state has settled.
            await self._fetch()

    async def _fetch(self) -> int:
        """Fetch and send the status; return the number of slots."""
        first = self._status is None
        try:
            self._status = await asyncio.to_thread(self._source.status)
        except PreforkError:
            self._trouble = "the master does not answer"
            asyncio.get_running_loop().call_later(EVERY, self._stirred.set)
        else:
            self._trouble = ""
            change = self._status["change"] if self._status else None
            if change and change.get("bake"):  # No event comes with the figures of a bake.
                asyncio.get_running_loop().call_later(SETTLED, self._stirred.set)
        if first and self._status is not None:
            self._renew()
        else:
            self._send()
        return len(self._status["slots"]) if self._status else 0

    def _arrived(self, records: list[Record], fresh: bool) -> None:
        """Take events; `fresh`: they are the first of a connection, and the daemon may be another one."""
        if fresh:
            self.history = History(self._source.directory is not None)
        entries, incidents = [], []
        for record in records:
            entry, incident = self.history.add(record)
            entries += [entry] if entry else []
            incidents += [incident] if incident else []
        self._stirred.set()
        if not self._tasks:
            return
        if fresh and self._status is not None:
            self._renew()
        else:
            self._send(events=entries[-SHOWN:], incidents=incidents)

    def _renew(self) -> None:
        """Send the whole state to all."""
        self._update()
        self._broadcast(self._whole())

    def _broadcast(self, changes: dict[str, Any]) -> None:
        message = self._message(changes)
        for watcher in self._watchers:
            watcher.put(message)

    def _whole(self) -> dict[str, Any]:
        """Return all as it was sent last: the next changes are then right for those who were there, and a new one."""
        return {
            "whole": True,
            "steer": self._steer,
            "set": self._sections,
            "slots": self._slots,
            "live": self._live,
            "points": list(self._figures.points),
            "events": list(self.history.events),
            "incidents": list(self.history.incidents),
        }

    def _update(self) -> dict[str, Any]:
        """Take the present state as what is sent now; return what has changed."""
        sections, live = self._present(), self._figures.live
        slots = rows.of_slots(self._status or {"slots": ()}, self.history.troubles())
        changes = {
            "set": {name: value for name, value in sections.items() if self._sections.get(name, ...) != value},
            "slots": rows.changed(self._slots, slots),
            "live": rows.changed(self._live, live),
        }
        self._sections, self._slots, self._live = sections, slots, live
        return changes

    def _send(self, always: bool = False, **lists: list[Any]) -> None:
        """Send what has changed, and these additions to lists; with `always` also that nothing has."""
        if self._status is None:  # The whole state comes with the first status.
            if self._trouble:
                self._broadcast({"set": {"trouble": self._trouble}})
            return
        changes = {name: value for name, value in {**self._update(), **lists}.items() if value}
        if changes or always:
            self._broadcast(changes)

    def _present(self) -> dict[str, Any]:
        status: Mapping[str, Any] = self._status or {}
        now = time.time()
        counts = status.get("counts", {})
        names = ("name", "pid", "python", "started", "directory", "target")
        return {
            "daemon": {name: status.get(name) for name in names},
            **{name: status.get(name) for name in _OVERVIEW},
            "molds": [[mold["generation"], mold["state"], mold["spares"]] for mold in status.get("molds", ())],
            "generations": self._figures.generations(),
            "replaced": _replaced(counts.get("ends", {})),
            "last": _last(counts.get("changes", {})),
            "trouble": _stopped(status.get("pid")) or self._trouble,
            "verdict": verdict(status, self.history, self._figures, now) if status else None,
        }

    @staticmethod
    def _message(message: dict[str, Any]) -> bytes:
        return f"data: {_encode({'now': round(time.time(), 2), **message})}\n\n".encode("utf-8", "backslashreplace")


def _stopped(master: int | None) -> str:
    """Return a text if the master is stopped. It is not asked for that: it would wake up each second."""
    state = proc_stat.fields(master) if master else []
    return "the master is stopped by a signal" if state and state[proc_stat.STATE] in (b"T", b"t") else ""


def _replaced(ends: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return how many workers of all pools have ended, by cause."""
    return dict(sum((Counter(causes) for causes in ends.values()), Counter()))


def _last(changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the change that has ended last: `what`, `outcome`, `time` of its end, and `seconds`."""
    ended = [(one["time"], what, one) for what, one in changes.items()]
    if not ended:
        return None
    time_of_end, what, one = max(ended, key=lambda each: each[0])
    return {"what": what, "outcome": one["outcome"], "time": time_of_end, "seconds": one["seconds"]}
