"""The live children of a master of the hooks interface: how each ends, and until when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..._core.actions import Action, KillWorker, SendSignal
from ..._core.events import ProcessExit

HEALTHY = 1.0
"""Seconds: a worker that ends earlier has ended at once."""

How = Literal["asked", "told", "well", "early", "returned", "crashed"]
"""How a child ended.

Because the master had `asked` it; by TERM or INT from elsewhere (`told`); after it had worked for a while (`well`);
before it had its context (`early`); with status 0 at once (`returned`); with a failure at once (`crashed`).
"""


@dataclass(slots=True)
class Child:
    """A live child: since when, and the key of its worker; None for a process that a hook has made by itself.

    `began`: when it had its context, or could begin without one. `ready`: it has called `prefork.ready()`. `refused`:
    its context could not be decoded. `asked`: the master has asked it to end. `kill_at`: when it is killed otherwise.
    """

    since: float
    key: str | None = None
    began: float | None = None
    ready: bool = False
    refused: bool = False
    asked: bool = False
    kill_at: float | None = None

    @property
    def kind(self) -> str:
        """The kind of its worker."""
        return (self.key or "").partition("/")[0]

    def how(self, end: ProcessExit, now: float, signal_names: Mapping[int, str]) -> How:
        """Return how it ended."""
        if self.asked:
            return "asked"
        if signal_names.get(-(end.status or 0)) in ("SIGTERM", "SIGINT"):
            return "told"
        if self.began is None:
            return "early"
        if now - self.began >= HEALTHY:
            return "well"
        return "returned" if end.status == 0 else "crashed"


class Children(dict[int, Child]):
    """The live children, by their pids. Its methods ignore a pid that is none of these."""

    def signal(self, pids: Iterable[int], name: str) -> list[Action]:
        """Send a signal that asks to end."""
        # CONT, too: a stopped worker gets the first one only when it is continued.
        return [SendSignal(pid, signal) for pid in pids if pid in self for signal in (name, "CONT")]

    def ask(self, pids: Iterable[int], until: float) -> list[Action]:
        """Ask workers to end, until then at most."""
        pids = [pid for pid in pids if pid in self]
        for pid in pids:
            self[pid].asked = True
        self.give_time(pids, until)
        return self.signal(pids, "TERM")

    def give_time(self, pids: Iterable[int], until: float) -> None:
        """Let workers end by themselves until then; not longer than they were given before."""
        for child in (self[pid] for pid in pids if pid in self):
            if child.kill_at is None and not math.isinf(until):
                child.kill_at = until

    def kill(self, pids: Iterable[int], why: str) -> list[Action]:
        """Kill workers."""
        for pid in pids:
            self[pid].asked, self[pid].kill_at = True, None
        return [KillWorker(pid, why) for pid in pids]

    def late(self, now: float) -> list[int]:
        """Return those whose time is over."""
        return [pid for pid, child in self.items() if child.kill_at is not None and child.kill_at <= now]

    def next_deadline(self) -> float | None:
        """Return when the first one is late."""
        return min((child.kill_at for child in self.values() if child.kill_at is not None), default=None)


def pids_in(returned: Any) -> list[int] | None:
    """Return the pids that a hook has returned; None if it has returned something else."""
    if returned is None:
        return []
    pids = list(returned) if isinstance(returned, Iterable) else [returned]
    # Not 0 or -1 either: to kill(2) these are whole groups of processes.
    return pids if all(type(pid) is int and pid > 0 for pid in pids) else None
