"""Random orders of events: deaths, silence, facts that come late or twice, a snapshot now and then."""

from __future__ import annotations

import json

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.explorer import Node, behave, check_rest, killed, restored
from core.world import World
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.handover.facts import HandoverFact
from prefork._core.plan import Entry, Kind, Listener, Plan, Pool, Spec
from prefork._core.supervisor import Supervisor
from prefork._options.records import DaemonOptions, KindOptions
from support import PROOF

KEYS = ("web/0", "web/1", "web/2", "web/3", "web/4", "solo", "job", "own", "agent")
# No spell is healthy, so that pauses grow as long as they can.
SPEC = Spec(options=DaemonOptions(spares=2), jitter=0.5, healthy_after=1e9)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    web = tuple(f"web/{number}" for number in range(5))
    digest = st.sampled_from("abc")
    entries = [Entry(key, "web", draw(digest)) for key in web]
    if draw(st.booleans()):
        entries.append(Entry("solo", "solo", draw(digest)))
    if draw(st.booleans()):
        entries.append(Entry("job", "job", draw(digest)))
    if draw(st.booleans()):
        entries.append(Entry("own", "own", draw(digest), "exec"))
    if draw(st.booleans()):
        entries.append(Entry("agent", "agent", draw(digest)))
    kinds = (
        Kind("web"),
        Kind("solo", KindOptions(replace="old-first")),
        Kind("job", KindOptions(restart="on-failure")),
        Kind("own", KindOptions(replace="old-first")),
        Kind("agent", auxiliary=True),
    )
    names = draw(st.lists(st.sampled_from(("http", "admin")), unique=True))
    listeners = tuple(Listener(name, f"tcp://127.0.0.1:{draw(st.integers(1, 2))}") for name in names)
    if draw(st.booleans()):
        listeners += (Listener("metrics", "tcp://127.0.0.1:3", auxiliary=True),)
    return Plan(tuple(entries), kinds, (Pool("web", web, draw(st.integers(1, 5)), minimum=1),), listeners)


