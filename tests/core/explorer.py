"""Try every order of events for a small plan, and check the invariants in every state that is reached.

Run as a program it prints how many states it saw. Two states are the same when they differ only in the
numbers that pids and editions happen to have, and in when "now" is: deadlines count from now, which is why
time can be explored as "the next deadline passes".
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.world import Process, World, twin
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.actions import Announce
from prefork._core.gap import up_to_date
from prefork._core.handover.facts import Survived, Survivor, Upgraded, UpgradeFailed
from prefork._core.kept.snapshot import MalformedSnapshot, Snapshot, from_bytes, to_bytes
from prefork._core.plan import Entry, Kind, Listener, Plan, Pool, Spec
from prefork._core.supervisor import Supervisor
from prefork._options.records import DaemonOptions, KindOptions

if TYPE_CHECKING:
    from prefork._core.state import State

SPEC = Spec(jitter=0.0, healthy_after=1e9, rate=1.0, rate_down=1.0)
"""No worker lives for long enough, and the second that dies in the same second waits."""

LIMIT = SPEC.pause_down
"""Seconds for which a pool that was ready may be without a worker on its way, or a fortieth of the outage."""


MOST = 20_000_000
"""States of a scenario that has an end."""


@dataclass(frozen=True)
class Scenario:
    """What may happen besides everyone's part: `faults` faults and late deadlines, and these wishes."""

    name: str
    plans: dict[int, Plan]
    wishes: tuple[ev.Event, ...] = ()
    faults: int = 0
    lates: int = 0
    replans: dict[int, Plan] | None = None
    settled: bool = False  # explore from where the daemon is up, not from its start
    fault_kinds: tuple[type, ...] = (ev.WorkerEnded, ev.MoldEnded, ev.MoldFailed, ev.PlanFailed)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a snapshot that others hold was made of (it is seldom read), with the contexts that orders may name."""

    kept: State
    contexts: frozenset[tuple[int, str, str]]

    @property
    def state(self) -> Any:
        return supervising(copy_state(self.kept)).snapshot()


@dataclass(slots=True)
class Node:
    supervisor: Supervisor
    world: World
    wishes: int
    faults: int
    lates: int
    way: Any = None  # the last event and what led before it
    down: dict[str, float] = field(default_factory=dict)  # kinds that were ready and have no worker, since when
    saved: Saved | None = None  # what a master that is killed leaves

    def copy(self) -> Node:
        supervisor = supervising(copy_state(self.supervisor._state))
        rest = self.wishes, self.faults, self.lates, self.way, self.down, self.saved
        return Node(supervisor, self.world.copy(), *rest)

    def feed(self, event: ev.Event) -> None:
        state = self.supervisor._state
        now = state.now
        if isinstance(event, ev.DeadlinePassed):
            deadline = self.supervisor.next_deadline()
            assert deadline is not None
            now = max(now, deadline)
        self.way = (event, self.way)
        self.world.happen(event)
        if isinstance(event, Upgraded):
            self.supervisor = restored(self.supervisor)
            state = self.supervisor._state
        before = {key: slot.target for key, slot in state.slots.items()}
        ready = {pid for pid, process in self.world.processes.items() if process.ready and process.staying}
        exchanging = {kind: len(keys) for kind, keys in state.exchanging.items()}
        harmless, fatal = auxiliary(state, event), condemns(state, event)
        try:
            actions = self.supervisor.handle(event, now)
            self.world.carry_out(actions)
            self.world.leave_orphans()
            if any(isinstance(one, Announce) and one.stage == "done" for one in actions):
                self.saved = Saved(copy_state(self.supervisor._state), self.world.contexts)
            failed = [one for one in actions if isinstance(one, Announce) and one.stage == "failed"]
            assert not (harmless and failed), "an auxiliary worker has failed a change"
            assert not fatal or failed, "a canary was found worse, and serves on"
            check(self, ready, before)
            self.down = check_supply(self, now)
            check_exchanges(self.supervisor._state, exchanging)
        except Exception as error:
            raise AssertionError(f"{error!r} after:\n" + "\n".join(map(repr, self.events()))) from error

    def events(self) -> list[ev.Event]:
        events, way = [], self.way
        while way is not None:
            event, way = way
            events.append(event)
        return events[::-1]


def restored(supervisor: Supervisor) -> Supervisor:
    """What another program makes of a snapshot: the same."""
    snapshot = Snapshot("9.9", "3.99", supervisor.generation, supervisor.snapshot(), {"children": [1]})
    read = from_bytes(to_bytes(snapshot))
    assert read == snapshot
    again = Supervisor.restore(read.state)
    assert again._state == supervisor._state
    assert again.next_deadline() == supervisor.next_deadline()
    return again


def auxiliary(state: State, event: ev.Event) -> bool:
    """Whether it is the end of an auxiliary worker, which no command has asked for."""
    worker = state.workers.get(event.pid) if isinstance(event, ev.WorkerEnded) else None
    if worker is None or worker.target is None or not worker.target.kind.auxiliary or worker.asked:
        return False
    return state.stopping is None and (state.change is None or state.change.what != "restart")


def condemns(state: State, event: ev.Event) -> bool:
    """Whether it is a reason to withdraw the judged reload that is under way."""
    change = state.change
    if change is None or change.bake is None or not change.on_trial:
        return False
    if isinstance(event, ev.Measured):
        first = change.bake.first
        worse = any(sample.new.errors for sample in event.samples)
        return worse and change.bake.due and bool(first) and event.generation == change.generation
    worker = state.workers.get(event.pid) if isinstance(event, ev.WorkerEnded) else None
    if worker is None or worker.target is None or worker.asked:
        return False
    slot = state.slots[worker.target.entry.key]
    return slot.target == worker.target and slot.key in change.bake.keys and slot.done != worker.target.edition


def check_trial(state: State) -> None:
    """While the first workers of a generation are judged, no other slot has one, and an end is to come."""
    change = state.change
    if change is None or change.bake is None or not change.on_trial:
        return
    moved = {key for key, slot in state.slots.items() if slot.target and slot.target.generation == change.generation}
    assert moved <= change.bake.keys.keys(), "moved before the verdict"
    others = {slot.kind for key, slot in state.slots.items() if slot.target and key not in moved}
    assert change.bake.begun is None or change.bake.deadline is not None
    assert state.molds[state.generation].retired is False
    assert others or not moved


def supervising(state: State) -> Supervisor:
    supervisor = Supervisor.__new__(Supervisor)
    supervisor._state = state
    return supervisor


def copy_state(state: State) -> State:
    new = twin(state)
    new.workers = {pid: twin(worker) for pid, worker in state.workers.items()}
    new.slots = {key: twin(slot) for key, slot in state.slots.items()}
    for slot in new.slots.values():
        slot.pids = slot.pids.copy()
    new.molds = {generation: twin(mold) for generation, mold in state.molds.items()}
    for mold in new.molds.values():
        mold.idle, mold.asking = mold.idle.copy(), mold.asking.copy()
        mold.stalled = mold.stalled.copy()
    new.queue = [copy_change(change) for change in state.queue]
    new.change = None if state.change is None else copy_change(state.change)
    new.scaling = {kind: replace(scaling, keys=scaling.keys.copy()) for kind, scaling in state.scaling.items()}
    if state.stopping is not None:
        new.stopping = replace(state.stopping, askers=state.stopping.askers.copy())
    new.orphans = {pid: twin(orphan) for pid, orphan in state.orphans.items()}
    new.upgrading = None if state.upgrading is None else twin(state.upgrading)
    new.overrides, new.untried, new.heap = state.overrides.copy(), state.untried.copy(), state.heap.copy()
    new.room, new.worn = state.room.copy(), state.worn.copy()
    new.lacking, new.leaving, new.aside = state.lacking.copy(), state.leaving.copy(), state.aside.copy()
    new.exchanging = {kind: keys.copy() for kind, keys in state.exchanging.items()}
    new.paces = {kind: copy_pace(pace) for kind, pace in state.paces.items()}
    new.lined_up = {kind: keys.copy() for kind, keys in state.lined_up.items()}
    new.actions, new.dirty_slots, new.dirty_molds, new.kinds_with_room = [], {}, {}, {}
    return new


def copy_pace(pace: Any) -> Any:
    new = twin(pace)
    new.waiting, new.failed = pace.waiting.copy(), pace.failed.copy()
    return new


def copy_change(change: Any) -> Any:
    new = twin(change)
    new.askers, new.before = change.askers.copy(), change.before.copy()
    new.pending, new.flight, new.canaries = change.pending.copy(), change.flight.copy(), change.canaries.copy()
    if change.bake is not None:
        bake = change.bake
        new.bake = replace(bake, keys=bake.keys.copy(), parts=bake.parts.copy(), slow=bake.slow.copy())
    return new


def check(node: Node, ready: set[int], before: dict[str, Any]) -> None:
    """What holds in every state, whatever led there."""
    state, world = node.supervisor._state, node.world
    assert set(state.workers) == set(world.processes)
    assert set(state.molds) >= set(world.molds)
    wanted: dict[str, int] = {}
    surge: dict[str, int] = {}
    planned = state.plan.entries + (state.change.plan.entries if state.change and state.change.plan else ())
    counts = Counter(kind for _, kind in {(entry.key, entry.kind) for entry in planned})
    for slot in state.slots.values():
        if slot.target is not None:
            kind = slot.target.kind
            wanted[kind.name] = wanted.get(kind.name, 0) + 1
            surge[kind.name] = 0 if kind.options.replace == "old-first" else (counts[kind.name] + 3) // 4
    for pid, process in world.processes.items():
        gone = pid in ready and not process.staying
        home = state.slots.get(process.key)
        if gone and home is not None and home.target is not None and home.target.kind.options.replace == "new-first":
            successors = [one for one in world.living(process.key) if one.ready and one.staying]
            assert successors or home.target is not before[process.key] is not None, (
                "drained before the new one was ready"
            )
    world.check_surge({kind: (count, surge[kind]) for kind, count in wanted.items()})
    check_trial(state)
    check_deadlines(node.supervisor)
    check_health(node)


def check_supply(node: Node, now: float) -> dict[str, float]:
    """A pool that has lately been ready is never without a worker on its way for longer than the limit.

    What the world owes is on its way: a fork, the end of a worker that the next one waits for, a mold's import. Return
    since when each pool has had no ready worker.
    """
    state, world = node.supervisor._state, node.world
    wanted = {
        slot.target.kind.name
        for slot in state.slots.values()
        if slot.target is not None and slot.done != slot.target.edition
    }
    ready = {process.kind for process in world.processes.values() if process.ready and process.staying}
    down = {kind: node.down.get(kind, now) for kind in world.proven - ready}
    for kind in down.keys() & wanted:
        keys = {slot.key for slot in state.slots.values() if slot.kind == kind}
        coming = [
            any(process.key in keys for process in world.processes.values()),
            any(key in keys for _, key in world.spawns),
            any(mold.due or mold.ending or mold.pending_forks for mold in world.molds.values()),
        ]
        if not any(coming) and world.exited is None:
            first = node.supervisor.next_deadline()
            pace = state.paces.get(kind)
            # A worker that was ready for a moment and did no work has not ended the outage.
            since = min(down[kind], pace.since) if pace is not None and pace.failures else down[kind]
            limit = max(LIMIT, (now - since) / 40)
            assert first is not None, f"{kind} is down and nothing is to come"
            assert first - now <= limit + 0.001, f"{kind} is down, and nothing is to come for {first - now} s"
    return down


def check_health(node: Node) -> None:
    """What is counted as slots change is what a walk over all of them would count."""
    state, processes = node.supervisor._state, node.world.processes
    wanted = {key: slot.target for key, slot in state.slots.items() if slot.target and not slot.target.kind.auxiliary}
    ready = {process.key for process in processes.values() if process.ready and process.staying}
    ready |= {key for key, target in wanted.items() if state.slots[key].done == target.edition}
    health = node.supervisor.health()
    assert (health.ready, health.wanted) == (len(ready & wanted.keys()), len(wanted))
    assert not state.untried.keys() & state.aside.keys()


def check_exchanges(state: State, before: dict[str, int]) -> None:
    """No exchange begins without room. Where scaling has left less room, those that have begun may end."""
    for kind, keys in state.exchanging.items():
        assert len(keys) <= max(state.room[kind], before.get(kind, 0))
        assert all(state.slots[key].exchange == kind for key in keys)


def check_deadlines(supervisor: Supervisor) -> None:
    """Whatever is waited for has its end."""
    state = supervisor._state
    waits: list[float] = []
    for worker in state.workers.values():
        if worker.phase in ("starting", "draining", "killed", "dismissed"):
            assert worker.deadline is not None
            waits.append(worker.deadline)
        else:
            assert worker.deadline is None
    for mold in state.molds.values():
        if mold.phase != "ready" or mold.pending_forks:
            assert mold.deadline is not None, mold
            waits.append(mold.deadline)
        assert len(set(mold.idle)) == len(mold.idle)
        started = [w for w in state.workers.values() if w.phase == "starting" and w.generation == mold.generation]
        assert mold.starting == len([w for w in started if w.target and w.target.holds_up_spares])
    for slot in state.slots.values():
        if slot.target is not None and not slot.pids:
            mold = state.molds[slot.target.generation]
            assert not slot.waits or slot.key in state.pace(slot.kind).waiting
            waits_for = [
                slot.deadline is not None,
                slot.waits and state.pace(slot.kind).deadline is not None,
                slot.spawning is not None,
                slot.done == slot.target.edition,
                slot.key in mold.asking and bool(mold.pending_forks or mold.deadline),
            ]
            assert any(waits_for), f"nothing will ever fill {slot.key}"
    first = supervisor.next_deadline()
    if waits and not state.exited:
        assert first is not None
        assert first <= min(waits)


def canonical(node: Node) -> int:
    """A number that two states share when only names and the hour tell them apart."""
    state, world = node.supervisor._state, node.world
    now = state.now
    names: dict[int, int] = {}
    editions: dict[int, int] = {0: 0}

    def when(moment: float | None) -> float | None:
        return None if moment is None else round(moment - now, 3)

    def trial(bake: Any) -> Any:
        if bake is None:
            return None
        first = bake.first[0].old.requests if bake.first else None
        return (
            tuple(bake.keys), when(bake.begun), when(bake.deadline), bake.due, bake.held, bake.over,
            first is not None and world.counted - first,
        )  # fmt: skip

    def edition(target: Any) -> Any:
        if target is None:
            return None
        return editions.setdefault(target.edition, len(editions)), target.generation, target.entry.digest

    def person(pid: int) -> Any:
        names.setdefault(pid, len(names))
        worker, process = state.workers[pid], world.processes[pid]
        return (
            worker.phase, when(worker.deadline), edition(worker.target), worker.generation, worker.asked,
            process.ready, process.killed, worker.backlogs, worker.drained, worker.hastened, worker.cut,
        )  # fmt: skip

    slots = tuple(
        (
            slot.key, edition(slot.target), tuple(map(person, slot.pids)),
            slot.reserve and person(slot.reserve), slot.asking, edition(slot.spawning),
            editions.get(slot.done, -1) if slot.done else 0, slot.failures, slot.failed_starts, when(slot.deadline),
            slot.exchange, slot.waits,
        )
        for slot in state.slots.values()
    )  # fmt: skip
    molds = tuple(
        (
            generation, mold.phase, when(mold.deadline), mold.retired, tuple(map(person, mold.idle)),
            tuple(mold.asking), tuple(mold.stalled), mold.pending_forks, mold.failures,
            mold.failed_forks, max(0.0, mold.pause_until - now), mold.extra, mold.extra and when(mold.extra_until),
            max(0.0, mold.last_death + SPEC.extra_below - now),
            generation in world.molds and (world.molds[generation].due, world.molds[generation].ending),
        )
        for generation, mold in state.molds.items()
    )  # fmt: skip
    rest = sorted(repr(person(pid)) for pid in state.workers if pid not in names)
    changes = tuple(
        (
            change.what, change.dry, tuple(change.askers), change.key, change.stage, change.generation,
            tuple(change.canaries), trial(change.bake),
            change.opened,
            tuple((key, edition(target)) for key, target in change.before.items()),
            tuple((key, edition(target)) for key, target in change.pending.items()), tuple(change.flight),
        )
        for change in (state.change, *state.queue)
        if change is not None
    )  # fmt: skip
    scaling = tuple((kind, one.asker, tuple(one.keys), when(one.deadline)) for kind, one in state.scaling.items())
    paces = tuple(
        (
            kind, pace.ready, when(pace.down_since), pace.early,
            pace.failures, pace.failures and (when(pace.since), when(pace.last)),
            round(max(0.0, pace.spent - (now - pace.counted) * (rate if pace.ready else SPEC.rate_down)), 3),
            tuple(pace.waiting), tuple(pace.failed), when(pace.deadline),
        )
        for kind, pace, rate in ((kind, pace, state.rate(kind)) for kind, pace in state.paces.items())
    )  # fmt: skip
    lines = tuple((kind, tuple(keys)) for kind, keys in state.lined_up.items() if keys)
    return hash((
        lines, paces, slots, molds, tuple(rest), changes, scaling, state.generation, state.newest, state.proven,
        state.former and (state.former.generation, when(state.former.deadline)),
        tuple(state.untried), tuple(state.overrides.items()), state.stopping is not None, state.exited,
        world.spawns, world.binding is not None, world.bound, world.shards, node.wishes, node.faults, node.lates,
        state.upgrading and (state.upgrading.asker, state.upgrading.replacing), world.replacing,
        tuple(when(orphan.deadline) for orphan in state.orphans.values()),
        tuple(mold.foreign for mold in state.molds.values()),
        world.contexts, bool(state.last_failure), tuple(person(pid) for pid in state.worn), state.recycling,
    ))  # fmt: skip


def successors(scenario: Scenario, node: Node) -> Iterator[Node]:
    if node.world.exited is not None:
        return
    moved = False
    for event in list(node.world.kind_answers()):
        yield step(node, event)
        moved = True
    if node.wishes < len(scenario.wishes):
        after = step(node, scenario.wishes[node.wishes])
        after.wishes += 1
        yield after
        moved = True
    if node.faults < scenario.faults:
        for event in list(node.world.faults()):
            if isinstance(event, scenario.fault_kinds):
                after = step(node, event)
                after.faults += 1
                yield after
    if node.supervisor.next_deadline() is not None and (node.lates < scenario.lates or not moved):
        after = step(node, ev.DeadlinePassed())
        after.lates += moved
        yield after


def step(node: Node, event: ev.Event) -> Node:
    after = node.copy()
    after.feed(event)
    return after


def behave(node: Node, limit: int = 400) -> Node:
    """Let the world do its part, and nothing else, until nothing is left to do."""
    node = node.copy()
    for _ in range(limit):
        event = next(node.world.kind_answers(), None)
        if event is None:
            state = node.supervisor._state
            waiting = any(slot.deadline is not None or slot.waits for slot in state.slots.values())
            waiting |= any(mold.deadline is not None for mold in state.molds.values())
            waiting |= state.former is not None
            waiting |= any(bake.deadline is not None for bake in state.baking.values())
            if not waiting or state.exited:
                return node
            event = ev.DeadlinePassed()
        node.feed(event)
    raise AssertionError("it does not come to rest")


def check_rest(node: Node) -> None:
    """Once the world behaves, what is wanted is there and nothing else; a stop has come to its end."""
    rest = behave(node)
    state, world = rest.supervisor._state, rest.world
    if state.stopping is not None:
        assert world.exited is not None
        return
    assert not world.waiting
    assert not world.under_way
    assert state.change is None
    assert not state.queue
    assert not state.worn
    wanted = state.plan.wanted(state.overrides)
    there = sorted(process.key for process in world.processes.values() if process.ready)
    done = {slot.key for slot in state.slots.values() if slot.target and slot.done == slot.target.edition}
    assert there == sorted(set(wanted) - done)
    spares = [process for process in world.processes.values() if not process.key]
    assert len(spares) == state.options.spares
    assert list(world.molds) == [state.generation]
    assert world.bound == set(state.plan.listeners)


def killed(node: Node) -> Node | None:
    """Kill the master, and let another one adopt what lives; None where nothing is to be adopted."""
    if node.saved is None or node.world.exited is not None:
        return None
    old, world = node.supervisor._state, node.world.copy()
    try:
        supervisor = Supervisor.adopting(json.loads(json.dumps(node.saved.state)), old.spec)
    except MalformedSnapshot:
        return None
    state, targets = supervisor._state, {pid: worker.target for pid, worker in old.workers.items()}
    world.processes = {pid: process for pid, process in world.processes.items() if survives(process, targets[pid])}
    world.molds, world.spawns, world.binding, world.forgotten = {}, (), None, frozenset()
    world.contexts, world.bound, world.newest = node.saved.contexts, frozenset(supervisor.listeners), state.newest
    world.waiting, world.replacing, world.stopping, world.shards = frozenset(), False, False, frozenset()
    world.under_way = frozenset({(state.change.name, state.change.key)} if state.change else ())
    survivors, told = [], dict[int, None]()
    for pid, process in world.processes.items():
        process.adopted, target, known = False, targets[pid], state.workers.get(pid)
        if process.ready and (known is None or known.ready_at is None):
            process.ready, told[pid] = False, None
        assert target is not None
        asked = process.generation, process.key, target.entry.digest, 30.0, process.asked
        survivors.append(Survivor(pid, *asked))
    after = Node(supervisor, world, node.wishes, node.faults, node.lates, (Survived(()), node.way), {}, node.saved)
    assert not supervisor.handle(ev.Started(), old.now), "Survived decides"
    after.feed(Survived(tuple(survivors)))
    for pid in told.keys() & world.processes.keys():
        after.feed(ev.WorkerReady(pid))
    return after


def survives(process: Process, target: Any) -> bool:
    """Whether a process outlives its master; a spare does not, nor one that must never run twice."""
    return target is not None and not process.killed and target.kind.options.replace == "new-first"


def check_kill(node: Node) -> None:
    """A master that is killed leaves workers that the next one keeps, as far as the snapshot is up to date."""
    after = killed(node)
    if after is None or node.saved is None:
        return
    slots = node.supervisor._state.slots.values()
    current = {worker.pid for slot in slots if (worker := up_to_date(node.supervisor._state, slot)) is not None}
    pids = {pid for pid, process in after.world.processes.items() if process.ready and pid in current}
    rest = behave(after)
    check_rest(rest)
    state = node.supervisor._state
    whole = state.change is None and node.saved.state == node.supervisor.snapshot()
    if whole and rest.supervisor._state.plan == state.plan:
        assert pids <= rest.world.processes.keys(), "a worker was lost that could have been kept"


def check_upgrade(node: Node) -> None:
    """An upgrade at any moment changes nothing that is left in the end."""
    state = node.supervisor._state
    restored(node.supervisor)
    whole = not state.queue and (state.change is None or state.change.stage == "rolling")
    if state.stopping is None and node.world.exited is None and state.upgrading is None and whole:
        after = behave(step(node, UPGRADE))
        assert after.world.replies[-1].ok or after.world.exited is not None, after.world.replies
        assert left(after) == left(behave(node))


def left(node: Node) -> Any:
    """What is there in the end, whatever pids it has."""
    processes = node.world.processes.values()
    there = sorted((process.key, process.generation, process.ready) for process in processes)
    return there, sorted(node.world.molds), node.supervisor._state.plan, node.world.exited


def root(scenario: Scenario) -> Node:
    world = World(scenario.plans, scenario.replans or {})
    node = Node(Supervisor(SPEC), world, 0, 0, 0)
    node.feed(ev.Started())
    return behave(node) if scenario.settled else node


@dataclass
class Seen:
    states: int = 0
    steps: int = 0
    rests: int = 0
    exits: int = 0


def explore(scenario: Scenario, most: int | None = None, seed: int = 0, every: tuple[int, int] = (7, 2)) -> Seen:
    """Visit every state, or `most` in an order drawn from `seed`; raise AssertionError with the way to a bad one."""
    rest_every, hand_over_every = every
    first = root(scenario)
    known = {canonical(first)}
    frontier, chance = deque([first]), random.Random(seed)
    seen = Seen(1)
    while frontier:
        if most is not None:
            if seen.states >= most:
                break
            frontier.rotate(chance.choice((0, 1)))  # From the end deep states come, from the front shallow ones.
        # All of them: depth first, since the frontier of the breadth is millions of states.
        node = frontier.pop() if most is None else frontier.popleft()
        for after in successors(scenario, node):
            seen.steps += 1
            name = canonical(after)
            if name in known:
                continue
            known.add(name)
            seen.states += 1
            if seen.states % 20000 == 0:
                print(f"  {seen.states} states, {len(frontier)} to go", file=sys.stderr)
            assert seen.states < MOST, "more states than this scenario was meant to have"
            seen.exits += after.world.exited is not None
            if seen.states % rest_every == 0:
                try:
                    check_rest(after)
                    if not seen.rests % hand_over_every:
                        check_kill(after)
                        check_upgrade(after)
                except AssertionError as error:
                    raise AssertionError(
                        f"no rest, {error!r} after:\n" + "\n".join(map(repr, after.events()))
                    ) from error
                seen.rests += 1
            frontier.append(after)
    return seen


def plan(generation: int, web: int = 1, most: int = 2, solo: bool = True, **more: Any) -> Plan:
    kinds = (
        Kind("web", KindOptions(start_timeout=50, drain_timeout=30)),
        Kind("solo", KindOptions(replace="old-first", start_timeout=50, drain_timeout=30)),
        Kind("agent", KindOptions(start_timeout=50, drain_timeout=30), auxiliary=True),
    )
    keys = tuple(f"web/{number}" for number in range(most))
    entries = tuple(Entry(key, "web", f"d{generation}", more.get("spawn", "fork")) for key in keys)
    if solo:
        entries += (Entry("solo", "solo", f"d{generation}"),)
    if more.get("agent"):
        entries += (Entry("agent", "agent", f"d{generation}"),)
    return Plan(entries, kinds, (Pool("web", keys, web),), more.get("listeners", ()))


HTTP, ADMIN = Listener("http", "tcp://127.0.0.1:80"), Listener("admin", "tcp://127.0.0.1:81")
METRICS = Listener("agent", "tcp://127.0.0.1:82", auxiliary=True)
RELOAD = ev.CommandReceived(1, cmd.Reload())
REPLAN = ev.CommandReceived(2, cmd.Replan())
REPLAN_AGAIN = ev.CommandReceived(10, cmd.Replan())
SCALE = ev.CommandReceived(3, cmd.Scale("web", 2))
GROW = ev.CommandReceived(15, cmd.Scale("web", 3))
SHRINK = ev.CommandReceived(4, cmd.Scale("web", 1))
RESTART = ev.CommandReceived(5, cmd.Restart("solo"))
RESTART_AGENT = ev.CommandReceived(12, cmd.Restart("agent"))
AGAIN = ev.CommandReceived(6, cmd.Reload())
THIRD = ev.CommandReceived(11, cmd.Reload())
LOOK = ev.CommandReceived(8, cmd.Preview("reload"))
LOOK_AGAIN = ev.CommandReceived(9, cmd.Preview("replan"))
WEB_1 = ev.CommandReceived(7, cmd.Restart("web/1"))
STOP = ev.SignalReceived("TERM")
HUP = ev.SignalReceived("HUP")
UPGRADE = ev.CommandReceived(90, cmd.Upgrade())

UPGRADES = (Upgraded, UpgradeFailed, ev.WorkerEnded)
DEATHS = (ev.WorkerEnded, ev.MoldEnded)
WEAR = (ev.WorkerEnded, ev.WorkerWornOut)
EXITS = (ev.WorkerEnded, ev.WorkerDrained)
TWO = {n: plan(n) for n in (1, 2, 3)}
WIDE = {n: plan(n, web=2) for n in (1, 2, 3)}
THREE = {n: plan(n, most=1, solo=False) for n in (1, 2, 3, 4)}
SHARDS = {n: plan(n, web=2, solo=False, listeners=(replace(HTTP, sharing="sharded"),)) for n in (1, 2)}
WATCHED = {n: plan(n, most=1, solo=False, agent=True, listeners=(HTTP, METRICS)) for n in (1, 2, 3)}
EXEC = {n: plan(n, spawn="exec") for n in (1, 2, 3)}
TRIED = {n: plan(n, web=2, most=3, solo=False) for n in (1, 2, 3)}
JUDGED = ev.CommandReceived(18, cmd.Reload(judge=True, bake=8.0))
JUDGED_AGAIN = ev.CommandReceived(14, cmd.Reload(bake=8.0, judge_insufficient="pass"))
FIRST = (ev.Measured, ev.WorkerEnded, ev.MoldEnded)
BACK = ev.CommandReceived(16, cmd.Back())
AHEAD = ev.CommandReceived(17, cmd.Back())
KEPT = {n: replace(plan(n, web=2, solo=False), options=DaemonOptions(keep_mold=500.0)) for n in (1, 2, 3)}

SCENARIOS = (
    Scenario("start, two faults", {1: plan(1, web=2)}, faults=2, lates=1),
    Scenario("start, stop", {1: plan(1, web=2)}, (STOP,), faults=1, lates=1),
    Scenario("scale, stop", {1: plan(1)}, (SCALE, STOP), faults=2, lates=1, settled=True),
    Scenario("reload", TWO, (RELOAD,), faults=1, lates=1, settled=True),
    Scenario("reload, two crashes", TWO, (RELOAD,), faults=2, settled=True),
    Scenario("reload, scale, stop", TWO, (RELOAD, SCALE, STOP), faults=1, settled=True, fault_kinds=DEATHS),
    Scenario("reload while it starts", TWO, (RELOAD,), faults=1, lates=1),
    Scenario("reload twice", {n: plan(n, most=1) for n in (1, 2, 3)}, (RELOAD, AGAIN), faults=1, settled=True),
    Scenario("reload three times", THREE, (RELOAD, AGAIN, THIRD), lates=1, settled=True),
    Scenario("preview, reload", {n: plan(n, most=1) for n in (1, 2, 3)}, (LOOK, RELOAD), faults=1, settled=True),
    Scenario("preview twice", TWO, (LOOK_AGAIN, LOOK), faults=2, lates=1, settled=True),
    Scenario("births fail", TWO, (RELOAD,), faults=2, settled=True, fault_kinds=(ev.ForkFailed, ev.WorkerEnded)),
    Scenario("restart, shrink", WIDE, (WEB_1, SHRINK, RESTART), faults=1, settled=True),
    Scenario("two wear out", WIDE, faults=3, settled=True, fault_kinds=WEAR),
    Scenario("one wears out, reload", TWO, (RELOAD,), faults=2, settled=True, fault_kinds=WEAR),
    Scenario("reload, two drain or end", WIDE, (RELOAD,), faults=2, settled=True, fault_kinds=EXITS),
    Scenario("shards, shrink, reload, grow, stop", SHARDS, (SHRINK, RELOAD, SCALE, STOP), lates=1, settled=True),
    Scenario("shards, reload, stop, a crash", SHARDS, (RELOAD, STOP), faults=1, settled=True, fault_kinds=DEATHS),
    Scenario("judged reload", WIDE, (JUDGED,), faults=2, settled=True, fault_kinds=FIRST),
    Scenario("judged reload, scale, shrink", TRIED, (JUDGED, GROW, SHRINK), faults=1, settled=True, fault_kinds=FIRST),
    Scenario("judged reload twice", TRIED, (JUDGED, JUDGED_AGAIN), faults=1, settled=True, fault_kinds=FIRST),
    Scenario("judged reload, restart, stop", WIDE, (JUDGED, WEB_1, STOP), faults=1, settled=True, fault_kinds=FIRST),
    Scenario("reload, back", KEPT, (RELOAD, BACK), faults=1, settled=True, fault_kinds=DEATHS),
    Scenario("reload, back, back, stop", KEPT, (RELOAD, BACK, AHEAD, STOP), settled=True),
    Scenario("exec", EXEC, (RELOAD, STOP), faults=1, settled=True, fault_kinds=(ev.SpawnFailed, ev.WorkerEnded)),
    Scenario("start with an agent, two faults", WATCHED, faults=2, lates=1),
    Scenario("agent, reload", WATCHED, (RELOAD,), faults=2, lates=1, settled=True, fault_kinds=DEATHS),
    Scenario("agent, restart, reload, stop", WATCHED, (RESTART_AGENT, RELOAD, STOP), faults=1, settled=True),
    Scenario("upgrade, reload", THREE, (UPGRADE, RELOAD, HUP), faults=1, lates=1, fault_kinds=UPGRADES),
    Scenario("reload, upgrade, stop", TWO, (RELOAD, UPGRADE, STOP), faults=1, settled=True, fault_kinds=UPGRADES),
    Scenario("scale, upgrade", WIDE, (SHRINK, UPGRADE, HUP), faults=1, settled=True, fault_kinds=UPGRADES),
    Scenario("exec, upgrade", EXEC, (UPGRADE, HUP), faults=2, settled=True, fault_kinds=UPGRADES),
    Scenario(
        "replan with other parameters, look, grow",
        {1: plan(1)},
        (REPLAN, LOOK_AGAIN, SCALE),
        faults=1,
        settled=True,
        replans={1: plan(2)},
        fault_kinds=(ev.WorkerEnded, ev.MoldEnded, ev.PlanFailed),
    ),
    Scenario(
        "replan twice",
        {1: plan(1, most=1)},
        (REPLAN, REPLAN_AGAIN),
        faults=2,
        settled=True,
        replans={1: plan(2, most=1)},
        fault_kinds=(ev.WorkerEnded, ev.MoldEnded, ev.PlanFailed),
    ),
    Scenario(
        "replan with other listeners, restart",
        {1: plan(1, listeners=(HTTP,))},
        (REPLAN, RESTART),
        faults=1,
        settled=True,
        replans={1: plan(1, web=2, listeners=(HTTP, ADMIN))},
        fault_kinds=(ev.WorkerEnded, ev.MoldEnded, ev.PlanFailed, ev.BindFailed, ev.ForkFailed),
    ),
)
"""What `make test` explores in part, and `make proof` as a whole."""

LARGE = (
    Scenario("upgrade, reload, two faults", THREE, (UPGRADE, RELOAD, HUP), faults=2, lates=1, fault_kinds=UPGRADES),
    Scenario(
        "reload, scale, stop, two crashes",
        TWO,
        (RELOAD, SCALE, STOP),
        faults=2,
        settled=True,
        fault_kinds=DEATHS,
    ),
    Scenario("wide reload, two faults", WIDE, (RELOAD,), faults=2, lates=1, settled=True),
    Scenario("reload, three drain or end", WIDE, (RELOAD,), faults=3, settled=True, fault_kinds=EXITS),
    Scenario("wide reload, stop", WIDE, (RELOAD, STOP), faults=1, lates=1, settled=True),
    Scenario("restart, shrink, two faults", WIDE, (WEB_1, SHRINK, RESTART), faults=2, lates=1, settled=True),
    Scenario("shrink, reload, grow", WIDE, (SHRINK, RELOAD, SCALE), faults=1, settled=True),
    Scenario(
        "exec, late",
        EXEC,
        (RELOAD, STOP),
        faults=1,
        lates=1,
        settled=True,
        fault_kinds=(ev.SpawnFailed, *DEATHS),
    ),
)
"""Up to millions of states each, a third of a millisecond a state: only `make proof` explores them."""


def main(arguments: list[str]) -> int:
    chosen = [scenario for scenario in SCENARIOS + LARGE if scenario.name in arguments]
    for scenario in chosen or SCENARIOS:
        begin = time.process_time()
        seen = explore(scenario)
        spent = time.process_time() - begin
        print(f"{scenario.name}: {seen.states} states, {seen.steps} steps, {seen.rests} let rest, {spent:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
