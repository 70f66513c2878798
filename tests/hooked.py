"""A master of the hooks interface without processes: its decider and `relaunch_settings`; workers are numbers."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from prefork import PreforkResource, PreforkSettings, WorkerContext, relaunch_settings, update_worker_set
from prefork._core.actions import Action, Exit, KillWorker, Report, SendSignal, Watch
from prefork._core.events import (
    ContextRefused,
    ContextTaken,
    DeadlinePassed,
    Event,
    ProcessesExited,
    ProcessExit,
    SignalReceived,
    Started,
    WorkerReady,
)
from prefork._hooks.decider import HookDecider
from prefork._hooks.spawn import Spawner
from prefork._linux.signals import NAMES

FIRST_PID = 10_000_000
"""No process can have such a number: the default hooks call kill(2)."""


@dataclass(frozen=True)
class Hooked(WorkerContext):
    id: int
    version: int = field(default=0, compare=False)


class Births:
    """Stands for the spawner: it gives numbers."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.all: list[tuple[int, Hooked]] = []
        self._started: list[int] = []

    def start(self, context: Hooked) -> int:
        pid = FIRST_PID + len(self.all)
        self.all.append((pid, context))
        self.names[pid] = f"hooked/{context.id}"
        self._started.append(pid)
        return pid

    def name(self, pid: int) -> str | None:
        return self.names.get(pid)

    def take_started(self) -> list[int]:
        started, self._started = self._started, []
        return started

    def forget(self, pid: int) -> None:
        self.names.pop(pid, None)


class Hooks:
    """A daemon of workers `hooked/0`, `hooked/1`, ...; what `update` and `fork` do is set by the test."""

    def __init__(self, count: int = 2, **own: Any) -> None:
        self.births = Births()
        self.resource: PreforkResource[Hooked] = PreforkResource()
        self.wanted = [Hooked(number) for number in range(count)]
        self.config: Any = "config 0"
        self.before_return: Callable[[], object] = lambda: None
        """Called by `update` after it has set the workers; may raise."""
        self.before_fork: Callable[[Hooked], object] = lambda context: None
        self.configs_seen: list[Any] = []
        settings: PreforkSettings[Any] = relaunch_settings(self.resource, self.update, self.fork)
        made = replace(settings, on_quit=self.configs_seen.append, **own)
        self.decider = HookDecider(made, cast(Spawner, self.births), NAMES)
        self.now = 100.0
        self.live: list[int] = []
        self.asked: set[int] = set()
        self.killed: set[int] = set()
        self.reports: list[str] = []
        self.status: int | None = None

    def update(self, resource: PreforkResource[Hooked]) -> Any:
        update_worker_set(resource, self.wanted)
        self.before_return()
        return self.config

    def fork(self, context: Hooked) -> int:
        self.before_fork(context)
        return self.births.start(context)

    def tell(self, event: Event, after: float = 0.0) -> list[str]:
        """Let the decider handle an event; return what it reported."""
        assert self.status is None, "it has ended"
        self.now += after
        reports = len(self.reports)
        for action in self.decider.handle(event, self.now):
            self.perform(action)
        if isinstance(event, SignalReceived) and event.name in ("TERM", "INT"):
            self.asked.update(self.live)
        return self.reports[reports:]

    def perform(self, action: Action) -> None:
        match action:
            case Watch(pid):
                self.live.append(pid)
            case SendSignal(pid, name):
                assert pid in self.live
                self.asked |= {pid} if name == "TERM" else set()
            case KillWorker(pid):
                self.killed.add(pid)
            case Report(text):
                self.reports.append(text)
            case Exit(status):
                assert not self.live
                self.status = status

    def start(self) -> Hooks:
        """Start it, with all workers up."""
        self.tell(Started())
        self.take(*self.live)
        return self

    def take(self, *pids: int, after: float = 0.1) -> None:
        for pid in pids:
            self.tell(ContextTaken(pid), after)

    def ready(self, *pids: int, after: float = 0.1) -> None:
        for pid in pids:
            self.tell(WorkerReady(pid), after)

    def refuse(self, pid: int, reason: str = "no field") -> list[str]:
        return self.tell(ContextRefused(pid, reason))

    def exit(self, *pids: int, status: int = -signal.SIGKILL, after: float = 10.0, used: float = 0.1) -> list[str]:
        for pid in pids:
            self.live.remove(pid)
        return self.tell(ProcessesExited(tuple(ProcessExit(pid, status, (used, 0.0, 0)) for pid in pids)), after)

    def obey(self) -> None:
        """Let all that were asked to end do so."""
        for pid in [pid for pid in self.live if pid in self.asked]:
            self.exit(pid, status=-signal.SIGTERM, after=0.01)

    def signal(self, name: str) -> list[str]:
        return self.tell(SignalReceived(name))

    def deadline(self) -> list[str]:
        """Let time pass until the next deadline."""
        at = self.decider.next_deadline()
        assert at is not None
        return self.tell(DeadlinePassed(), max(0.0, at - self.now))

    def reload(self, *wanted: Hooked, config: Any = "config 1") -> list[int]:
        """Send HUP with new workers and a new configuration; return the new workers' pids."""
        self.wanted, self.config = list(wanted), config
        born = len(self.births.all)
        self.signal("HUP")
        return [pid for pid, _ in self.births.all[born:]]

    def present_config(self) -> Any:
        """Return the configuration that hooks get."""
        self.signal("QUIT")
        return self.configs_seen[-1]

    def contexts(self) -> list[tuple[int, int]]:
        """Return identity and version of the workers that live and were not asked to end."""
        started = dict(self.births.all)
        return sorted((started[pid].id, started[pid].version) for pid in self.live if pid not in self.asked)


def version(number: int, count: int = 2) -> list[Hooked]:
    """Return the workers of a version."""
    return [Hooked(each, number) for each in range(count)]
