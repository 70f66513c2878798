"""`simulate()`: a plan and a script in, what the daemon does out."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._core import actions as act
from ..._core import events as ev
from ..._core.plan import Spec
from ..._core.supervisor import Supervisor
from ..._errors import UsageError
from ..._report.journal import Journal
from .plans import core_plan
from .script import Step
from .world import Times, World

_MOST = 200_000
"""Events, at most: a script that makes more in its time is a mistake."""


@dataclass(frozen=True)
class Reply:
    """The outcome of a command, at a second of the simulation; `text` as the command would print it."""

    at: float
    name: str
    ok: bool
    text: str


@dataclass(frozen=True)
class Count:
    """From `at` on: the slots that are served, of how many; and the processes, spares included."""

    at: float
    served: tuple[str, ...]
    slots: tuple[str, ...]
    processes: int


@dataclass
class Simulation:
    """What a simulated daemon has done.

    `events`: records as those of `server.events()`, with `time` in seconds since the start. `replies`: the outcomes of
    commands. `exit_status`: None if it runs on at the end. `status`: at the end, as that of a running daemon.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    exit_status: int | None = None
    status: dict[str, Any] = field(default_factory=dict)
    until: float = 0.0

    def served(self, at: float, pool: str | None = None) -> list[str]:
        """Return the slots with a ready worker at a second; of one pool, or of all."""
        found = [each for each in self.counts if each.at <= at]
        return [slot for slot in found[-1].served if _is_of(slot, pool)] if found else []

    def least_served(self, pool: str | None = None, since: float | None = None, until: float | None = None) -> int:
        """Return the least number of slots with a ready worker, in a time; without `since` from the first full moment.

        The first full moment is that at which all slots of the plan are served for the first time; 0 if there is none.
        """
        if since is None:
            full = [each.at for each in self.counts if each.slots and each.served == each.slots]
            if not full:
                return 0
            since = full[0]
        end = self.until if until is None else until
        within = [each for each in self.counts if since <= each.at <= end]
        return min([len(self.served(since, pool)), *(sum(_is_of(key, pool) for key in each.served) for each in within)])

    def most_processes(self) -> int:
        """Return the largest number of workers and spares at one time."""
        return max((each.processes for each in self.counts), default=0)

    def outages(self, slot: str) -> list[tuple[float, float]]:
        """Return when a slot of the plan had no ready worker, after its first one, as (from, to) in seconds."""
        found: list[tuple[float, float]] = []
        was, begun = False, None
        for each in self.counts:
            out = slot in each.slots and slot not in each.served
            if out and was and begun is None:
                begun = each.at
            elif not out and begun is not None:
                found.append((begun, each.at))
                begun = None
            was = was or slot in each.served
        return [*found, (begun, self.until)] if begun is not None else found


def simulate(
    plan: Mapping[str, Any],
    script: Iterable[Step] = (),
    *,
    until: float = 60.0,
    times: Times | None = None,
    seed: int = 0,
) -> Simulation:
    """Return what a daemon with this plan does in the first `until` seconds of a script.

    The core that decides is the real one; the world around it takes the `times` and does what the script says. `plan`
    is the data of `plan_of`, or a mapping with `slots` (texts such as `web/0`) and, as far as they matter, `pools`,
    `kinds` and `listeners`. `seed`: of the random part of pauses between restarts. Raises UsageError for a plan or a
    step that makes no sense.
    """
    world = World(times or Times(), core_plan(plan, {}))
    run = _Run(plan, world, Supervisor(Spec(name="simulated"), seed), Simulation(until=until))
    for step in sorted(script, key=lambda step: step.at):
        if not 0 <= step.at <= until:
            raise UsageError(f"simulate(): {step.name}(at={step.at:g}) is not within 0 and {until:g} s")
        heapq.heappush(world.due, (step.at, next(world.turns), lambda step=step: run.step(step)))  # type: ignore[misc]
    run.feed(ev.Started())
    run.go(until)
    return run.found


@dataclass
class _Run:
    plan: Mapping[str, Any]
    world: World
    core: Supervisor
    found: Simulation
    journal: Journal = field(default_factory=Journal)
    commands: list[Step] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    handled: int = 0

    def go(self, until: float) -> None:
        """Let everything happen that is due until then."""
        while self.found.exit_status is None:
            deadline = self.core.next_deadline()
            fact_at = self.world.due[0][0] if self.world.due else float("inf")
            at = min(fact_at, float("inf") if deadline is None else deadline)
            if at > until:
                break
            self.world.now = max(self.world.now, at)
            if fact_at > at:
                self.feed(ev.DeadlinePassed())
            elif (event := heapq.heappop(self.world.due)[2]()) is not None:
                self.feed(event)
        self.found.status = self.core.view(self.world.now)

    def step(self, step: Step) -> ev.Event | None:
        """Do a step of the script; return the fact that it is for the core."""
        if step.command is None:
            return self.world.step(step)
        self.plan = self.plan if step.plan is None else step.plan
        self.versions.update(step.changed)
        self.world.plan = core_plan(self.plan, self.versions)
        self.commands.append(step)
        return ev.CommandReceived(len(self.commands), step.command, "the script")

    def feed(self, event: ev.Event) -> None:
        """Pass a fact to the core, and its orders to the world."""
        self.handled += 1
        if self.handled > _MOST:
            raise UsageError(f"simulate(): more than {_MOST} events by {self.world.now:g} s: simulate a shorter time")
        now = self.world.now
        actions = self.core.handle(event, now)
        self.found.events += self.journal.note(event, actions, now, now).records
        for action in actions:
            match action:
                case act.Reply(number, ok, text):
                    self.found.replies.append(Reply(now, self.commands[number - 1].name, ok, text))
                case act.Exit(status):
                    self.found.exit_status = status
                case _:
                    self.world.do(action)
        self._count()

    def _count(self) -> None:
        slots = self.core.slots(self.core.keys(), self.world.now)
        wanted = tuple(slot["key"] for slot in slots if slot["state"] != "leaving")
        served = tuple(slot["key"] for slot in slots if slot["serving"] and slot["key"] in wanted)
        counted = Count(self.world.now, served, wanted, len(self.world.processes))
        if not self.found.counts or self.found.counts[-1] != counted:
            self.found.counts.append(counted)


def _is_of(slot: str, pool: str | None) -> bool:
    return pool is None or slot.partition("/")[0] == pool
