"""A value that many clients ask for at once: made for one of them, and kept for a moment."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from .._errors import PreforkError

T = TypeVar("T")

FRESH = 0.1
"""Seconds for which it is kept: a thousand scrapes at once cost the daemon what ten a second cost."""


class Brief(Generic[T]):
    """The value that `make` returns, for any thread.

    `rest`: seconds that it is kept for each second that making it has taken.
    """

    def __init__(self, make: Callable[[], T], rest: float = 0.0) -> None:
        self._make = make
        self._rest = rest
        self._lock = Lock()
        self._kept: T | PreforkError | None = None
        self._until = 0.0

    def value(self) -> T:
        """Return the value. Raises what making it raises, and a PreforkError for a moment without another try."""
        with self._lock:
            if self._kept is None or monotonic() >= self._until:
                begun = monotonic()
                self._kept = self._made()
                self._until = monotonic() + max(FRESH, self._rest * (monotonic() - begun))
            found = self._kept
        if isinstance(found, PreforkError):
            raise found
        return found

    def _made(self) -> T | PreforkError:
        try:
            return self._make()
        except PreforkError as error:
            return error
