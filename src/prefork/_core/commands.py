"""The commands that a running daemon accepts. A command changes the desired state only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, get_args

from .._records.record import record


@record
class Reload:
    """Import the application again and replace every worker by one of the next generation."""


@record
class Replan:
    """Compute the plan again in the current mold, and apply only the difference."""


@record
class Scale:
    """Set the size of a pool, whatever the plan says; `size` None returns to the plan's."""

    pool: str | None
    size: int | None


@record
class Restart:
    """Replace the worker of one slot by a new one of the same generation."""

    slot: str


@record
class Stop:
    """Drain every worker, then exit."""


@record
class Upgrade:
    """Replace the master's program by the one that is installed now; workers, sockets and pid stay."""


@record
class Preview:
    """Compute the plan of a reload or a replan and report what it would change, without applying it."""

    of: Literal["reload", "replan"]


Command = Reload | Replan | Scale | Restart | Stop | Upgrade | Preview

COMMANDS: Mapping[str, type[Command]] = {
    "plan" if cls is Preview else cls.__name__.lower(): cls for cls in get_args(Command)
}
"""Name of the request in the control protocol -> command; its fields are the request's members."""


def named(command: Command) -> dict[str, Any]:
    """Return a command as the members of its record: its name, then its fields."""
    name = next(name for name, cls in COMMANDS.items() if isinstance(command, cls))
    return {"command": name, **asdict(command)}


def words(command: Command) -> str:
    """Return a command as it is typed: `scale web 4`."""
    return typed(named(command))


def typed(members: Mapping[str, Any]) -> str:
    """Return the members of a command as they are typed: the default pool is left out, the planned size is `auto`."""
    given = {name: value for name, value in members.items() if (name, value) != ("pool", None)}
    return " ".join("auto" if value is None else str(value) for value in given.values())