class Daemon(RuleBasedStateMachine):
    node: Node
    said: list[ev.Event]
    asked: int
    failed: bool  # then the world is in the middle of an answer, and what follows is no further failure

    @initialize(
        first=plans(),
        others=st.lists(plans(), min_size=3, max_size=3),
        seed=st.integers(0, 2**64 - 1),
        up=st.booleans(),
    )
    def start(self, first: Plan, others: list[Plan], seed: int, up: bool) -> None:
        world = World({1: first} | {number: others[number % 3] for number in range(2, 60)})
        self.node = Node(Supervisor(SPEC, seed), world, 0, 0, 0)
        self.said, self.asked, self.failed = [], 0, False
        self.tell(ev.Started())
        if up:
            self.node = behave(self.node)

    def tell(self, event: ev.Event) -> None:
        self.said.append(event)
        self.failed = True
        self.node.feed(event)
        self.failed = False

    @property
    def lives(self) -> bool:
        return self.node.world.exited is None

    @precondition(lambda self: self.lives)
    @rule(data=st.data(), count=st.integers(1, 6))
    def some_process_does_its_part(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            if events := list(self.node.world.kind_answers()):
                self.tell(data.draw(st.sampled_from(events)))

    @precondition(lambda self: self.lives)
    @rule(data=st.data(), age=st.integers(1, 99))
    def a_worker_wears_out(self, data: st.DataObject, age: int) -> None:
        processes = self.node.world.processes.items()
        if ready := [pid for pid, process in processes if process.ready and process.staying]:
            self.tell(ev.WorkerWornOut(data.draw(st.sampled_from(ready)), f"{age} requests"))

    @precondition(lambda self: self.lives)
    @rule(data=st.data())
    def something_fails(self, data: st.DataObject) -> None:
        if events := list(self.node.world.faults()):
            self.tell(data.draw(st.sampled_from(events)))

    @precondition(lambda self: self.lives and self.node.supervisor.next_deadline() is not None)
    @rule()
    def nobody_does_anything(self) -> None:
        self.tell(ev.DeadlinePassed())

    @precondition(lambda self: self.lives)
    @rule(data=st.data())
    def a_fact_comes_twice_or_late(self, data: st.DataObject) -> None:
        """Of a process that is known or gone; the world is not asked, since nothing happens in it."""
        supervisor, world = self.node.supervisor, self.node.world
        event = data.draw(st.sampled_from(self.said))
        match event:
            case ev.WorkerEnded(pid) | ev.WorkerReady(pid) | ev.WorkerFailed(pid) if pid in world.processes:
                return  # that would be news
            case ev.SpareForked(_, pid) | ev.WorkerSpawned(_, _, pid) if pid not in world.processes:
                return  # so would that: pids are not used again here
            case ev.MoldPlanned() | ev.MoldFailed() | ev.PlanFailed() | ev.MoldEnded() | ev.ForkFailed():
                return  # a mold's socket is a queue with one writer
            case ev.MoldWarming() | ev.WarmingFailed():
                return  # the same
            case ev.ListenersBound() | ev.BindFailed() | ev.SpawnFailed() if world.binding or world.spawns:
                return
            case ev.CommandReceived() | ev.SignalReceived() | HandoverFact():
                return
            case _:
                self.failed = True
                world.carry_out(supervisor.handle(event, supervisor._state.now))
                self.failed = False

    @precondition(lambda self: self.lives)
    @rule(data=st.data(), key=st.sampled_from(KEYS), size=st.one_of(st.none(), st.integers(1, 5)))
    def some_client_wants_something(self, data: st.DataObject, key: str, size: int | None) -> None:
        if self.node.world.newest >= 50:
            return
        self.asked += 1
        commands: tuple[cmd.Command, ...] = (
            cmd.Reload(),
            cmd.Back(),
            cmd.Reload(bake=4.0, judge_insufficient="pass", canary_share=2),
            cmd.Replan(),
            cmd.Restart(key),
            cmd.Scale("web", size),
            cmd.Preview("reload"),
            cmd.Preview("replan"),
        )
        if data.draw(st.booleans()):
            generation = self.node.supervisor._state.generation
            known = self.node.world.plans.get(generation)
            # The kinds are code, which does not change within a mold.
            other = data.draw(plans())
            if known is not None and generation not in self.node.world.replans:
                self.node.world.replans[generation] = Plan(other.entries, known.kinds, other.pools, other.listeners)
        self.tell(ev.CommandReceived(self.asked, data.draw(st.sampled_from(commands))))

    @precondition(lambda self: self.lives)
    @rule(name=st.sampled_from(("HUP", "TTIN", "TTOU", "QUIT", "USR1", "USR2")))
    def a_signal_comes(self, name: str) -> None:
        if self.node.world.newest < 50:
            self.tell(ev.SignalReceived(name))

    @precondition(lambda self: self.lives)
    @rule(often=st.integers(0, 9))
    def it_is_stopped(self, often: int) -> None:
        if often == 0:  # else most lives would be short
            self.tell(ev.SignalReceived("TERM"))

    @precondition(lambda self: not self.lives)
    @rule(data=st.data())
    def whatever_comes_after_the_end(self, data: st.DataObject) -> None:
        assert not self.node.supervisor.handle(data.draw(st.sampled_from(self.said)), 1e9)

    @precondition(lambda self: self.lives)
    @rule(again=st.booleans())
    def another_program_takes_over(self, again: bool) -> None:
        data = json.loads(json.dumps(self.node.supervisor.snapshot()))
        self.node.supervisor = restored(self.node.supervisor)
        assert self.node.supervisor.snapshot() == data
        if again:
            self.asked += 1
            self.tell(ev.CommandReceived(self.asked, cmd.Upgrade()))

    @precondition(lambda self: self.lives and self.node.saved is not None)
    @rule(often=st.integers(0, 2))
    def its_master_is_killed(self, often: int) -> None:
        """Another one adopts what lives."""
        self.failed = True
        if often == 0 and (node := killed(self.node)) is not None:
            self.node = node
        self.failed = False

    @invariant()
    def nothing_is_left_undone(self) -> None:
        state = self.node.supervisor._state
        assert not state.dirty_slots
        assert not state.dirty_molds
        assert not state.kinds_with_room

    def teardown(self) -> None:
        if hasattr(self, "node") and self.lives and not self.failed:
            check_rest(self.node)


# Time to find the smallest order of events, should one ever fail.
TestDaemon = pytest.mark.timeout(3600)(Daemon.TestCase)
# Without explanations: for them every line that runs is traced, which makes this several times slower.
TestDaemon.settings = settings(
    max_examples=2_000 if PROOF else 60, stateful_step_count=60, deadline=None, phases=set(Phase) - {Phase.explain}
)
