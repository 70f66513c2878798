"""How soon workers that have ended are started again, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core.stage import Stage, kinds, plan
from prefork._core import actions as act
from prefork._core import events as ev
from prefork._core.plan import Spec
from prefork._options.records import DaemonOptions

SPEC = Spec(name="shop", jitter=0.0)
WEB = [f"web/{number}" for number in range(4)]


def is_ready(event: ev.Event) -> bool:
    return isinstance(event, ev.WorkerReady)


def four() -> Stage:
    return Stage(plan(web=4, solo=False), spec=SPEC).start()


def readies(key: str, stage: Stage) -> Callable[[ev.Event], bool]:
    return lambda event: isinstance(event, ev.WorkerReady) and stage.world.processes[event.pid].key == key


def orders(stage: Stage) -> int:
    return len(stage.all(act.OrderWorker))


def outage(stage: Stage, seconds: float) -> list[float]:
    """Let every worker die, and each start fail, for so long; return when the starts were, from the first death on."""
    began, starts = stage.now, []
    for key in stage.serving():
        stage.crash(key)
    while True:
        stage.rest(but=is_ready)
        starting = [process.key for process in stage.world.processes.values() if process.key and not process.ready]
        starts += [stage.now - began] * len(starting)
        for key in starting:
            stage.crash(key, "ConnectionRefusedError: database")
        if next((event for event in stage.world.kind_answers() if not is_ready(event)), None) is None:
            deadline = stage.supervisor.next_deadline()
            assert deadline is not None
            if deadline - began > seconds:
                stage.now = began + seconds
                return starts
            stage.late()


class TestDeathsOfWork:
    @pytest.mark.parametrize("rate", [1, 5, 20])
    def test_what_dies_of_its_work_is_replaced_at_once_each_time(self, rate: int) -> None:
        stage = four()
        for number in range(60 * rate):
            stage.now += 1 / rate
            stage.crash(WEB[number % 4], doing="GET /crash")
            stage.rest()
            assert stage.serving() == WEB

    def test_deaths_one_after_another_have_more_spares_kept(self) -> None:
        stage = four()
        stage.crash("web/0", doing="GET /crash")
        stage.rest()
        assert stage.spares() == 1
        for _ in range(30):
            stage.now += 0.9
            stage.crash("web/0", doing="GET /crash")
            stage.rest()
            assert stage.spares() == 1 + SPEC.extra_spares
        for key in WEB:
            actions = stage.crash(key, doing="GET /crash")
            assert [action.key for action in actions if isinstance(action, act.OrderWorker)] == [key]
        stage.rest()
        last = stage.now
        while stage.spares() > 1:
            stage.late()
            stage.rest()
        assert stage.now == last + SPEC.extra_time
        assert stage.serving() == WEB

    def test_deaths_now_and_then_have_no_more_spares_kept(self) -> None:
        stage = four()
        for _ in range(5):
            stage.now += 1.1
            stage.crash("web/0", doing="GET /crash")
            stage.rest()
            assert stage.spares() == 1

    def test_spares_that_die_together_do_not_delay_the_next_fork(self) -> None:
        stage = four()
        for key in WEB:
            stage.crash(key, doing="GET /crash")
        stage.rest()
        spares = [pid for pid, process in stage.world.processes.items() if not process.key]
        for pid in spares:
            stage.feed(ev.WorkerEnded(pid, -9, "killed by SIGKILL"))
        for key in WEB:
            stage.crash(key, doing="GET /crash")
        began = stage.now
        stage.rest()
        while stage.serving() != WEB:
            stage.late()
            stage.rest()
        assert len(spares) == 1 + SPEC.extra_spares
        assert stage.now - began <= SPEC.backoff_first + 1e-6

    def test_failing_forks_are_tried_again_soon_while_a_pool_is_down(self) -> None:
        stage = four()
        stage.crash("web/0", doing="GET /crash")
        for _ in range(8):
            if stage.world.molds[1].pending_forks:
                stage.feed(ev.ForkFailed(1, 1, "EAGAIN"))
            while not stage.world.molds[1].pending_forks:
                stage.late()
        stage.feed(ev.ForkFailed(1, 1, "EAGAIN"))
        for key in stage.serving():
            stage.crash(key, doing="GET /crash")
        deadline = stage.supervisor.next_deadline()
        assert deadline is not None
        assert deadline - stage.now <= SPEC.pause_down

    def test_scaling_down_to_slots_that_wait_hurries_forks(self) -> None:
        stage = Stage(plan(web=2, solo=False), spec=SPEC).start()
        stage.crash("web/0", doing="GET /crash")
        for _ in range(9):
            while not stage.world.molds[1].pending_forks:
                stage.late()
            stage.feed(ev.ForkFailed(1, 1, "EAGAIN"))
        stage.crash("web/0", doing="GET /crash")
        assert stage.serving() == ["web/1"]
        began = stage.now
        stage.feed(ev.SignalReceived("TTOU"))
        while not stage.serving():
            stage.rest()
            stage.late()
            stage.rest()
        assert stage.now - began <= SPEC.pause_down

    def test_failed_starts_have_no_more_spares_kept(self) -> None:
        stage = four()
        for _ in range(3):
            for key in WEB:
                if stage.world.living(key):
                    stage.crash(key)
            stage.rest(but=is_ready)
        stage.rest()
        assert stage.spares() == 1

    def test_no_spare_is_kept_where_none_is_wanted(self) -> None:
        stage = Stage(replace(plan(web=4, solo=False), options=DaemonOptions(spares=0)), spec=SPEC).start()
        for key in WEB:
            stage.crash(key, doing="GET /crash")
        stage.rest()
        assert stage.spares() == 0

    def test_what_dies_of_a_request_before_it_is_ready_did_start(self) -> None:
        stage = four()
        for _ in range(10):
            stage.crash("web/0", doing="GET /crash")
            stage.rest(but=is_ready)
            assert stage.world.living("web/0")
        stage.rest()
        assert stage.serving() == WEB

    def test_a_pool_of_one_does_not_wait_either(self) -> None:
        stage = Stage(plan(web=1, solo=False), spec=SPEC).start()
        for _ in range(20 * 60):
            stage.now += 0.05
            stage.crash("web/0", doing="GET /crash")
            stage.rest()
            assert stage.serving() == ["web/0"]

    def test_failed_start_between_two_deaths_delays_no_longer(self) -> None:
        spec = replace(SPEC, healthy_after=1e9, rate=1.0, rate_down=1.0)
        stage = Stage(plan(web=1, most=1, solo=False), spec=spec).start()
        stage.crash("web/0", doing="GET /crash")
        stage.rest(but=is_ready)
        stage.crash("web/0", "ConnectionRefusedError: database")
        while not stage.serving():
            stage.rest()
            if not stage.serving():
                stage.late()
        stage.crash("web/0", doing="GET /crash")
        stage.rest(but=is_ready)
        deadline = stage.supervisor.next_deadline()
        assert deadline is not None
        assert deadline - stage.now <= spec.pause_down

    def test_a_hundred_that_die_twice_at_once_are_replaced_at_once(self) -> None:
        stage = Stage(plan(web=100, most=100, solo=False), spec=SPEC).start()
        for _ in range(2):
            for number in range(100):
                stage.crash(f"web/{number}", doing="GET /")
            stage.rest()
            assert len(stage.serving()) == 100

    def test_workers_that_die_of_their_first_request_cost_few_starts(self) -> None:
        stage = four()
        end, first = stage.now + 60, orders(stage)
        while stage.now < end:
            for key in stage.serving():
                stage.crash(key, doing="GET /crash")
            stage.rest()
            if not stage.serving():
                deadline = stage.supervisor.next_deadline()
                assert deadline is not None
                assert deadline - stage.now <= 1 / SPEC.rate_down + 1e-6  # A pool's last worker hardly waits.
                stage.late()
                stage.rest()
        assert orders(stage) - first <= SPEC.rate + 60 * SPEC.rate_down + 4

    def test_a_pool_that_serves_for_moments_keeps_to_its_rate(self) -> None:
        stage = four()
        end, first = stage.now + 60, orders(stage)
        while stage.now < end:
            stage.now += 0.02
            for key in stage.serving()[:1]:
                stage.crash(key, doing="GET /crash")
            deadline = stage.supervisor.next_deadline()
            if deadline is not None and deadline <= stage.now:
                stage.late()
            stage.rest()
        print(orders(stage) - first)
        assert 20 * SPEC.rate < orders(stage) - first <= 61 * SPEC.rate + 4

    def test_a_fast_loop_of_one_pool_leaves_others_alone(self) -> None:
        stage = Stage(plan(web=2), spec=SPEC).start()
        for _ in range(100):
            stage.crash("web/0", doing="GET /crash")
            stage.rest()
            if "web/0" not in stage.serving():
                break
        else:
            raise AssertionError("it never waits")
        stage.crash("solo")
        stage.rest()
        assert "solo" in stage.serving()


class TestFailedStarts:
    @pytest.mark.parametrize("seconds", [3, 40, 60])
    def test_a_pool_is_back_soon_after_the_cause_has_gone(self, seconds: float) -> None:
        stage = four()
        outage(stage, seconds)
        returned = stage.now
        while stage.serving() != WEB:
            stage.rest()
            if stage.serving() != WEB:
                stage.late()
        assert stage.now - returned <= max(SPEC.pause_down, seconds / 40)

    def test_after_a_long_outage_a_fortieth_of_it(self) -> None:
        stage = four()
        outage(stage, 600)
        returned = stage.now
        while stage.serving() != WEB:
            stage.rest()
            if stage.serving() != WEB:
                stage.late()
        assert stage.now - returned <= 600 / 40

    def test_it_costs_one_start_a_second_then_fewer(self) -> None:
        # Four slots that wait alone, with pauses of 0, 0.1, 0.2, ... 30 s, start 44 times in the first minute.
        assert len(outage(four(), 60)) <= 60
        assert len(outage(four(), 3600)) < 400

    def test_what_ends_when_ready_and_without_work_costs_few_starts(self) -> None:
        stage = four()
        for key in WEB:
            stage.crash(key)
        end, first = stage.now + 60, orders(stage)
        while stage.now < end:
            stage.rest()
            for key in stage.serving():
                stage.crash(key)
            if next(stage.world.kind_answers(), None) is None:
                deadline = stage.supervisor.next_deadline()
                assert deadline is not None
                assert deadline - stage.now <= 60 / 40
                stage.late()
        assert orders(stage) - first <= 80

    def test_a_pool_that_has_lived_again_starts_at_once(self) -> None:
        stage = four()
        for _ in range(9):
            for key in stage.serving():
                stage.crash(key)
            stage.rest()
            if not stage.serving():
                stage.late()
                stage.rest()
        stage.now += SPEC.healthy_after
        while stage.serving() != WEB:
            stage.late()
            stage.rest()
        stage.now += 3600
        for key in WEB:
            stage.crash(key)
        stage.rest()
        assert stage.serving() == WEB

    def test_one_that_hangs_in_its_start_does_not_delay_others(self) -> None:
        stage = four()
        for key in WEB:
            stage.crash(key)
        stage.rest(but=is_ready)
        for key in WEB[1:]:
            stage.crash(key)
        began = stage.now
        while len([1 for process in stage.world.processes.values() if process.key]) < 4:
            stage.rest(but=is_ready)
            stage.late()
            stage.rest(but=is_ready)
        assert stage.now - began < 2

    def test_slot_that_alone_cannot_start_waits_longer_each_time(self) -> None:
        stage = four()
        stage.crash("web/3")
        starts = 0
        for second in range(600):
            stage.now += 1
            if second % 2:
                stage.crash(WEB[second % 3], doing="GET /crash")
            stage.rest(but=readies("web/3", stage))
            if stage.world.living("web/3"):
                starts += 1
                stage.crash("web/3", status=1)
            deadline = stage.supervisor.next_deadline()
            if deadline is not None and deadline <= stage.now:
                stage.feed(ev.DeadlinePassed())
        assert starts < 40

    def test_mold_that_cannot_import_is_tried_as_often(self) -> None:
        stage = four()
        stage.feed(ev.MoldEnded(1, "killed by SIGKILL"))
        for key in WEB:
            stage.crash(key)
        spare = next(pid for pid, process in stage.world.processes.items() if process.key and not process.ready)
        stage.feed(ev.WorkerEnded(spare, 1, "exited 1"))
        began, attempts = stage.now, 0
        while stage.now < began + 60:
            if 1 in stage.world.molds:
                attempts += 1
                stage.feed(ev.MoldFailed(1, "ConnectionRefusedError: database"))
                stage.feed(ev.MoldEnded(1, "exited 1"))
            else:
                before = stage.now
                stage.late()
                assert stage.now - before <= 60 / 40
        assert attempts >= 50

    def test_mold_that_pauses_is_tried_when_the_last_worker_dies(self) -> None:
        stage = four()
        spare = next(pid for pid, process in stage.world.processes.items() if not process.key)
        for _ in range(9):
            stage.feed(ev.MoldEnded(1, "exited 1"))
            if 1 not in stage.world.molds:
                stage.late()
        stage.feed(ev.MoldEnded(1, "exited 1"))
        stage.feed(ev.WorkerEnded(spare, 1, "exited 1"))
        assert (stage.supervisor.next_deadline() or 0) - stage.now > 20
        for key in WEB:
            stage.crash(key)
        assert (stage.supervisor.next_deadline() or 0) - stage.now <= SPEC.pause_down

    def test_one_that_cannot_import_while_all_serve_backs_off(self) -> None:
        stage = four()
        began, attempts = stage.now, 0
        while stage.now < began + 60:
            if 1 in stage.world.molds:
                attempts += 1
                stage.feed(ev.MoldEnded(1, "exited 1"))
            else:
                stage.late()
        assert attempts <= 12


class TestReports:
    def test_outage_is_logged_once_and_again_as_it_doubles(self) -> None:
        stage = four()
        outage(stage, 60)
        down = [text for text in stage.world.reports if "no worker is ready" in text]
        assert down[0].startswith("web: no worker is ready (")
        assert "; next start in 0." in down[0]
        assert 2 <= len(down) <= 4
        while stage.serving() != WEB:
            stage.rest()
            if stage.serving() != WEB:
                stage.late()
        assert len([text for text in stage.world.reports if "web: a worker is ready again (web/" in text]) == 1

    def test_a_pool_that_serves_says_nothing(self) -> None:
        stage = four()
        for key in WEB[:3]:
            for _ in range(4):
                stage.crash(key, doing="GET /crash")
                stage.rest()
        assert not [text for text in stage.world.reports if "no worker is ready" in text]

    def test_a_worker_whose_restart_is_not_wanted_is_no_outage(self) -> None:
        stage = Stage(kinds(plan(web=1, solo=False), restart="on-failure"), spec=SPEC).start()
        stage.crash("web/0", status=0)
        stage.rest()
        assert not [text for text in stage.world.reports if "no worker is ready" in text]
