"""A watcher of files as the master sees it: a child that is kept while there is something to watch."""

from __future__ import annotations

from collections.abc import Callable

Start = Callable[[str], int]
"""Starts a watcher of a path; returns its pid. Raises OSError."""


class Watching:
    """At most one watcher of a path: the one that was asked for last."""

    def __init__(self, start: Start, end: Callable[[int], None], say: Callable[[str], None]) -> None:
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
