"""The colours, and styles made of them."""

from __future__ import annotations

from functools import cache

from rich.style import Style

GROUND, RAISED, CHOSEN, RULE = "#10131a", "#181d27", "#2a3347", "#2b3342"
TEXT, DIM, FAINT = "#d5dbe7", "#8490a6", "#4a5467"
GREEN, AMBER, RED, BLUE = "#5fd38d", "#f2b84b", "#ff6b6b", "#62b5ff"

_GENERATIONS = ("#4fc8e8", "#ff9d5c", "#c08cff", "#a8d858", "#ff85b3", "#e8d44d")
"""Neighbours are easy to tell apart."""

STATES = {
    "ready": GREEN,
    "starting": BLUE,
    "draining": AMBER,
    "waiting": AMBER,
    "leaving": AMBER,
    "killed": RED,
    "degraded": RED,
    "finished": DIM,
}


@cache
def style(colour: str = TEXT, ground: str | None = None, bold: bool = False) -> Style:
    """Return the style of these colours, the same object each time."""
    return Style(color=colour, bgcolor=ground, bold=bold)


def generation(number: int | None) -> str:
    """Return a generation's colour."""
    return FAINT if number is None else _GENERATIONS[number % len(_GENERATIONS)]


def shade(colour: str, towards: str, share: float) -> str:
    """Return a colour between two, by `share` nearer to the second."""
    pairs = zip(_parts(colour), _parts(towards), strict=True)
    return "#" + "".join(f"{round(one + (other - one) * share):02x}" for one, other in pairs)


def _parts(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
