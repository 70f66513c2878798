"""What can be asked of a running daemon, by a person or a program. A command changes the target only."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Reload:
    """Import the application anew and replace every worker by one of the next generation."""


@dataclass(frozen=True, slots=True)
class Replan:
    """Compute the plan again in the mold that is there, and apply the difference only."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Let a pool have this many workers whatever the plan says; `size` None ends that."""

    kind: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Restart:
    """Replace the worker of one slot by another one of the same generation."""

    key: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Let every worker drain, then end."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Compute the plan that a reload or a replan would follow, tell what it would change, and change nothing."""

    of: Literal["reload", "replan"]


Command = Reload | Replan | Scale | Restart | Stop | Preview


def words(command: Command) -> str:
    """Return a command as one would say it: `scale web 4`."""
    return " ".join([type(command).__name__.lower(), *(_word(part) for part in astuple(command))])


def _word(part: str | int | None) -> str:
    return "auto" if part is None else str(part)
