"""Watchers of files as the master sees them: children that are kept while there is something to watch."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from ..._core.commands import Reload, Replan
from ..._wire.messages import Json

if TYPE_CHECKING:
    from ..._core.actions import Announce
    from ..loop import Master

_PAUSES = (1.0, 5.0, 30.0)
"""Seconds after which a watcher that has ended is started again, and again; then it waits for the next plan."""

_LONG = 60.0
"""A watcher that has lived for so many seconds has made up for the ends before it."""

Start = Callable[[str, Json], int]
"""Starts a program of `_watch`, by its name, with its arguments; returns its pid. Raises OSError."""


class Watchers:
    """At most two: of the file that the plan in force was made from, and of the folders with the application's code."""

    def __init__(self, start: Start, end: Callable[[int], None], master: Master, sources: tuple[str, ...]) -> None:
        self._sources = sources
        self._planned: dict[int, str | None] = {}  # generation -> the file that its last plan was made from
        self._file = Watching(lambda path: start("watch", path), end, master)
        self._code = Watching(lambda _: start("watch_sources", list(sources)), end, master)

    def planned(self, generation: int, path: str | None) -> None:
        """A plan was made from this file. It may be for a look only, or refused."""
        self._planned[generation] = path

    def announced(self, news: Announce) -> None:
        """Where a plan has come into force, watch its file from now on, and no other; and the code, if it is to be."""
        if news.stage != "done" or news.what not in ("start", "reload", "replan"):
            return
        self._planned = {of: path for of, path in self._planned.items() if of >= news.generation}
        self._file.follow(self._planned.get(news.generation))
        self._code.follow(", ".join(self._sources) or None)

    def stop(self) -> None:
        """Watch nothing any more."""
        self._file.follow(None)
        self._code.follow(None)

    def command_of(self, pid: int) -> Reload | Replan | None:
        """What it means that this process has something to say; None for one that is no watcher."""
        if pid == self._file.pid:
            return Replan()
        return Reload() if pid == self._code.pid else None

    def name_of(self, pid: int) -> str:
        """Return who asks when this watcher has something to say, in words."""
        return f"the watcher of {'the configuration' if pid == self._file.pid else 'the code'}"

    def ended(self, pid: int, why: str) -> None:
        """A process has ended that nobody had asked to."""
        for watching in self._file, self._code:
            if watching.pid == pid:
                watching.ended(why)


class Watching:
    """At most one watcher: of what was asked for last."""

    def __init__(self, start: Callable[[str], int], end: Callable[[int], None], master: Master) -> None:
        self._start = start
        self._end = end
        self._master = master
        self._path: str | None = None
        self._since = 0.0
        self._ends = 0  # in a row
        self.pid: int | None = None

    def follow(self, path: str | None) -> None:
        """Watch this from now on, and nothing else."""
        if path != self._path:
            if self.pid is not None:
                self._end(self.pid)
            self._path, self.pid = path, None
        self._ends = 0
        self._begin(path)

    def ended(self, why: str) -> None:
        """The watcher has ended, and nobody had asked it to."""
        path, self.pid = self._path, None
        self._ends = 1 if monotonic() - self._since >= _LONG else self._ends + 1
        again = "from the next plan on"
        if self._ends <= len(_PAUSES):
            pause = _PAUSES[self._ends - 1]
            again = f"in {pause:.0f} s"
            self._master.later(pause, lambda: self._begin(path))
        self._master.relay.say(f"prefork: {path} is no longer watched, and is again {again}: {why}")

    def _begin(self, path: str | None) -> None:
        """Start the watcher, unless it is there or something else is to be watched by now."""
        if self.pid is not None or path is None or path != self._path:
            return
        self._since = monotonic()
        try:
            self.pid = self._start(path)
        except OSError as error:
            self.ended(str(error))
