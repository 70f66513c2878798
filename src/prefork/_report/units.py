"""Numbers for people: durations, counts and sizes."""

from __future__ import annotations

from .._core.units import duration as duration


def short_duration(seconds: float | None) -> str:
    """Return a duration in whole units, in about four characters: `31s`, `12m`; `-` for None."""
    if seconds is None:
        return "-"
    for limit, unit, letter in ((100, 1, "s"), (6000, 60, "m"), (360000, 3600, "h")):
        if seconds < limit:
            return f"{max(seconds, 0) / unit:.0f}{letter}"
    return f"{seconds / 86400:.0f}d"


def precise_duration(seconds: float | None) -> str:
    """Return a duration that may be well below a second, in about five characters: `1.2ms`, `31s`; `-` for None."""
    if not seconds:
        return "-" if seconds is None else "0s"
    for limit, unit, name in ((0.001, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            shown = seconds * unit
            return f"{shown:.1f}{name}" if shown < 10 else f"{shown:.0f}{name}"
    return f"{seconds:.1f}s" if seconds < 10 else short_duration(seconds)


def counted(number: int, noun: str) -> str:
    """Return a number of things: `1 slot`, `2 slots`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short_number(number: float) -> str:
    """Return a count or a rate in about five characters: `2.5`, `1200`, `120k`."""
    if 0 < number < 10 and number != int(number):
        return f"{number:.1f}"
    for limit, unit, letter in ((99_999.5, 1, ""), (9_999_500, 1e3, "k"), (9_999_500_000, 1e6, "M")):
        if number < limit:
            return f"{number / unit:.0f}{letter}"
    return f"{number / 1e9:.0f}G"


def short_size(size: int | None) -> str:
    """Return a number of bytes in about five characters: `820k`, `12.3M`; `-` for None."""
    if size is None:
        return "-"
    for limit, unit, letter in ((1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G")):
        if size < limit:
            shown = size / unit
            return f"{shown:.1f}{letter}" if shown < 100 and unit > 1e3 else f"{shown:.0f}{letter}"
    return f"{size / 1e12:.1f}T"
