"""A time limit for code of the application: a signal that raises an exception in the main thread."""

from __future__ import annotations

import signal
from time import monotonic
from types import FrameType
from typing import Any

_AGAIN = 0.25
"""Seconds after which the exception is raised again, where the application has caught it."""


class OutOfTime(KeyboardInterrupt):
    """The time is over. It is an interrupt, since event loops and frameworks let those pass; most code does, too."""


class Alarm:
    """Raises OutOfTime in this block from `seconds` after its begin on; `passed`: since then.

    A call in C that never returns is not interrupted by it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over = False
        self._handler: Any = None
        self._timer = (0.0, 0.0)
        self._end = 0.0

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return monotonic() >= self._end

    def __enter__(self) -> Alarm:
        self._end = monotonic() + self._seconds
        self._handler = signal.signal(signal.SIGALRM, self._ring)
        self._timer = signal.setitimer(signal.ITIMER_REAL, max(self._seconds, 0.001), _AGAIN)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Raise nothing from now on; a second call, after an exception in the first one, does the rest."""
        self._over = True
        signal.setitimer(signal.ITIMER_REAL, *self._timer)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if self._handler is None else self._handler)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if not self._over:
            raise OutOfTime
