"""The time that a request has waited for its worker, by the header in which a proxy writes when it has come.

nginx and others send seconds with a fraction, some milliseconds or microseconds, with or without `t=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import time

START = "x-request-start"
_MOMENT = re.compile(r"(?:t=)?(\d{10,16}(?:\.\d{1,6})?)", re.ASCII)
_MICROSECONDS, _MILLISECONDS = 1e14, 1e11
"""From which number on a moment since 1970 is one of microseconds, and of milliseconds: in seconds the year 5138."""
_LONGEST, _AHEAD = 600.0, 60.0
"""Seconds: what has waited longer, or comes from a clock further ahead, has no moment that means anything."""


def waited(value: str, now: float) -> float | None:
    """Return for how many seconds a request has waited; None where the header has no plausible moment."""
    if (found := _MOMENT.fullmatch(value.strip())) is None:
        return None
    begun = float(found[1])
    if begun >= _MICROSECONDS:
        begun /= 1e6
    elif begun >= _MILLISECONDS:
        begun /= 1e3
    return max(0.0, now - begun) if -_AHEAD <= now - begun <= _LONGEST else None


def counting(count: Callable[[float], None]) -> Callable[[str], None]:
    """Return what takes the header's value, and calls `count` with the seconds."""

    def queued(value: str) -> None:
        if (seconds := waited(value, time())) is not None:
            count(seconds)

    return queued
