"""Requests that are answered without the application: what the client gets, and one line of the log for many."""

from __future__ import annotations

import sys
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..._worker.handle import Worker

_PAUSE = 10.0
"""Seconds between two lines; refusals in between are counted."""


class Refusals:
    """The refused requests of one worker."""

    def __init__(self, worker: Worker) -> None:  # type: ignore[type-arg] # Any worker.
        self._key = worker.key
        self._activity = worker.activity
        self._silent_until = 0.0
        self._counted = 0

    def log(self, status: int, why: str) -> None:
        """Print a line for a refused request."""
        self.note(f"request refused with {status} ({why})")

    def note(self, what: str) -> None:
        """Print a line, or count what happened if one was printed a moment ago."""
        self._activity.refused()
        now = time.monotonic()
        if now < self._silent_until:
            self._counted += 1
            return
        more = f"; {self._counted} more were refused since the last line" if self._counted else ""
        self._silent_until, self._counted = now + _PAUSE, 0
        print(f"{self._key}: {what}{more}", file=sys.stderr, flush=True)


def phrase(status: int) -> str:
    """Return the status with its words, which are the body of the answer, too."""
    return f"{status} {HTTPStatus(status).phrase}"


def headers(status: int) -> list[tuple[str, str]]:
    """Return the headers of the answer. The rest of a request that is not read makes its connection unusable."""
    more = ("Retry-After", "1") if status == HTTPStatus.SERVICE_UNAVAILABLE else ("Connection", "close")
    return [("Content-Type", "text/plain"), ("Content-Length", str(len(phrase(status)))), more]
