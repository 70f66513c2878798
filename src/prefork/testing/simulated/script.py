"""The steps of a script: what happens to a simulated daemon, and when. Each is a value; `at` is in seconds.

`of` is a slot (`web/1`) or a pool (`web`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..._core.commands import Command, Reload, Replan, Restart, Scale, Stop


@dataclass(frozen=True)
class Step:
    """One step; made by the functions of this module. `name`: of the function."""

    at: float
    name: str
    command: Command | None = None
    of: str = ""
    seconds: float | None = None
    text: str = ""
    status: int = 0
    plan: Mapping[str, Any] | None = field(default=None, compare=False)
    changed: tuple[str, ...] = ()


def crash(slot: str, *, at: float, status: int = 1) -> Step:
    """The worker of a slot ends by itself, with an exit status, or by a signal if it is negative."""
    return Step(at, "crash", of=slot, status=status)


def hang(slot: str, *, at: float) -> Step:
    """The worker of a slot has made no progress for `hang_timeout`; the daemon acts by `hang_policy`."""
    return Step(at, "hang", of=slot)


def crash_loop(of: str, *, at: float, after: float = 0.5) -> Step:
    """From now on, each new worker ends `after` seconds from its start, with status 1; until `heal`."""
    return Step(at, "crash_loop", of=of, seconds=after)


def ready_after(of: str, seconds: float | None, *, at: float = 0.0) -> Step:
    """From now on, each new worker is ready after `seconds`; None: never."""
    return Step(at, "ready_after", of=of, seconds=seconds)


def drains(of: str, seconds: float | None, *, at: float = 0.0) -> Step:
    """From now on, a worker that is asked to drain takes `seconds`; None: it never ends."""
    return Step(at, "drains", of=of, seconds=seconds)


def heal(of: str, *, at: float) -> Step:
    """From now on, new workers behave as usual."""
    return Step(at, "heal", of=of)


def import_fails(text: str | None = "SyntaxError: invalid syntax", *, at: float = 0.0) -> Step:
    """From now on, each import of the application fails with this text; None: it succeeds again."""
    return Step(at, "import_fails", text=text or "")


def reload(*, at: float, plan: Mapping[str, Any] | None = None) -> Step:
    """`prefork reload`; `plan`: that of the new code, if it is another one."""
    return Step(at, "reload", Reload(), plan=plan)


def replan(*, at: float, plan: Mapping[str, Any] | None = None, changed: Sequence[str] = ()) -> Step:
    """`prefork replan`; `plan`: the new one; `changed`: slots whose context has other values."""
    return Step(at, "replan", Replan(), plan=plan, changed=tuple(changed))


def restart(slot: str, *, at: float) -> Step:
    """`prefork restart SLOT`."""
    return Step(at, "restart", Restart(slot), of=slot)


def scale(size: int | Literal["auto"], *, at: float, pool: str | None = None) -> Step:
    """`prefork scale POOL SIZE`."""
    return Step(at, "scale", Scale(pool, None if size == "auto" else size))


def stop(*, at: float) -> Step:
    """`prefork stop`."""
    return Step(at, "stop", Stop())
