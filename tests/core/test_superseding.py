"""Reloads while workers drain for long, while another change is under way, and while workers hang in their start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.stage import Stage, kinds, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.plan import Listener, Spec

SPEC = Spec(name="shop", jitter=0.0)
WEB = [f"web/{number}" for number in range(4)]
HTTP, ADMIN = Listener("http", "tcp://127.0.0.1:80"), Listener("admin", "tcp://127.0.0.1:81")


def is_ready(event: ev.Event) -> bool:
    return isinstance(event, ev.WorkerReady)


def ends(event: ev.Event) -> bool:
    return isinstance(event, ev.WorkerEnded)


def four(generations: int, **options: float) -> Stage:
    one = kinds(plan(web=4, solo=False), **options)
    return Stage(*[one] * generations, spec=SPEC).start()


def ends_in_order(stage: Stage) -> Callable[[ev.Event], bool]:
    """What is asked to drain goes on; what is killed ends."""
    return lambda event: isinstance(event, ev.WorkerEnded) and not stage.world.processes[event.pid].killed


def pass_moments(stage: Stage, but: Callable[[ev.Event], bool]) -> None:
    """Let the deadlines of the next ten seconds pass."""
    end = stage.now + 10
    while (deadline := stage.supervisor.next_deadline()) is not None and deadline <= end:
        stage.late()
        stage.rest(but=but)


class TestStreams:
    """Each worker has a client that never leaves."""

    def test_each_of_five_reloads_is_in_force_at_once(self) -> None:
        stage = four(6, drain_timeout=600)
        for generation in range(2, 7):
            stage.command(cmd.Reload())
            stage.rest(but=ends_in_order(stage))
            assert stage.serving() == stage.serving(generation) == WEB
            end = stage.now + 12
            while (deadline := stage.supervisor.next_deadline()) is not None and deadline <= end:
                stage.late()
                stage.rest(but=ends_in_order(stage))
            stage.now = end
            assert stage.reply().ok
            workers = [process for process in stage.world.processes.values() if process.key]
            assert len(workers) == 8, "each slot has one that serves and one that drains"

    def test_reload_after_reload_leaves_three_processes_a_slot(self) -> None:
        stage = four(6, drain_timeout=600)
        for generation in range(2, 7):
            stage.command(cmd.Reload())
            began = stage.now
            stage.rest(but=ends_in_order(stage))
            while stage.serving(generation) != WEB:
                stage.late()
                stage.rest(but=ends_in_order(stage))
                assert all(len(stage.world.living(key)) <= 3 for key in WEB)
            assert stage.now - began <= SPEC.overlap + SPEC.cut_timeout

    def test_older_one_drains_on_when_the_later_one_has_ended(self) -> None:
        stage = four(3, drain_timeout=600)
        first = [stage.pid(key) for key in WEB]

        def stays(event: ev.Event) -> bool:
            return isinstance(event, ev.WorkerEnded) and event.pid in first

        for _ in range(2):
            stage.command(cmd.Reload())
            stage.rest(but=stays)
        pass_moments(stage, stays)
        stage.now += 60
        assert not [kill for kill in stage.all(act.KillWorker) if kill.pid in first]
        assert stage.supervisor.next_deadline() == 1000 + 600
        assert [stage.world.processes[pid].asked for pid in first] == [True] * 4

    def test_older_one_is_told_to_end_in_order_before_it_is_killed(self) -> None:
        stage = four(3, drain_timeout=600)
        first = [stage.pid(key) for key in WEB]
        for _ in range(2):
            stage.command(cmd.Reload())
            stage.rest(but=ends)
        assert not stage.all(act.CutDrain)
        stage.late()
        assert stage.now == 1000 + SPEC.overlap
        assert [cut.pid for cut in stage.all(act.CutDrain)] == first
        assert not stage.all(act.KillWorker)
        while not (kills := stage.all(act.KillWorker)):
            stage.late()
        assert stage.now == 1000 + SPEC.overlap + SPEC.cut_timeout
        assert [kill.pid for kill in kills] == first
        assert kills[0].why == "still draining after 3 s, and so is a later worker of its slot"

    def test_further_reload_has_the_oldest_end_in_order_at_once(self) -> None:
        stage = four(4, drain_timeout=600)
        first = [stage.pid(key) for key in WEB]
        for _ in range(3):
            stage.command(cmd.Reload())
            stage.rest(but=ends)
        assert first[0] in [cut.pid for cut in stage.all(act.CutDrain)]
        assert not stage.all(act.KillWorker)
        assert stage.now == 1000

    def test_drain_that_is_over_soon_is_not_cut_again(self) -> None:
        stage = four(3, drain_timeout=2.5)
        for _ in range(2):
            stage.command(cmd.Reload())
            stage.rest(but=ends)
        while not stage.all(act.KillWorker):
            stage.late()
        assert not stage.all(act.CutDrain), "a worker knows its own deadline"
        assert stage.now == 1000 + 2.5


class TestSuperseded:
    def test_corrected_reload_does_not_wait_for_one_that_hangs(self) -> None:
        stage = four(3)
        stage.command(cmd.Reload())
        stage.rest(but=is_ready)
        hanging = stage.pid("web/0")
        began = stage.now
        stage.command(cmd.Reload())
        assert "superseded" in stage.reply(1).text
        stage.rest(but=lambda event: ends(event) and not stage.world.processes[hanging].killed)
        assert stage.now == began
        assert stage.serving(3) == WEB
        pass_moments(stage, ends_in_order(stage))
        assert stage.reply(2).ok

    def test_workers_of_the_middle_generation_stay_until_replaced(self) -> None:
        stage = Stage(*(plan(f"d{n}", web=4) for n in (1, 2, 3)), spec=SPEC).start()
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: is_ready(event) and len(stage.serving(2)) == 2)
        assert len(stage.serving(2)) == 2
        before = len(stage.all(act.OrderWorker))
        stage.command(cmd.Reload())
        stage.rest(but=is_ready)
        assert len(stage.serving(2)) == 2
        stage.rest()
        assert stage.serving(3) == ["solo", *WEB]
        assert {order.generation for order in stage.all(act.OrderWorker)[before:]} == {3}
        assert list(stage.world.molds) == [3]

    @pytest.mark.parametrize("change", [cmd.Replan(), cmd.Restart("web/0")])
    def test_other_changes_that_hang_are_superseded_too(self, change: cmd.Command) -> None:
        stage = Stage(plan("a"), plan("c"), spec=SPEC).start()
        stage.world.replans[1] = plan("b")
        stage.command(change)
        stage.rest(but=is_ready)
        stage.command(cmd.Reload())
        assert not stage.reply(1).ok
        stage.rest()
        assert stage.reply(2).ok
        assert stage.serving(2) == ["solo", "web/0", "web/1"]

    def test_failure_of_the_newest_rolls_back_to_the_first(self) -> None:
        stage = Stage(*(plan(f"d{n}", web=4) for n in (1, 2, 3)), spec=SPEC).start()
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: is_ready(event) and len(stage.serving(2)) == 2)
        stage.command(cmd.Reload())
        stage.feed(ev.MoldFailed(3, "SyntaxError"))
        stage.rest()
        assert not stage.reply(2).ok
        assert stage.serving(1) == ["solo", *WEB]
        assert list(stage.world.molds) == [1]

    def test_rollback_of_both_orders_no_third_worker(self) -> None:
        stage = Stage(*(plan(f"d{n}", web=4, solo=False) for n in (1, 2, 3)), spec=SPEC).start()
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: is_ready(event) and len(stage.serving(2)) == 2)
        left = max(stage.serving(2))
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: isinstance(event, ev.WorkerReady) and stage.pid(left) == event.pid)
        starting = stage.pid(left)
        assert stage.world.processes[starting].generation == 3
        stage.feed(ev.MoldEnded(3, "killed by SIGSEGV"))  # The world refuses a third one.
        assert stage.world.processes[starting].asked
        assert not stage.reply(2).ok
        stage.rest(but=lambda event: isinstance(event, ev.WorkerEnded) and event.pid == starting)
        stage.late()
        assert stage.world.processes[starting].killed
        stage.rest(but=ends)
        assert left in stage.serving(1), "the next one does not wait for the end of what was killed"
        stage.rest()
        assert stage.serving(1) == WEB

    def test_worker_that_a_superseded_reload_left_is_replaced_as_any(self) -> None:
        stage = Stage(*(plan(f"d{n}", web=4, solo=False) for n in (1, 2, 3)), spec=SPEC).start()
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: is_ready(event) and len(stage.serving(2)) == 1)
        stage.command(cmd.Reload())
        stage.crash(stage.serving(2)[0])
        stage.rest(but=lambda event: isinstance(event, ev.MoldPlanned))
        assert len(stage.serving(2)) == 1
        stage.rest()
        assert stage.reply(2).ok

    def test_its_listeners_are_closed_unless_the_next_plan_has_them(self) -> None:
        plans = [
            replace(plan(f"d{n}", solo=False), listeners=one) for n, one in enumerate([(), (HTTP, ADMIN), (HTTP,)])
        ]
        stage = Stage(*plans, spec=SPEC).start()
        stage.command(cmd.Reload())
        stage.rest(but=is_ready)
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.world.bound == {HTTP}
        assert stage.serving(3) == ["web/0", "web/1"]

    def test_singleton_is_not_restarted_for_the_superseded_one_alone(self) -> None:
        stage = Stage(*(plan(f"d{n}", web=1) for n in (1, 2, 3)), spec=SPEC).start()
        stage.command(cmd.Reload())
        stage.rest(but=is_ready)
        stage.command(cmd.Reload())
        stage.rest()
        assert [order.generation for order in stage.all(act.OrderWorker) if order.key == "solo"] == [1, 3]


class TestNeverReady:
    @pytest.mark.parametrize("event", [ev.SignalReceived("TERM"), ev.CommandReceived(1, cmd.Scale("web", 1))])
    def test_it_has_nothing_to_drain(self, event: ev.Event) -> None:
        stage = Stage(kinds(plan(web=2, solo=False), drain_timeout=600), spec=SPEC)
        stage.feed(ev.Started())
        stage.rest(but=is_ready)
        pid = stage.pid("web/1")
        stage.feed(ev.WorkerReady(stage.pid("web/0")))
        began = stage.now
        stage.feed(event)
        stage.rest(but=lambda event: is_ready(event) or ends(event))
        killing = [action for action in stage.late() if isinstance(action, act.KillWorker)]
        assert [(kill.pid, kill.explain) for kill in killing] == [(pid, True)]
        assert stage.now - began == SPEC.unready_timeout <= 1.3  # The stacks take 0.7 s at most.

    def test_one_that_is_ready_has_its_time(self) -> None:
        stage = four(1, drain_timeout=600)
        stage.command(cmd.Stop())
        stage.rest(but=lambda event: isinstance(event, ev.WorkerEnded) and bool(stage.world.processes[event.pid].key))
        assert stage.supervisor.next_deadline() == stage.now + 600

    def test_a_shorter_drain_timeout_holds(self) -> None:
        stage = Stage(kinds(plan(web=1, solo=False), drain_timeout=0.5), spec=SPEC)
        stage.feed(ev.Started())
        stage.rest(but=is_ready)
        stage.feed(ev.SignalReceived("TERM"))
        assert stage.supervisor.next_deadline() == stage.now + 0.5
