"""The log of a server in a test: what the daemon and its processes have written to their standard streams."""

from __future__ import annotations

import os
import re

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ", re.MULTILINE)
END, FAILURE = 40, 200
"""Lines that the report of a test shows, and that of a start: the cause may stand before a long traceback."""


class Log:
    """A file that the daemon appends to."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._text: str | None = None

    def open(self) -> int:
        """Return a descriptor for the daemon's standard streams."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def text(self) -> str:
        """Return what is written so far; after `keep` what was written then."""
        if self._text is not None:
            return self._text
        try:
            with open(self.path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""  # The start has failed before.

    def keep(self) -> None:
        """Read the file for the last time: it is about to be removed."""
        self._text = self.text()

    def end(self) -> str:
        """Return its last lines, for a report."""
        return "\n".join(self.text().splitlines()[-END:])

    def failure(self) -> str:
        """Return why a start has failed: all but the first line, without the time of each."""
        lines = [line for line in _TIME.sub("", self.text()).splitlines() if ": starting (pid " not in line]
        return "\n".join(lines[-FAILURE:]) or "the log is empty"
