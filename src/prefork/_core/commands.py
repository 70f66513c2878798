"""The commands that a running daemon accepts. A command changes the desired state only."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Reload:
    """Import the application again and replace every worker by one of the next generation."""


@dataclass(frozen=True, slots=True)
class Replan:
    """Compute the plan again in the current mold, and apply only the difference."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the size of a pool, whatever the plan says; `size` None returns to the plan's."""

    kind: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Restart:
    """Replace the worker of one slot by a new one of the same generation."""

    key: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain every worker, then exit."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Compute the plan of a reload or a replan and report what it would change, without applying it."""

    of: Literal["reload", "replan"]


Command = Reload | Replan | Scale | Restart | Stop | Preview


def words(command: Command) -> str:
    """Return a command as a user types it: `scale web 4`."""
    return " ".join([type(command).__name__.lower(), *(_word(part) for part in astuple(command))])


def _word(part: str | int | None) -> str:
    return "auto" if part is None else str(part)
