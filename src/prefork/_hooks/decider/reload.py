"""A reload of the hooks interface as a transaction: what it has changed, how that is undone, and when it is done.

The configuration, the wanted workers and the processes change together, or not at all. `update_worker_set` and the
hooks of `relaunch_settings` note in a `Change` what is to be undone. Hooks that start and end workers by themselves
note nothing, and nothing of theirs is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..._core.units import duration
from .children import Child

SHORTEST_WAIT = 60.0
"""Seconds, at least, until new workers that are not up have failed; more where workers have taken a third of it."""


class Change:
    """One reload, or one call of another hook.

    `started`: the pids of new workers. `exchange` makes them the running workers and returns the pids of the former
    ones, which are asked to end then; None where the hooks care for that themselves.
    """

    def __init__(self, config: Any = None) -> None:
        self.config = config
        self.started: list[int] = []
        self.exchange: Callable[[], Iterable[int]] | None = None
        self.deadline = 0.0
        self._kept: dict[tuple[int, str], tuple[Any, Any]] = {}

    def keep(self, owner: Any, name: str) -> Any:
        """Return the value that this attribute (a set, a dict or None) had before; if the change fails it has it again.

        A copy, since a program may change it in place.
        """
        value = getattr(owner, name)
        return self._kept.setdefault((id(owner), name), (owner, None if value is None else value.copy()))[1]

    def undo(self) -> None:
        """Give all attributes their former values."""
        for (_, name), (owner, value) in self._kept.items():
            setattr(owner, name, value)

    def supersede(self, former: Change) -> None:
        """Take the place of a change that is not done: what that one would go back to, this one goes back to."""
        self._kept |= former._kept


class Reloads:
    """The reload whose new workers are not all up, if there is one.

    A worker is up when it has its context. Where workers of its kind are known to call `prefork.ready()`, it has to
    have done so, too: nothing says it of a kind before the first one has.
    """

    def __init__(self, live: Mapping[int, Child]) -> None:
        self.present: Change | None = None
        self._live = live
        self._announcing: set[str] = set()
        self._slowest = 0.0  # seconds until a worker was up

    def begin(self, change: Change, now: float) -> list[int]:
        """Begin a reload; return the new workers of the one that it supersedes."""
        former, self.present = self.present, change
        change.deadline = now + max(SHORTEST_WAIT, 3 * self._slowest)
        if former is None:
            return []
        change.supersede(former)
        return former.started

    def up(self, child: Child, now: float, ready: bool) -> None:
        """Note that a worker has its context, or is `ready`."""
        self._slowest = max(self._slowest, now - child.since)
        if ready:
            child.ready = True
            self._announcing.add(child.kind)
        else:
            child.began = now

    def is_up(self, child: Child) -> bool:
        """Return whether a worker has its context, and has called `prefork.ready()` if its kind does."""
        return child.began is not None and (child.ready or child.kind not in self._announcing)

    def concerns(self, pid: int) -> bool:
        """Return whether a process is one of the new workers."""
        return self.present is not None and pid in self.present.started

    def leave(self) -> Change | None:
        """End the present reload; return it."""
        present, self.present = self.present, None
        return present

    def finished(self) -> Change | None:
        """Return the present reload if all of its workers are up; it is none from now on."""
        return None if self._waiting() else self.leave()

    def next_deadline(self) -> float | None:
        """Return when the present reload is late."""
        return None if self.present is None else self.present.deadline

    def late(self, now: float) -> str:
        """Return what the present reload still waits for, in words, if its time is over."""
        if self.present is None or now < self.present.deadline:
            return ""
        child = self._waiting()[0]
        lacks = "has not taken its context" if child.began is None else "has not called prefork.ready(), as others did,"
        return f"{child.key} {lacks} after {duration(now - child.since)}"

    def _waiting(self) -> list[Child]:
        children = [self._live[pid] for pid in self.present.started if pid in self._live] if self.present else []
        return [one for one in children if not self.is_up(one)]
