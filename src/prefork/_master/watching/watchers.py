"""Watchers of files, restarted while there is something to watch."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time
from typing import TYPE_CHECKING

from ..._core.commands import Replan
from ..._core.events import CommandReceived
from ..._wire.messages import Json
from .edits import Edits

if TYPE_CHECKING:
    from ..._core.actions import Announce
    from ..loop import Master

_PAUSES = (1.0, 5.0, 30.0)
"""Seconds until a watcher that exited restarts, for each exit in a row; then it waits for the next plan."""

_LONG = 60.0
"""A watcher that ran for this many seconds resets the count of exits in a row."""

_UNREAD = 2.0
"""Seconds before its end in which a watcher may have missed a change."""

Start = Callable[[str, Json], int]
"""Starts a function of `_mold.watching.watch_files`, by name, with its arguments; returns the pid. Raises OSError."""


class Watchers:
    """At most two watchers: of the file that the plan was made from, and of the folders with the application's code."""

    def __init__(self, start: Start, end: Callable[[int], None], master: Master, sources: tuple[str, ...]) -> None:
        self._master = master
        self._sources = sources
        self._planned: dict[int, str | None] = {}  # generation -> the file that its last plan was made from
        self._file = FileWatcher(lambda path, _: start("watch", path), end, master)
        self._code = FileWatcher(lambda _, since: start("watch_sources", [list(sources), since]), end, master)
        self._edits = Edits(master)

    def planned(self, generation: int, path: str | None, outdated: str | None) -> None:
        """Note the file that a plan was made from. The plan may be a preview only, or fail.

        `outdated`: the module that had changed by the end of its import, empty for none; None where it is not known.
        """
        self._planned[generation] = path
        self._edits.planned(generation, outdated)

    def announced(self, change: Announce) -> None:
        """Once a plan is applied, watch its file only, and the code if that is asked for."""
        self._edits.announced(change)
        if change.stage != "done" or change.what not in ("start", "reload", "replan"):
            return
        self._planned = {of: path for of, path in self._planned.items() if of >= change.generation}
        self._file.follow(self._planned.get(change.generation))
        self._code.follow(", ".join(self._sources) or None)

    def stop(self) -> None:
        """End both watchers."""
        self._file.follow(None)
        self._code.follow(None)

    def is_one(self, pid: int) -> bool:
        """Return whether this process is a watcher."""
        return pid in (self._file.pid, self._code.pid)

    def noticed(self, pid: int) -> None:
        """Request a plan, since the watcher of the file that it is made from has seen a change."""
        if pid == self._file.pid:
            self._master.enqueue(CommandReceived(0, Replan(), "the configuration watcher"))

    def edited(self, pid: int, at: float) -> None:
        """Request what a change of the code at this moment (time.time) asks for, if it is the watcher that says so."""
        if pid == self._code.pid:
            self._edits.noticed(at)

    def ended(self, pid: int, why: str) -> None:
        """Handle the exit of a process that was not told to exit."""
        for watching in self._file, self._code:
            if watching.pid == pid:
                watching.ended(why)


class FileWatcher:
    """At most one watcher process, of the path that was last asked for."""

    def __init__(self, start: Callable[[str, float], int], end: Callable[[int], None], master: Master) -> None:
        self._start = start
        self._end = end
        self._master = master
        self._path: str | None = None
        self._since = 0.0
        self._ends = 0  # in a row
        self._ended = 0.0  # time.time of the last one, 0.0 for none
        self.pid: int | None = None

    def follow(self, path: str | None) -> None:
        """Watch this path only; None for none."""
        if path != self._path:
            if self.pid is not None:
                self._end(self.pid)
            self._path, self.pid = path, None
        self._ends = 0
        self._begin(path)

    def ended(self, why: str) -> None:
        """Restart the watcher after a pause, since it exited without being told to."""
        path, self.pid, self._ended = self._path, None, time()
        self._ends = 1 if monotonic() - self._since >= _LONG else self._ends + 1
        then = "restarting with the next plan"
        if self._ends <= len(_PAUSES):
            pause = _PAUSES[self._ends - 1]
            then = f"restarting in {pause:.0f} s"
            self._master.later(pause, lambda: self._begin(path))
        self._master.relay.log(f"file watcher: exited: {why} ({path}); {then}")

    def _begin(self, path: str | None) -> None:
        """Start the watcher, unless it runs or the path has changed."""
        if self.pid is not None or path is None or path != self._path:
            return
        self._since = monotonic()
        try:
            self.pid = self._start(path, self._ended and self._ended - _UNREAD)
        except OSError as error:
            self.ended(str(error))
