"""The world of a simulated daemon: it does what the core orders, in the time that the script allows. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ..._core import actions as act
from ..._core import events as ev
from ..._core.plan import Plan
from ..._core.watch.verdicts import Hang
from ..._errors import UsageError
from .script import Step

_MOMENT = 0.001
"""Seconds that a process needs for what takes no time worth a setting: its end, a bind."""


@dataclass(frozen=True)
class Times:
    """How long things take in the world of a simulation, in seconds."""

    importing: float = 0.5
    planning: float = 0.05
    fork: float = 0.01
    ready: float = 0.05
    drain: float = 0.1


@dataclass
class _Process:
    generation: int
    key: str = ""
    asked: bool = False


Fact = Callable[[], ev.Event | None]


@dataclass
class World:
    """What lives, and which facts are due. A fact that is about something gone by then is none."""

    times: Times
    plan: Plan
    now: float = 0.0
    error: str = ""  # what each import fails with
    processes: dict[int, _Process] = field(default_factory=dict)
    molds: dict[int, Plan] = field(default_factory=dict)  # generation -> the plan that its code has
    behaviour: dict[tuple[str, str], float | None] = field(default_factory=dict)  # what, of which slot or pool
    due: list[tuple[float, int, Fact]] = field(default_factory=list)
    pids: Iterator[int] = field(default_factory=lambda: count(1001))
    turns: Iterator[int] = field(default_factory=count)

    def later(self, seconds: float, fact: Fact) -> None:
        """Let something happen `seconds` from now."""
        heapq.heappush(self.due, (self.now + seconds, next(self.turns), fact))

    def step(self, step: Step) -> ev.Event | None:
        """Do what a step says to the world; return the fact that it is for the core, if it is one."""
        match step.name:
            case "crash":
                pid, text = self._worker(step), _ended(step.status)
                return self._end(pid, step.status, text, worked=True)()
            case "hang":
                pid, seconds = self._worker(step), float(self._option(step.of, "hang_timeout"))
                hang = Hang(step.of, pid, self.processes[pid].generation, "", seconds, 0.0)
                return ev.WorkerHung(pid, "simulated", hang, f"{step.of}: hung for {seconds:g} s")
            case "import_fails":
                self.error = step.text
            case "heal":
                self.behaviour = {known: value for known, value in self.behaviour.items() if known[1] != step.of}
            case "crash_loop" | "ready_after" | "drains":
                self.behaviour[step.name, step.of] = step.seconds
        return None

    def do(self, action: act.Action) -> None:
        """Do what the core orders."""
        match action:
            case act.StartMold(generation):
                self.molds[generation] = self.plan
                self.later(self.times.importing, lambda: self._imported(generation))
            case act.PlanAgain(generation):
                self.molds[generation] = self.plan
                self.later(self.times.planning, lambda: self._planned(generation))
            case act.EndMold(generation):
                self.later(_MOMENT, lambda: self._mold_ended(generation, "exited 0"))
            case act.ForkSpares(generation, number):
                for each in range(1, number + 1):
                    self.later(each * self.times.fork, lambda: self._forked(generation))
            case act.DismissSpare(pid):
                self.later(_MOMENT, self._end(pid, 0, "exited 0"))
            case act.OrderWorker(pid, _, key):
                self._begin(pid, key, self.times.ready)
            case act.SpawnWorker(generation, key):
                self.later(self.times.fork, lambda: self._spawned(generation, key))
            case act.AskToDrain(pid):
                self._drain(pid)
            case act.CutDrain(pid, seconds):
                self.later(seconds / 2, self._end(pid, 0, "exited 0"))
            case act.KillWorker(pid, why):
                self.later(_MOMENT, self._end(pid, -9, f"killed by the master: {why}"))
            case act.Bind(generation):
                self.later(_MOMENT, lambda: ev.ListenersBound(generation))

    def _imported(self, generation: int) -> ev.Event | None:
        if generation not in self.molds:
            return None
        if self.error:
            self.later(_MOMENT, lambda: self._mold_ended(generation, "exited 1"))
            return ev.MoldFailed(generation, self.error)
        return ev.MoldPlanned(generation, self.molds[generation])

    def _planned(self, generation: int) -> ev.Event | None:
        return ev.MoldPlanned(generation, self.molds[generation]) if generation in self.molds else None

    def _mold_ended(self, generation: int, reason: str) -> ev.Event | None:
        return ev.MoldEnded(generation, reason) if self.molds.pop(generation, None) is not None else None

    def _forked(self, generation: int) -> ev.Event | None:
        if generation not in self.molds:
            return None  # Its end has settled the forks that were left.
        pid = next(self.pids)
        self.processes[pid] = _Process(generation)
        return ev.SpareForked(generation, pid)

    def _spawned(self, generation: int, key: str) -> ev.Event:
        pid = next(self.pids)
        self.processes[pid] = _Process(generation)
        self._begin(pid, key, self.times.importing + self.times.ready)
        return ev.WorkerSpawned(generation, key, pid)

    def _begin(self, pid: int, key: str, usual: float) -> None:
        if pid not in self.processes:
            return
        self.processes[pid].key = key
        if (after := self._behaves("ready_after", key, usual)) is not None:
            self.later(after, lambda: ev.WorkerReady(pid) if pid in self.processes else None)
        if (after := self._behaves("crash_loop", key, None)) is not None:
            self.later(after, self._end(pid, 1, "exited 1"))

    def _drain(self, pid: int) -> None:
        process = self.processes.get(pid)
        if process is not None and not process.asked:
            process.asked = True
            if (after := self._behaves("drains", process.key, self.times.drain)) is not None:
                self.later(after, self._end(pid, 0, "exited 0"))

    def _end(self, pid: int, status: int, reason: str, worked: bool = False) -> Fact:
        def ended() -> ev.Event | None:
            known = self.processes.pop(pid, None) is not None
            return ev.WorkerEnded(pid, status, reason, worked) if known else None

        return ended

    def _behaves(self, what: str, key: str, usual: float | None) -> float | None:
        """Return the seconds that the script gives: for the slot, or for its pool, or the usual ones."""
        for of in (key, key.partition("/")[0]):
            if (what, of) in self.behaviour:
                return self.behaviour[what, of]
        return usual

    def _worker(self, step: Step) -> int:
        """Return the newest process of a slot. Raises UsageError."""
        found = [pid for pid, process in self.processes.items() if process.key == step.of]
        if not found:
            raise UsageError(f"simulate(): {step.name}({step.of!r}, at={step.at:g}): the slot has no process then")
        return max(found)

    def _option(self, slot: str, name: str) -> Any:
        return getattr(self.plan.kind(slot.partition("/")[0]).options, name)


def _ended(status: int) -> str:
    return f"exited {status}" if status >= 0 else f"killed by signal {-status}"
