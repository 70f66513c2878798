"""How numbers, moments and users are said to people who read a terminal."""

from __future__ import annotations

import pwd
import re
import time
from typing import Literal

from ..client import Event

_BAD = ("failed", "not planned", "not born", "not started", "killing", "hung", "lost")


def short(seconds: float | None) -> str:
    """Return a length of time in four characters or so."""
    if seconds is None:
        return "-"
    for limit, unit, letter in ((100, 1, "s"), (6000, 60, "m"), (360000, 3600, "h")):
        if seconds < limit:
            return f"{max(seconds, 0) / unit:.0f}{letter}"
    return f"{seconds / 86400:.0f}d"


def spent(seconds: float | None) -> str:
    """Return processor time, which may be small and still matter."""
    return "-" if seconds is None else f"{seconds:.2f}s" if seconds < 10 else short(seconds)


def size(amount: int | None) -> str:
    """Return bytes in megabytes."""
    return "-" if amount is None else f"{amount / 1e6:.1f}M"


def moment(when: float, now: float) -> str:
    """Return a date as the time of day, with the day unless it is today's."""
    then = time.localtime(when)
    day = "" if time.localtime(now)[:3] == then[:3] else time.strftime("%Y-%m-%d ", then)
    return f"{day}{time.strftime('%H:%M:%S', then)}.{int(when % 1 * 1000):03}"


def mood(event: Event) -> Literal["good", "bad", "plain"]:
    """Return how an event is to be taken: what colour it is told in."""
    if event["event"] in _BAD or event.get("stage") == "failed" or event.get("status") not in (None, 0):
        return "bad"
    return "good" if event["event"] == "ready" or event.get("stage") == "done" else "plain"


def people(text: str) -> str:
    """Return a text with users' names for their numbers. Not the master's work: looking one up may take its time."""
    return re.sub(r"\buid (\d+)", lambda match: _user(int(match[1])), text)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
