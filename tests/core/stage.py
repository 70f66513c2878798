"""A supervisor on a stage: a clock that a test turns, and a world that does its part when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from core.world import World
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.plan import Entry, Kind, Plan, Pool, Spec
from prefork._core.supervisor import Supervisor
from prefork._options.records import KindOptions

SPEC = Spec(name="chat", jitter=0.0, backoff_first=1.0, backoff_max=8.0, healthy_after=10.0, degraded_after=4)


def plan(digest: str = "a", web: int = 2, most: int = 4, solo: bool = True, **kind: Any) -> Plan:
    keys = tuple(f"web/{number}" for number in range(most))
    entries = [Entry(key, "web", digest) for key in keys]
    entries += [Entry("solo", "solo", digest)] if solo else []
    kinds = (Kind("web", KindOptions(**kind)), Kind("solo", KindOptions(replace="old-first")))
    return Plan(tuple(entries), kinds, (Pool("web", keys, web, minimum=1),))


class Stage:
    def __init__(self, *plans: Plan, spec: Spec = SPEC, seed: int = 1) -> None:
        self.world = World(dict(enumerate(plans, 1)))
        self.supervisor = Supervisor(spec, seed)
        self.now = 1000.0
        self.said: list[act.Action] = []
        self.stream: list[tuple[ev.Event, float]] = []
        self.asked = 0

    def feed(self, event: ev.Event) -> Sequence[act.Action]:
        self.world.happen(event)
        self.stream.append((event, self.now))
        actions = self.supervisor.handle(event, self.now)
        self.said += actions
        self.world.carry_out(actions)
        return actions

    def start(self) -> Self:
        self.feed(ev.Started())
        self.rest()
        return self

    def rest(self, but: Callable[[ev.Event], bool] = lambda event: False) -> None:
        """Let the world do all that it owes, but for some, while the clock stands still."""
        for _ in range(2000):
            event = next((one for one in self.world.kind_answers() if not but(one)), None)
            if event is None:
                return
            self.feed(event)
        raise AssertionError("it does not come to rest")

    def late(self) -> Sequence[act.Action]:
        """Turn the clock to the next deadline."""
        deadline = self.supervisor.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        return self.feed(ev.DeadlinePassed())

    def command(self, command: cmd.Command) -> Sequence[act.Action]:
        self.asked += 1
        return self.feed(ev.CommandReceived(self.asked, command))

    def reply(self, asker: int | None = None) -> act.Reply:
        found = [reply for reply in self.world.replies if reply.id == (asker or self.asked)]
        assert found, "no reply yet"
        return found[0]

    def crash(self, key: str, report: str = "", status: int = 3, doing: str = "") -> Sequence[act.Action]:
        """Let the newest process of a slot end; `doing`: the request that it had."""
        pid = self.pid(key)
        if report:
            self.feed(ev.WorkerFailed(pid, report))
        return self.feed(ev.WorkerEnded(pid, status, f"exited {status}", bool(doing), doing))

    def pid(self, key: str) -> int:
        """The newest process of a slot."""
        return max(pid for pid, process in self.world.processes.items() if process.key == key)

    def serving(self, generation: int | None = None) -> list[str]:
        """The keys of all that serve."""
        return sorted(
            process.key
            for process in self.world.processes.values()
            if process.ready and process.staying and generation in (None, process.generation)
        )

    def spares(self) -> int:
        return len([1 for process in self.world.processes.values() if not process.key])

    def slot(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = next(slot for slot in self.supervisor.view(self.now)["slots"] if slot["key"] == key)
        return found

    def all(self, cls: type) -> list[Any]:
        return [action for action in self.said if isinstance(action, cls)]


def kinds(plan: Plan, **options: Any) -> Plan:
    """The same plan, with other options for the kind web."""
    changed = (Kind(k.name, replace(k.options, **options)) if k.name == "web" else k for k in plan.kinds)
    return replace(plan, kinds=tuple(changed))
