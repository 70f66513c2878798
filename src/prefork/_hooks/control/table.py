"""The workers of a hooks daemon as a table of slots: what `prefork status` shows. Pure.

The hooks know which workers they want; the table is made of what the decider was told and answered. A slot has the key
of a worker context. A worker that no context names, since a hook has forked it, is the slot `process/PID`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._core import events as fact
from ..._core.actions import Action, AskToDrain, KillWorker, SendSignal, Watch
from ..._records.record import record
from ..._report.sentences import ended

Fact = tuple[fact.Event, Sequence[Action]]
"""What happened in the terms of a `Daemon`'s journal: an event, and the actions that belong to it."""

NO_RECORD = fact.DeadlinePassed()
"""An event that the journal does not record; its actions are."""

_ENDING = ("TERM", "INT", "KILL")


@dataclass(slots=True)
class Process:
    """A process of a slot."""

    pid: int
    generation: int
    since: float
    state: str = "starting"


@dataclass(slots=True)
class Slot:
    """A slot; its newest process is the last."""

    key: str
    processes: list[Process] = field(default_factory=list)
    restarts: int = 0
    failures: int = 0
    last_exit: str = ""
    ended_early: bool = False  # its last process ended, and no reload or stop was the reason


@record
class Served:
    """How many of the `wanted` slots have a ready worker. Not the core's `Health`: its imports are a megabyte."""

    ready: int
    wanted: int
    stopping: bool


class Table:
    """The slots of one hooks daemon. `key_of` returns the key of a worker by its pid."""

    def __init__(self, name: str, key_of: Callable[[int], str | None], signal_names: Mapping[int, str]) -> None:
        self._name = name
        self._key_of = key_of
        self._signal_names = signal_names
        self._slots: dict[str, Slot] = {}
        self._keys: dict[int, str] = {}  # by pid
        self._announcing: set[str] = set()  # the kinds whose workers call `prefork.ready()`
        self._retry_at: float | None = None
        self._stopping = False
        self.generation = 0
        self.change: dict[str, Any] | None = None

    def note(self, event: fact.Event, actions: Sequence[Action], now: float) -> Iterator[Fact]:
        """Enter an event and the decider's answer to it; yield them in the terms of the journal."""
        match event:
            case fact.ProcessesExited(exits):
                for one in exits:
                    yield from self._ended(one)
            case fact.ContextTaken(pid) | fact.WorkerReady(pid) if self._is_up(pid, event):
                self._turn(pid, "ready", now)
                yield fact.WorkerReady(pid), ()
            case fact.ContextRefused(pid, reason):
                yield fact.WorkerFailed(pid, f"cannot decode its context: {reason}"), ()
            case fact.Started() | fact.SignalReceived() | fact.CommandReceived():
                yield event, ()
        for action in actions:
            match action:
                case Watch(pid):
                    yield self._started(pid, now), ()
                case SendSignal(pid, name) if name in _ENDING and pid in self._keys:
                    self._turn(pid, "draining", now)
                    yield NO_RECORD, [AskToDrain(pid, why="stop" if self._stopping else "replaced")]
                case KillWorker(pid) if pid in self._keys:
                    self._turn(pid, "killed", now)
                    yield NO_RECORD, [action]

    def settle(self, retry_at: float | None, stopping: bool, now: float) -> None:
        """Drop the slots that are no longer wanted: without a process, and no hook will be called to start one."""
        self._retry_at = None if stopping else retry_at
        if stopping and not self._stopping:
            for pid in self._keys:
                self._turn(pid, "draining", now)
        self._stopping = stopping
        for key in [key for key, slot in self._slots.items() if not slot.processes]:
            if self._retry_at is None or not self._slots[key].ended_early:
                del self._slots[key]

    def starting(self, pids: Iterable[int]) -> dict[int, str]:
        """Return those of these processes that have not decoded their contexts, with their keys."""
        keys = {pid: self._keys[pid] for pid in pids if pid in self._keys}
        return {pid: key for pid, key in keys.items() if self._process(pid, key).state == "starting"}

    def _process(self, pid: int, key: str) -> Process:
        return next(process for process in self._slots[key].processes if process.pid == pid)

    def _started(self, pid: int, now: float) -> fact.Event:
        own = self._key_of(pid)
        key = self._keys[pid] = own or f"process/{pid}"
        slot = self._slots.setdefault(key, Slot(key))
        slot.restarts += slot.ended_early
        slot.ended_early = False
        slot.processes.append(Process(pid, self.generation, now, "starting" if own else "ready"))
        return fact.WorkerSpawned(self.generation, key, pid)

    def _is_up(self, pid: int, event: fact.Event) -> bool:
        """Return whether a worker is ready, which it was not: it has its context, and says so where its kind does."""
        key = self._keys.get(pid, "")
        if isinstance(event, fact.WorkerReady):
            self._announcing.add(_kind(key))
        elif _kind(key) in self._announcing:
            return False
        return bool(key) and self._process(pid, key).state == "starting"

    def _turn(self, pid: int, state: str, now: float) -> None:
        """Enter that a process is in another state."""
        if (key := self._keys.get(pid)) is not None:
            process = self._process(pid, key)
            if process.state != state:
                process.state, process.since = state, now

    def _ended(self, exit_: fact.ProcessExit) -> Iterator[Fact]:
        key = self._keys.pop(exit_.pid, None)
        if key is None:
            return
        slot, words = self._slots[key], ended(exit_.status, self._signal_names)
        process = self._process(exit_.pid, key)
        slot.processes.remove(process)
        slot.last_exit = words
        slot.ended_early = not slot.processes and process.state not in ("draining", "killed")
        slot.failures = slot.failures + 1 if slot.ended_early and exit_.status != 0 else 0
        yield fact.WorkerEnded(exit_.pid, -1 if exit_.status is None else exit_.status, words), ()

    # What clients see: as `_core.view` has it.

    def overview(self) -> dict[str, Any]:
        """Return all but the slots."""
        return {
            "name": self._name, "generation": self.generation, "stopping": self._stopping, "change": self.change,
            "queue": [], "overrides": {}, "pools": [], "molds": [], "listeners": [],
        }  # fmt: skip

    def keys(self) -> list[str]:
        """Return the keys of all slots."""
        return list(self._slots)

    def slots(self, keys: Sequence[str], now: float) -> list[dict[str, Any]]:
        """Return the view of these slots, as far as they exist."""
        return [self._view(self._slots[key]) for key in keys if key in self._slots]

    def health(self) -> Served:
        """Return how many slots have a ready worker."""
        ready = sum(_serves(slot) for slot in self._slots.values())
        return Served(ready, len(self._slots), self._stopping)

    def _view(self, slot: Slot) -> dict[str, Any]:
        newest = slot.processes[-1] if slot.processes else None
        return {
            "key": slot.key,
            "kind": _kind(slot.key),
            "auxiliary": False,
            "state": "waiting" if newest is None else newest.state,
            **{name: newest and getattr(newest, name) for name in ("pid", "generation", "since")},
            "serving": _serves(slot),
            "exchanging": len(slot.processes) > 1,
            "leaving": [
                {"pid": each.pid, "state": each.state, "generation": each.generation, "since": each.since}
                for each in slot.processes[:-1]
            ],
            "restarts": slot.restarts,
            "failures": slot.failures,
            "last_exit": slot.last_exit,
            "retry_at": self._retry_at if newest is None else None,
            "why": "",
        }


def _kind(key: str) -> str:
    return key.partition("/")[0]


def _serves(slot: Slot) -> bool:
    return any(process.state == "ready" for process in slot.processes)
