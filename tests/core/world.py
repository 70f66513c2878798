"""A shell made of plain values: it owes what the contract says, and pays in any order that it is told to.

Every order is checked against what the world knows, which is never asked of the supervisor: that is what
makes the checks of the random tests and of the explorer worth something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from prefork._core import actions as act
from prefork._core import events as ev
from prefork._core.handover.facts import Upgraded, UpgradeFailed
from prefork._core.handover.orders import AdoptWorker, CancelUpgrade, ReplaceProgram
from prefork._core.judge.counts import Counts, Measure, Sample

if TYPE_CHECKING:
    from prefork._core.plan import Kind, Listener, Plan

T = TypeVar("T")


@cache
def values_of(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*kind.__match_args__)


def twin(one: T) -> T:
    """Copy a dataclass, several times as fast as `copy.copy`: a step of the explorer is mostly copies."""
    kind: Any = type(one)
    return kind(*values_of(kind)(one))  # type: ignore[no-any-return]


@dataclass(slots=True)
class Process:
    generation: int
    key: str = ""  # of its order; empty for a spare
    kind: str = ""
    ready: bool = False
    asked: bool = False
    drained: bool = False
    killed: bool = False
    adopted: bool = True  # by the present master
    foreign: bool = False  # forked by another version of Python than the master's

    @property
    def staying(self) -> bool:
        return bool(self.key) and not self.asked and not self.killed


@dataclass(slots=True)
class MoldProcess:
    due: str = "import"  # or "plan", or nothing
    pending_forks: int = 0
    ending: bool = False
    foreign: bool = False


@dataclass(slots=True)
class World:
    plans: dict[int, Plan]  # by generation; what a mold answers, and answers again
    replans: dict[int, Plan] = field(default_factory=dict)
    molds: dict[int, MoldProcess] = field(default_factory=dict)
    processes: dict[int, Process] = field(default_factory=dict)
    spawns: tuple[tuple[int, str], ...] = ()
    binding: tuple[int, tuple[Listener, ...]] | None = None
    bound: frozenset[Listener] = frozenset()
    forgotten: frozenset[int] = frozenset()
    contexts: frozenset[tuple[int, str, str]] = frozenset()  # generation, key and digest of what orders may name
    shards: frozenset[str] = frozenset()  # keys whose shard another process would have to take over if all ended now
    newest: int = 0
    next_pid: int = 100
    waiting: frozenset[int] = frozenset()  # commands without a reply
    replies: tuple[act.Reply, ...] = ()
    under_way: frozenset[tuple[str, str]] = frozenset()  # announced and not ended
    reports: tuple[str, ...] = ()
    measuring: Measure | None = None
    counted: int = 0  # requests that each side of a comparison has
    proven: frozenset[str] = frozenset()  # kinds of which a worker was ready once
    orphans: dict[int, bool] = field(default_factory=dict)  # by pid: asked to drain
    replacing: bool = False  # the program of the master is to be replaced
    upgrader: int = 0  # the client that waits for that
    stopping: bool = False
    exited: int | None = None

    def copy(self) -> World:
        new = twin(self)
        new.molds = {generation: twin(mold) for generation, mold in self.molds.items()}
        new.processes = {pid: twin(process) for pid, process in self.processes.items()}
        new.orphans = self.orphans.copy()
        return new

    def kind_of(self, generation: int, key: str) -> Kind:
        for plan in (self.plans.get(generation), self.replans.get(generation)):
            for entry in plan.entries if plan is not None else ():
                if entry.key == key:
                    assert plan is not None
                    return plan.kind(entry.kind)
        raise AssertionError(f"no plan of generation {generation} has {key}")

    def living(self, key: str) -> list[Process]:
        return [process for process in self.processes.values() if process.key == key]

    # What the supervisor orders.

    def carry_out(self, actions: Sequence[act.Action]) -> None:
        orders = [isinstance(action, act.OrderWorker) for action in actions]
        assert orders == sorted(orders, reverse=True), "an order to a worker that waits for something else"
        for action in actions:
            about = action.about if isinstance(action, act.Report) else None
            assert not isinstance(about, act.Announce) or about in actions, "a report about what is not announced"
            assert self.exited is None, f"{action} after Exit"
            self.act(action)

    def leave_orphans(self) -> None:
        """What a new master has not adopted is no worker of it."""
        for pid in [pid for pid, process in self.processes.items() if not process.adopted]:
            self.orphans.setdefault(pid, False)
            del self.processes[pid]

    def act(self, action: act.Action) -> None:
        match action:
            case act.StartMold(generation):
                assert generation not in self.molds, "two molds of one generation"
                assert generation not in self.forgotten
                assert not self.stopping
                assert generation >= self.newest or generation in self.plans
                if generation > self.newest:
                    self.newest = generation
                self.molds[generation] = MoldProcess()
            case act.PlanAgain(generation):
                assert self.molds[generation].due == ""
                assert not self.molds[generation].foreign
                self.molds[generation].due = "plan"
            case act.EndMold(generation):
                if generation in self.molds:
                    self.molds[generation].ending = True
            case act.ForgetGeneration(generation):
                assert generation not in self.forgotten
                self.forgotten |= {generation}
                self.contexts = frozenset(one for one in self.contexts if one[0] != generation)
            case act.ForgetContexts(generation, named):
                self.contexts = frozenset(one for one in self.contexts if one[0] != generation or one[1:] in named)
            case act.ForkSpares(generation, count):
                mold = self.molds[generation]
                assert count > 0, action
                assert mold.pending_forks == 0, action
                assert not mold.foreign, "a fork of another Python"
                assert not mold.ending, action
                assert mold.due == "", action
                mold.pending_forks = count
            case act.DismissSpare(pid):
                process = self.processes[pid]
                assert process.key == "", action
                process.asked = True
            case act.OrderWorker(pid, generation, key, digest, listeners):
                process = self.processes[pid]
                assert process.key == "", action
                assert not process.asked, action
                assert process.generation == generation
                assert not process.foreign, "an order that this process cannot read"
                self.check_order(generation, key, digest, listeners)
                process.key, process.kind = key, self.kind_of(generation, key).name
                if any(listener.sharing == "sharded" for listener in listeners):
                    self.shards |= {key}
            case act.SpawnWorker(generation, key, digest, listeners):
                assert (generation, key) not in self.spawns
                self.check_order(generation, key, digest, listeners)
                self.spawns += ((generation, key),)
            case act.DrainBacklogs(pid, listeners):
                process = self.processes[pid]
                assert process.asked
                if any(listener.sharing == "sharded" for listener in listeners):
                    self.shards -= {process.key}
            case act.CutDrain(pid):
                assert self.processes[pid].asked
                assert len(self.living(self.processes[pid].key)) > 1, "cut for no other worker"
            case act.ForgetSlot(key):
                assert not any(process.adopted for process in self.living(key)), "forgot a slot that is lived in"
                assert key not in self.shards, "forgot a slot whose queue no worker was told to empty"
            case act.AskToDrain(pid, backlogs):
                process = self.processes[pid]
                if any(listener.sharing == "sharded" for listener in backlogs):
                    self.shards -= {process.key}
                assert process.key, action
                assert not process.asked, "asked to drain twice"
                process.asked = True
            case act.KillWorker(pid, _):
                self.processes[pid].killed = True
            case act.Bind(generation, listeners):
                assert not self.bound.intersection(listeners)
                assert self.binding is None or self.stopping
                self.binding = (generation, listeners)
            case act.Unbind(listeners):
                if self.binding is not None and set(self.binding[1]) <= set(listeners):
                    self.binding = None
                self.bound -= frozenset(listeners)
            case act.Reply(asker):
                assert asker in self.waiting, "a second reply, or one that no client waits for"
                self.waiting -= {asker}
                self.replies += (action,)
            case act.Report(text):
                self.reports += (text,)
            case act.Exit(status):
                assert not self.processes, "left processes behind"
                assert not self.molds, "left a mold behind"
                assert not self.spawns
                assert not self.waiting, "left a client waiting"
                assert not self.under_way, "left a client watching for an end"
                self.exited = status
            case act.Announce(what, "planning" | "rolling", _, slot, _, _, pool):
                self.under_way |= {(what, slot or pool)}
            case act.Announce(what, "done" | "failed", _, slot, _, _, pool):
                assert (what, slot or pool) in self.under_way, "the end of what was not begun"
                self.under_way -= {(what, slot or pool)}
            case ReplaceProgram(asker):
                assert not self.replacing, "ordered twice"
                assert self.waiting <= {asker}, "a client would lose its connection"
                self.replacing, self.upgrader = True, asker
            case CancelUpgrade():
                assert self.replacing
                self.replacing = False
            case AdoptWorker(pid):
                process = self.processes[pid]
                assert not process.adopted
                process.adopted = True
            case act.Measure():
                self.measuring = action
            case act.DrainOrphan(pid) | act.KillOrphan(pid):
                if pid in self.orphans:  # Not one that a test has made up.
                    self.orphans[pid] = True
            case act.ReopenLogs() | act.ReportStacks() | act.Announce():
                pass
            case act.Watch() | act.SendSignal():
                raise AssertionError(action)
            case _:
                assert_never(action)

    def check_order(self, generation: int, key: str, digest: str, listeners: tuple[Listener, ...]) -> None:
        assert not self.stopping
        assert generation not in self.forgotten, "an order of a generation that is over"
        assert (generation, key, digest) in self.contexts, "an order names a context that was let go"
        assert self.bound.issuperset(listeners), "an order names a listener that is not open"
        living = self.living(key)
        if self.kind_of(generation, key).options.replace == "old-first":
            assert not living, f"{key} twice"
            assert all(spawn[1] != key for spawn in self.spawns)
        living = [process for process in living if process.adopted]  # An orphan is none of this master's.
        assert len([process for process in living if process.staying]) <= 1, f"{key} three times"
        assert len([process for process in living if not process.drained]) <= 2, f"{key}: two drain already"

    def check_surge(self, kinds: dict[str, tuple[int, int]]) -> None:
        """kind -> wanted, surge: never more than both together that are not on their way out."""
        for kind, (wanted, surge) in kinds.items():
            staying = [process for process in self.processes.values() if process.staying and process.kind == kind]
            assert len(staying) <= wanted + surge, f"{len(staying)} of {kind}, wanted {wanted} and {surge}"

    # What may happen next. Each is an event together with what it makes of the world.

    def happen(self, event: ev.Event) -> None:
        # A slot without a process leaves its queue to the next one; it has no owner if there will be none.
        self.shards = frozenset(key for key in self.shards if self.living(key))
        match event:
            case ev.MoldPlanned(generation, plan):
                self.molds[generation].due = ""
                self.contexts |= {(generation, entry.key, entry.digest) for entry in plan.entries}
            case ev.PlanFailed(generation):
                self.molds[generation].due = ""
            case ev.MoldFailed(generation) | ev.WarmingFailed(generation):
                self.molds[generation].due = ""
                self.molds[generation].ending = True
            case ev.MoldEnded(generation):
                del self.molds[generation]
            case ev.SpareForked(generation, pid):
                self.molds[generation].pending_forks -= 1
                self.born(pid, Process(generation, foreign=self.molds[generation].foreign))
            case ev.ForkFailed(generation, count):
                self.molds[generation].pending_forks -= count
            case ev.WorkerSpawned(generation, key, pid):
                self.spawns = tuple(one for one in self.spawns if one != (generation, key))
                self.born(pid, Process(generation, key, self.kind_of(generation, key).name))
            case ev.SpawnFailed(generation, key):
                self.spawns = tuple(one for one in self.spawns if one != (generation, key))
            case ev.WorkerReady(pid):
                self.processes[pid].ready = True
                self.proven |= {self.processes[pid].kind}
            case ev.WorkerDrained(pid):
                self.processes[pid].drained = True
            case ev.WorkerEnded(pid):
                process = self.processes.pop(pid)
                if (process.killed or not process.asked) and not self.living(process.key):
                    self.shards -= {process.key}  # A crash: no process is left to empty it.
            case ev.ListenersBound():
                assert self.binding is not None
                self.bound |= frozenset(self.binding[1])
                self.binding = None
            case ev.BindFailed():
                self.binding = None
            case Upgraded() | UpgradeFailed():
                self.replacing = False
                if isinstance(event, Upgraded) and event.other_python:
                    for mold in self.molds.values():
                        mold.foreign = True
                    for process in self.processes.values():
                        process.foreign = True
            case ev.OrphanEnded(pid):
                self.orphans.pop(pid, None)
            case ev.Measured(_, samples):
                self.measuring, self.counted = None, samples[0].old.requests
            case ev.CommandReceived(asker):
                self.waiting |= {asker}
            case ev.SignalReceived("TERM"):
                self.stopping = True
            case _:
                pass

    def born(self, pid: int, process: Process) -> None:
        assert pid not in self.processes
        self.processes[pid] = process
        self.next_pid = max(self.next_pid, pid + 1)

    def measured(self, order: Measure, more: int, errors: int = 0) -> ev.Measured:
        """Both sides have counted as many requests more; `errors`: of all those of the new one."""
        counts = Counts(self.counted + more, 0, ((0.01, self.counted + more),))
        new = replace(counts, errors=errors)
        return ev.Measured(order.generation, tuple(Sample(kind, new, counts) for kind in order.kinds))

    def kind_answers(self) -> Iterator[ev.Event]:
        """What a world owes that behaves."""
        for generation, mold in self.molds.items():
            if mold.ending:
                yield ev.MoldEnded(generation, "exited 0")
            elif mold.due == "import":
                yield ev.MoldPlanned(generation, self.plans[generation])
            elif mold.due == "plan":
                yield ev.MoldPlanned(generation, self.replans.get(generation, self.plans[generation]))
            elif mold.pending_forks:
                yield ev.SpareForked(generation, self.next_pid)
        if self.binding is not None:
            yield ev.ListenersBound(self.binding[0])
        if self.replacing:
            yield Upgraded(self.upgrader, 0.05, "prefork 9.9")
        if self.measuring is not None:
            yield self.measured(self.measuring, 1000)
        for generation, key in self.spawns:
            yield ev.WorkerSpawned(generation, key, self.next_pid)
        for pid in [pid for pid, asked in self.orphans.items() if asked]:
            yield ev.OrphanEnded(pid)
        for pid, process in self.processes.items():
            if process.asked or process.killed:
                yield ev.WorkerEnded(pid, 0 if process.asked else -9, "exited")
            elif process.key and not process.ready:
                yield ev.WorkerReady(pid)

    def faults(self) -> Iterator[ev.Event]:
        """What else can happen to it."""
        for generation, mold in self.molds.items():
            yield ev.MoldEnded(generation, "killed by SIGSEGV")
            if not mold.ending and mold.due == "import":
                yield ev.MoldFailed(generation, "SyntaxError")
                yield ev.MoldWarming(generation, 5.0)
                yield ev.MoldWarming(generation, 0.0)
                yield ev.WarmingFailed(generation, "warming failed: shop.db is open")
            if not mold.ending and mold.due == "plan":
                yield ev.PlanFailed(generation, "ValueError")
            if mold.pending_forks:
                yield ev.ForkFailed(generation, 1, "EAGAIN")
        if self.replacing:
            yield UpgradeFailed(self.upgrader, "no such program")
            yield Upgraded(self.upgrader, 0.05, "prefork 9.9 with Python 9.9", other_python=True)
        if self.binding is not None:
            yield ev.BindFailed(self.binding[0], "address in use")
        if self.measuring is not None:
            yield self.measured(self.measuring, 1000, errors=1000)
            yield self.measured(self.measuring, 0)
        for generation, key in self.spawns:
            yield ev.SpawnFailed(generation, key, "ENOENT")
        for pid, process in self.processes.items():
            if process.asked and process.key and not process.ready:
                yield ev.WorkerReady(pid)
            yield ev.WorkerEnded(pid, 3, "exited 3")
            if process.ready and process.staying:
                yield ev.WorkerEnded(pid, -11, "killed by SIGSEGV", True, "GET /crash")
            if process.ready and process.staying:
                yield ev.WorkerWornOut(pid, "a limit")
            if process.asked and process.key and not process.drained:
                yield ev.WorkerDrained(pid)
