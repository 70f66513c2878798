"""Watchers of files as the master sees them: children that are kept while there is something to watch."""

from __future__ import annotations

from collections.abc import Callable

from .._core.commands import Reload, Replan
from .wire import Json

Start = Callable[[str, Json], int]
"""Starts a program of `_watch`, by its name, with its arguments; returns its pid. Raises OSError."""


class Watchers:
    """At most two: of the file that the newest plan was made from, and of the folders with the application's code."""

    def __init__(
        self, start: Start, end: Callable[[int], None], say: Callable[[str], None], sources: tuple[str, ...]
    ) -> None:
        self._sources = sources
        self._file = Watching(lambda path: start("watch", path), end, say)
        self._code = Watching(lambda _: start("watch_sources", list(sources)), end, say)

    def follow(self, path: str | None) -> None:
        """Watch this file from now on, and no other; and the code, if that is to be watched."""
        self._file.follow(path)
        self._code.follow(", ".join(self._sources) or None)

    def end(self) -> None:
        """Watch nothing any more."""
        self._file.follow(None)
        self._code.follow(None)

    def meaning(self, pid: int) -> Reload | Replan | None:
        """What it means that this process has something to say; None for one that is no watcher."""
        if pid == self._file.pid:
            return Replan()
        return Reload() if pid == self._code.pid else None

    def name(self, pid: int) -> str:
        """Return who asks when this watcher has something to say, in words."""
        return f"the watcher of {'the configuration' if pid == self._file.pid else 'the code'}"

    def ended(self, pid: int, why: str) -> None:
        """A process has ended that nobody had asked to."""
        for watching in self._file, self._code:
            if watching.pid == pid:
                watching.ended(why)


class Watching:
    """At most one watcher: of what was asked for last."""

    def __init__(self, start: Callable[[str], int], end: Callable[[int], None], say: Callable[[str], None]) -> None:
        self._start = start
        self._end = end
        self._say = say
        self._path: str | None = None
        self.pid: int | None = None

    def follow(self, path: str | None) -> None:
        """Watch this from now on, and nothing else."""
        if path == self._path:
            return
        if self.pid is not None:
            self._end(self.pid)
        self._path, self.pid = path, None
        if path is not None:
            try:
                self.pid = self._start(path)
            except OSError as error:
                self._say(f"prefork: {path} is not watched: {error}")

    def ended(self, why: str) -> None:
        """The watcher has ended, and nobody had asked it to."""
        self._say(f"prefork: {self._path} is no longer watched: {why}")
        self.pid = None
