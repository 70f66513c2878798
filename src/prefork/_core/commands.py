"""The commands that a running daemon accepts. A command changes the desired state only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from .._options.records import DaemonOptions, Insufficient
from .._records.members import asdict, fields, replace
from .._records.record import record


@record
class Reload:
    """Import the application again and replace every worker by one of the next generation.

    The fields are the options of a judged reload (`DaemonOptions`); None for the daemon's own. Where one of them is
    given, the reload is judged unless `judge` is false.
    """

    judge: bool | None = None
    bake: float | None = None
    canary_share: int | None = None
    judge_min_requests: int | None = None
    judge_insufficient: Insufficient | None = None

    @property
    def asks_for_judge(self) -> bool:
        """Whether it is to be judged whatever the daemon's options are."""
        given = any(getattr(self, name) is not None for name in OF_JUDGE)
        return given if self.judge is None else self.judge

    def judged(self, options: DaemonOptions) -> DaemonOptions:
        """Return the daemon's options as they hold for this reload."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(options, **({"judge": True} | given if given else {}))


@record
class Back:
    """Return to the generation before, whose mold is kept (`keep_mold`), or withdraw the reload that is under way."""


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


Command = Reload | Back | Replan | Scale | Restart | Stop | Upgrade | Preview

COMMANDS: Mapping[str, type[Command]] = {
    "plan" if cls is Preview else cls.__name__.lower(): cls for cls in get_args(Command)
}
"""Name of the request in the control protocol -> command; its fields are the request's members."""


OF_JUDGE = tuple(each.name for each in fields(Reload))
"""Fields of a reload, left out where they are not given."""


def named(command: Command) -> dict[str, Any]:
    """Return a command as the members of its record: its name, then its fields."""
    name = next(name for name, cls in COMMANDS.items() if isinstance(command, cls))
    given = {each: value for each, value in asdict(command).items() if each not in OF_JUDGE or value is not None}
    return {"command": name, **given}


def words(command: Command) -> str:
    """Return a command as it is typed: `scale web 4`."""
    return typed(named(command))


def typed(members: Mapping[str, Any]) -> str:
    """Return the members of a command as they are typed: the default pool is left out, the planned size is `auto`."""
    given = {name: value for name, value in members.items() if (name, value) != ("pool", None)}
    return " ".join(_typed(name, value) for name, value in given.items())


def _typed(name: str, value: Any) -> str:
    if name in OF_JUDGE:
        flag, shown = name.replace("_", "-"), f"{value:g}" if isinstance(value, float) else value
        return f"--{flag} {shown}" if not isinstance(value, bool) else f"--{flag}" if value else f"--no-{flag}"
    return "auto" if value is None else str(value)
