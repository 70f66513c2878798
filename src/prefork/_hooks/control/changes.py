"""A start or reload of a hooks daemon, and its outcome: it is done when each worker has decoded its context. Pure.

A reload that keeps the former workers until the new ones are up is done when those are asked to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..._core import events as fact
from ..._core.actions import Action, Announce, Reply
from ..._core.decider import Decider
from ..._report.units import counted


class HookMaster(Decider, Protocol):
    """A decider that knows where its daemon stands."""

    failed: str
    """Why a start or a reload has failed with the last event; empty if none has."""
    retry_at: float | None
    """When workers may be started by itself."""

    @property
    def stopping(self) -> bool:
        """Whether the daemon is stopping."""

    @property
    def reloading(self) -> bool:
        """Whether former workers wait for new ones to be up."""


@dataclass(slots=True)
class _Change:
    """`left`: the workers that it has started and that have not decoded their contexts, pid -> key."""

    what: str
    asker: int
    generation: int
    why: str
    left: dict[int, str]
    count: int


class Changes:
    """The change that is under way, if there is one; another one replaces it."""

    def __init__(self) -> None:
        self._now: _Change | None = None

    @property
    def generation(self) -> int:
        """The generation that it starts; 0 if there is none."""
        return self._now.generation if self._now else 0

    def view(self) -> dict[str, Any] | None:
        """Return it as `prefork status` has it."""
        now = self._now
        if now is None:
            return None
        return {
            "what": now.what, "slot": None, "stage": "rolling", "to": now.generation, "left": len(now.left),
            "why": now.why, "bake": None,
        }  # fmt: skip

    def begin(
        self, what: str, generation: int, by: tuple[int, str], started: dict[int, str], reloading: bool
    ) -> list[Action]:
        """Begin: these workers have been started. `by`: the client's command (0: none), and the reason."""
        former = self._end(False, "replaced by a later reload")
        asker, why = by
        self._now = _Change(what, asker, generation, why, started, len(started))
        rolling: list[Action] = [Announce(what, "rolling", generation, left=len(started))] if started else []
        return [*former, *rolling, *self._done(reloading)]

    def fail(self, what: str, generation: int, asker: int, text: str) -> list[Action]:
        """Return the outcome of a change whose hooks have failed; one that is under way continues."""
        return _outcome(what, generation, asker, False, text)

    def proceed(self, event: fact.Event, master: HookMaster) -> list[Action]:
        """Return what an event means for the change."""
        now = self._now
        if now is None:
            return []
        if master.stopping or master.failed:
            return self._end(False, "the daemon is stopping" if master.stopping else master.failed)
        match event:
            case fact.ContextTaken(pid) if pid in now.left:
                key = now.left.pop(pid)
                settled = Announce(now.what, "settled", now.generation, slot=key, left=len(now.left))
                return [settled, *self._done(master.reloading)]
            case fact.ContextRefused(pid, reason) if pid in now.left:
                return self._end(False, f"{now.left[pid]} cannot decode its context: {reason}")
            case fact.ProcessesExited(exits):
                for one in exits:
                    if one.pid in now.left:
                        return self._end(False, f"{now.left[one.pid]} ended before it decoded its context")
        return self._done(master.reloading)

    def _done(self, reloading: bool) -> list[Action]:
        if self._now is None or self._now.left or reloading:
            return []
        count = self._now.count
        return self._end(True, f"{counted(count, 'worker')} started" if count else "the hooks started no worker")

    def _end(self, ok: bool, text: str) -> list[Action]:
        now, self._now = self._now, None
        return [] if now is None else _outcome(now.what, now.generation, now.asker, ok, text)


def _outcome(what: str, generation: int, asker: int, ok: bool, text: str) -> list[Action]:
    told = f"{what}: done ({text}, generation {generation})" if ok else f"{what}: failed: {text}"
    announced = Announce(what, "done" if ok else "failed", generation, text=told)
    return [announced, *([Reply(asker, ok, told)] if asker else [])]
