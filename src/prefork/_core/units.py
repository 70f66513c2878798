"""Durations in the texts of the core; `_report.units` has the other formats of numbers."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a duration for a sentence: `1.5 s`, `31 s`, `12 min`."""
    if seconds < 10:
        return f"{max(seconds, 0):.2g} s"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} days"
