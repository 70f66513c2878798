"""What a daemon promises, one sentence a test, by a clock that the test turns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.stage import SPEC, Stage, kinds, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.plan import Entry, Kind, Listener, Plan, Pool
from prefork._options.records import DaemonOptions

WEB = ["web/0", "web/1"]
HTTP, ADMIN = Listener("http", "tcp://127.0.0.1:80"), Listener("admin", "tcp://127.0.0.1:81")


def is_ready(event: ev.Event) -> bool:
    return isinstance(event, ev.WorkerReady)


def ends_worker(event: ev.Event) -> bool:
    return isinstance(event, ev.WorkerEnded)


class TestStart:
    def test_all_slots_are_one_batch_and_the_spare_is_last(self) -> None:
        stage = Stage(plan())
        stage.feed(ev.Started())
        stage.rest(but=is_ready)
        assert stage.all(act.ForkSpares) == [act.ForkSpares(1, 3)]
        stage.rest()
        assert stage.all(act.ForkSpares) == [act.ForkSpares(1, 3), act.ForkSpares(1, 1)]
        assert stage.serving() == ["solo", *WEB]
        assert stage.spares() == 1
        assert stage.supervisor.next_deadline() is None  # idle costs nothing

    def test_options_of_the_plan_hold_once_it_is_in_force(self) -> None:
        options = DaemonOptions(spares=3, import_timeout=7.0)
        stage = Stage(replace(plan(), options=options), plan("b")).start()
        assert stage.spares() == 3
        stage.feed(ev.CommandReceived(1, cmd.Reload()))
        asked = stage.now
        assert act.EndMold(2) in stage.late()
        assert stage.now - asked == 7.0

    def test_listeners_are_bound_before_the_first_birth(self) -> None:
        stage = Stage(replace(plan(), listeners=(HTTP,)))
        stage.feed(ev.Started())
        named = frozenset((entry.key, entry.digest) for entry in plan().entries)
        actions = stage.feed(ev.MoldPlanned(1, stage.world.plans[1]))
        assert actions == [act.Bind(1, (HTTP,)), act.ForgetContexts(1, named)]
        assert act.ForkSpares(1, 3) in stage.feed(ev.ListenersBound(1))

    @pytest.mark.parametrize("event", [ev.MoldFailed(1, "SyntaxError: here"), ev.MoldEnded(1, "killed by SIGSEGV")])
    def test_first_mold_failure_ends_the_daemon(self, event: ev.Event) -> None:
        stage = Stage(plan())
        stage.feed(ev.Started())
        stage.feed(event)
        stage.rest()
        assert stage.world.exited == 1
        words = "SyntaxError: here" if isinstance(event, ev.MoldFailed) else "killed by SIGSEGV"
        assert stage.world.reports[-1].endswith(words)

    def test_an_import_that_hangs_is_ended(self) -> None:
        stage = Stage(plan())
        stage.feed(ev.Started())
        assert act.EndMold(1) in stage.late()
        stage.rest()
        assert stage.world.exited == 1
        assert "60 s" in stage.world.reports[-1]

    def test_the_first_bind_that_fails_ends_the_daemon(self) -> None:
        stage = Stage(replace(plan(), listeners=(HTTP,)))
        stage.feed(ev.Started())
        stage.feed(ev.MoldPlanned(1, stage.world.plans[1]))
        stage.feed(ev.BindFailed(1, "http: address in use"))
        stage.rest()
        assert stage.world.exited == 1
        assert stage.world.reports[-1].endswith("http: address in use")

    def test_every_slot_failed_reports_the_application_last(self) -> None:
        stage = Stage(plan(web=2, solo=False))
        stage.feed(ev.Started())
        stage.rest(but=is_ready)
        stage.crash("web/0", "Traceback: first")
        assert stage.world.exited is None
        stage.crash("web/1", "Traceback: second")
        stage.rest(but=is_ready)
        assert stage.world.exited == 1
        assert stage.world.reports[-1].endswith("Traceback: second")
        assert stage.said[-1] == act.Exit(1)

    def test_one_worker_that_was_ready_once_keeps_the_daemon(self) -> None:
        stage = Stage(plan(web=2, solo=False))
        stage.feed(ev.Started())
        stage.rest(but=is_ready)
        stage.feed(ev.WorkerReady(stage.pid("web/0")))
        for _ in range(3):
            stage.crash("web/1", "Traceback: always")
            while "web/1" not in [process.key for process in stage.world.processes.values()]:
                stage.late() if next(stage.world.kind_answers(), None) is None else stage.rest(but=is_ready)
        assert stage.world.exited is None

    def test_a_start_worker_that_never_becomes_ready_is_killed(self) -> None:
        stage = Stage(plan(web=1, solo=False, start_timeout=7))
        stage.feed(ev.Started())
        stage.rest(but=is_ready)
        pid = stage.pid("web/0")
        began = stage.now
        why = "not ready after 7 s: it never waited for work (accept, wait) and never called worker.ready()"
        assert stage.late()[0] == act.KillWorker(pid, why, explain=True)
        assert stage.now == began + 7

    def test_a_late_server_is_not_told_to_call_ready(self) -> None:
        stage = Stage(plan(web=1, solo=False, start_timeout=7, ready="explicit"))
        stage.feed(ev.Started())
        stage.rest(but=is_ready)
        assert stage.late()[0] == act.KillWorker(stage.pid("web/0"), "not ready after 7 s", explain=True)

    def test_a_failed_import_is_reported_by_its_cause(self) -> None:
        stage = Stage(plan())
        stage.feed(ev.Started())
        stage.feed(ev.MoldFailed(1, "importing the application failed: KeyError: 'x'\nTraceback ..."))
        stage.rest()
        whole = "start: failed: importing the application failed: KeyError: 'x'\nTraceback ..."
        assert "".join(stage.world.reports) == whole


class TestCrashes:
    def test_spare_takes_over_and_the_next_is_bred_when_ready(self) -> None:
        stage = Stage(plan()).start()
        actions = stage.crash("web/0")
        assert [type(action) for action in actions] == [act.OrderWorker, act.Report]
        assert stage.feed(ev.WorkerReady(stage.pid("web/0"))) == [act.ForkSpares(1, 1)]

    def test_many_deaths_cost_two_batches(self) -> None:
        stage = Stage(plan(web=100, most=100, solo=False)).start()
        before = len(stage.all(act.ForkSpares))
        for number in range(100):
            stage.crash(f"web/{number}")
        stage.rest()
        assert [fork.count for fork in stage.all(act.ForkSpares)[before:]] == [1, 98, 1]
        assert len(stage.serving()) == 100

    def test_pause_doubles_up_to_its_limit_for_one_slot(self) -> None:
        stage = Stage(plan()).start()
        pauses = []
        for _ in range(7):
            stage.crash("web/0", status=1)
            began = stage.now
            stage.rest()
            if "web/0" not in stage.serving():
                stage.crash("web/1")
                stage.rest()
                assert "web/1" in stage.serving()
                stage.feed(ev.WorkerReady(stage.pid("web/1")))
                stage.supervisor._state.slots["web/1"].failures = 0
                while "web/0" not in stage.serving():
                    stage.late()
                    stage.rest()
            pauses.append(stage.now - began)
        assert pauses == [0, 1, 2, 4, 8, 8, 8]
        assert stage.slot("web/0")["state"] == "degraded"
        assert "degraded" in " ".join(stage.world.reports)

    def test_a_healthy_spell_makes_up_for_it(self) -> None:
        stage = Stage(plan()).start()
        for _ in range(3):
            stage.crash("web/0")
            stage.rest()
            if "web/0" not in stage.serving():
                stage.late()
                stage.rest()
        stage.now += SPEC.healthy_after
        assert any(isinstance(action, act.OrderWorker) for action in stage.crash("web/0"))
        stage.rest()
        assert stage.slot("web/0")["failures"] == 1

    def test_jitter_comes_from_the_seed(self) -> None:
        def deadlines(seed: int) -> list[float | None]:
            stage = Stage(plan(web=3), spec=replace(SPEC, jitter=0.5), seed=seed).start()
            for key in WEB * 2:
                stage.crash(key)
                stage.rest()
            return [stage.slot(key)["retry_at"] for key in WEB]

        first = deadlines(1)
        assert first == deadlines(1)
        assert first != deadlines(2)
        assert all(1000.5 <= (moment or 0) <= 1001.0 for moment in first)
        assert first[0] != first[1]

    @pytest.mark.parametrize(
        ("policy", "status", "again"),
        [("always", 0, True), ("on-failure", 0, False), ("on-failure", 3, True), ("never", 3, False)],
    )
    def test_the_restart_policy(self, policy: str, status: int, again: bool) -> None:
        stage = Stage(kinds(plan(), restart=policy)).start()
        stage.crash("web/0", status=status)
        stage.rest()
        assert ("web/0" in stage.serving()) is again
        if not again:
            assert stage.slot("web/0")["state"] == "finished"

    def test_the_same_report_is_not_written_twice_in_a_row(self) -> None:
        stage = Stage(plan()).start()
        stage.crash("web/0", "Traceback: why")
        stage.rest()
        stage.crash("web/0", "Traceback: why")
        assert "\n".join(stage.world.reports).count("Traceback: why") == 1

    def test_a_spare_that_dies_is_replaced_and_not_in_a_hot_loop(self) -> None:
        stage = Stage(plan()).start()
        for _ in range(5):
            pid = next(pid for pid, process in stage.world.processes.items() if not process.key)
            stage.feed(ev.WorkerEnded(pid, -9, "killed by SIGKILL"))
            if not any(mold.pending_forks for mold in stage.world.molds.values()):
                stage.late()
            stage.rest()
            assert stage.spares() == 1
        assert stage.now > 1000 + 1 + 2 + 4


class TestMold:
    def test_a_mold_that_dies_is_replaced_and_nothing_else_happens(self) -> None:
        stage = Stage(plan()).start()
        before = dict(stage.world.processes)
        actions = stage.feed(ev.MoldEnded(1, "killed by SIGKILL"))
        assert [type(action) for action in actions] == [act.Report, act.StartMold]
        stage.rest()
        assert stage.world.processes == before

    def test_slots_wait_for_it(self) -> None:
        stage = Stage(plan()).start()
        stage.feed(ev.MoldEnded(1, "killed by SIGKILL"))
        stage.crash("web/0")  # takes the spare
        stage.crash("web/1")
        assert stage.slot("web/1")["state"] == "waiting"
        stage.rest()
        assert stage.serving() == ["solo", *WEB]

    def test_it_is_started_again_with_a_growing_pause(self) -> None:
        stage = Stage(plan()).start()
        moments = []
        for _ in range(4):
            stage.feed(ev.MoldEnded(1, "killed by SIGKILL"))
            if 1 not in stage.world.molds:
                stage.late()
            moments.append(stage.now - 1000)
        assert moments == [0, 1, 3, 7]

    def test_one_that_bears_nothing_is_ended_and_replaced(self) -> None:
        stage = Stage(plan()).start()
        stage.crash("web/0")
        stage.feed(ev.WorkerReady(stage.pid("web/0")))
        assert act.EndMold(1) in stage.late()
        stage.rest()
        assert stage.spares() == 1

    def test_births_that_fail_are_tried_again_later(self) -> None:
        stage = Stage(plan()).start()
        stage.crash("web/0")
        stage.crash("web/1")
        for _ in range(3):
            stage.feed(ev.ForkFailed(1, 1, "EAGAIN"))
            while not stage.world.molds[1].pending_forks:
                stage.late()
        (mold,) = stage.supervisor.overview()["molds"]
        assert (mold["failed_forks"], mold["reason"]) == (3, "could not fork: EAGAIN")
        stage.rest()
        assert stage.serving() == ["solo", *WEB]
        assert "EAGAIN" in " ".join(stage.world.reports)

    def test_a_late_birth_is_sent_away(self) -> None:
        stage = Stage(plan()).start()
        stage.world.born(999, stage.world.processes[100].__class__(1))
        actions = stage.supervisor.handle(ev.SpareForked(1, 999), stage.now)
        assert list(actions) == [act.DismissSpare(999)]


class TestReload:
    def test_a_canary_then_batches_and_the_old_mold_last(self) -> None:
        stage = Stage(*(plan(f"d{n}", web=8, most=8) for n in (1, 2))).start()
        asked = len(stage.said)
        stage.command(cmd.Reload())
        stage.rest(but=is_ready)
        moved = [order.key for order in stage.all(act.OrderWorker) if order.generation == 2]
        assert moved == ["web/0"]
        assert not stage.all(act.AskToDrain)
        stage.feed(ev.WorkerReady(stage.pid("web/0")))
        stage.rest(but=lambda event: is_ready(event) or ends_worker(event))
        moved = [order.key for order in stage.all(act.OrderWorker) if order.generation == 2]
        assert moved == ["web/0", "web/1", "web/2"]  # a quarter of eight beside the canary, which is ready
        stage.rest()
        assert stage.serving(2) == ["solo", *(f"web/{n}" for n in range(8))]
        assert stage.reply().ok
        later = stage.said[asked:]
        ended = later.index(act.EndMold(1))
        assert all(not isinstance(action, act.OrderWorker) for action in later[ended:])
        assert list(stage.world.molds) == [2]

    def test_next_replacement_waits_for_ready_not_for_the_drain(self) -> None:
        stage = Stage(*(plan(f"d{n}", web=4, solo=False) for n in (1, 2))).start()
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: ends_worker(event) or is_ready(event))
        for number in range(4):
            assert stage.serving(2) == [f"web/{n}" for n in range(number)]
            assert not stage.world.replies
            stage.feed(ev.WorkerReady(stage.pid(f"web/{number}")))
            stage.rest(but=lambda event: ends_worker(event) or is_ready(event))
        stage.late()
        assert stage.reply().ok
        assert stage.serving() == [f"web/{n}" for n in range(4)]
        assert len(stage.all(act.AskToDrain)) == 4

    def test_successor_of_singleton_waits_for_its_end(self) -> None:
        stage = Stage(plan("a", web=1), plan("b", web=1)).start()
        solo = stage.pid("solo")
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: event == ev.WorkerEnded(solo, 0, "exited"))
        stage.feed(ev.WorkerDrained(solo))
        stage.rest(but=lambda event: event == ev.WorkerEnded(solo, 0, "exited"))
        assert stage.world.living("solo") == [stage.world.processes[solo]]

    def test_singleton_ends_before_its_successor_is_ordered(self) -> None:
        stage = Stage(plan("a", web=1), plan("b", web=1)).start()
        solo = stage.pid("solo")
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: event == ev.WorkerEnded(solo, 0, "exited"))
        assert solo in [drain.pid for drain in stage.all(act.AskToDrain)]
        spare = [p for p in stage.world.processes.values() if p.generation == 2 and not p.key]
        assert spare
        actions = stage.feed(ev.WorkerEnded(solo, 0, "exited 0"))
        assert isinstance(actions[0], act.OrderWorker)

    @pytest.mark.parametrize(
        "event",
        [
            ev.MoldFailed(2, "SyntaxError"),
            ev.MoldEnded(2, "exited 1"),
            ev.MoldPlanned(2, Plan((Entry("a", "web", "x"), Entry("a", "web", "y")), (Kind("web"),))),
        ],
    )
    def test_a_broken_one_changes_nothing(self, event: ev.Event) -> None:
        stage = Stage(plan("a"), plan("b")).start()
        before = dict(stage.world.processes)
        stage.command(cmd.Reload())
        reports = len(stage.world.reports)
        stage.feed(event)
        stage.rest()
        assert not stage.reply().ok
        assert len(stage.world.reports) == reports + 1
        assert stage.world.processes == before
        assert list(stage.world.molds) == [1]
        stage.world.plans[3] = plan("c")
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.reply().ok
        assert stage.serving(3) == ["solo", *WEB]

    def test_a_listener_that_cannot_be_bound_fails_it(self) -> None:
        stage = Stage(plan("a"), replace(plan("b"), listeners=(HTTP,))).start()
        stage.command(cmd.Reload())
        stage.feed(ev.MoldPlanned(2, stage.world.plans[2]))
        stage.feed(ev.BindFailed(2, "http: address in use"))
        stage.rest()
        whole = "reload: failed: http: address in use; the old code goes on serving (generation 1)"
        assert stage.reply().text == whole
        assert stage.serving(1) == ["solo", *WEB]

    def test_failed_canary_withdraws_the_generation(self) -> None:
        stage = Stage(plan("a"), plan("b")).start()
        stage.command(cmd.Reload())
        stage.rest(but=is_ready)
        stage.crash("web/0", "Traceback: no database")
        stage.rest()
        assert not stage.all(act.AskToDrain)
        assert stage.serving(1) == ["solo", *WEB]
        assert "Traceback: no database" in stage.reply().text
        assert [report for report in stage.world.reports if "no database" in report] == [stage.world.reports[-1]]

    def test_slots_that_were_moved_already_are_put_back(self) -> None:
        stage = Stage(plan("a", web=4), plan("b", web=4)).start()
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: is_ready(event) and stage.slot("web/2")["generation"] == 2)
        assert stage.serving(2)
        stage.crash("web/2", "Traceback: late")
        stage.rest()
        assert stage.serving(1) == ["solo", *(f"web/{n}" for n in range(4))]
        assert stage.serving(2) == []
        assert not stage.reply().ok

    def test_newer_reload_replaces_one_that_moved_nothing(self) -> None:
        stage = Stage(plan("a"), plan("b"), plan("c")).start()
        stage.command(cmd.Reload())
        stage.command(cmd.Reload())
        assert "superseded" in stage.reply(1).text
        stage.rest()
        assert stage.reply(2).ok
        assert stage.serving(3) == ["solo", *WEB]

    def test_changes_that_wait_are_one(self) -> None:
        stage = Stage(plan("a"), plan("b"), plan("c")).start()
        stage.command(cmd.Reload())
        stage.rest(but=is_ready)
        stage.command(cmd.Replan())
        stage.command(cmd.Replan())
        assert not stage.world.replies
        stage.rest()
        assert [reply.id for reply in stage.world.replies if reply.ok] == [1, 2, 3]
        assert stage.world.newest == 2

    def test_scale_of_a_failing_slot_is_answered(self) -> None:
        stage = Stage(plan("a", web=2), plan("b", web=4)).start()
        stage.command(cmd.Reload())
        stage.rest(but=is_ready)
        stage.command(cmd.Scale("web", None))
        stage.crash(next(iter(stage.supervisor._state.change.flight)), "Traceback: no database")  # type: ignore[union-attr]
        stage.rest()
        assert not stage.reply(1).ok
        assert stage.reply(2).ok
        assert stage.serving(1) == ["solo", *WEB]

    def test_hup_reports_how_it_ended(self) -> None:
        stage = Stage(plan("a"), plan("b")).start()
        stage.feed(ev.SignalReceived("HUP"))
        stage.rest()
        assert stage.world.reports[-1] == "reload: done (generation 2)"

    def test_hup_without_its_terminal_stops(self) -> None:
        stage = Stage(plan()).start()
        stage.feed(ev.SignalReceived("HUP", terminal_gone=True))
        stage.rest()
        assert stage.world.exited == 0


class TestReplan:
    def test_only_the_difference_is_applied(self) -> None:
        stage = Stage(plan("a")).start()
        entries = tuple(replace(e, digest="b") if e.key == "web/1" else e for e in plan("a").entries)
        stage.world.replans[1] = replace(plan("a"), entries=entries)
        before = {key: stage.pid(key) for key in ("solo", *WEB)}
        stage.command(cmd.Replan())
        stage.rest()
        assert stage.reply().ok
        changed = [key for key, pid in before.items() if stage.pid(key) != pid]
        assert changed == ["web/1"]

    def test_what_the_plan_has_no_more_leaves_when_the_rest_is_there(self) -> None:
        stage = Stage(plan("a")).start()
        stage.world.replans[1] = plan("b", solo=False)
        stage.command(cmd.Replan())
        stage.rest(but=is_ready)
        assert "solo" in stage.serving()
        stage.rest()
        assert stage.serving() == WEB

    def test_one_that_fails_is_told_and_changes_nothing(self) -> None:
        stage = Stage(plan("a")).start()
        stage.command(cmd.Replan())
        before = dict(stage.world.processes)
        stage.feed(ev.PlanFailed(1, "ValueError: workers"))
        stage.rest()
        whole = "replan: failed: ValueError: workers; the former plan stays in force (generation 1)"
        assert stage.reply().text == whole
        assert stage.world.processes == before

    def test_contexts_are_kept_while_an_order_may_name_them(self) -> None:
        def digests() -> set[str]:
            return {digest for _, _, digest in stage.world.contexts}

        stage = Stage(plan("a")).start()
        for former, digest in zip("abc", "bcd", strict=True):
            stage.world.replans[1] = plan(digest)
            stage.command(cmd.Replan())
            stage.rest(but=is_ready)
            assert digests() == {former, digest}
            stage.rest()
        stage.world.replans[1] = plan("e")
        stage.command(cmd.Preview("replan"))
        stage.rest()
        assert digests() == {"d"}
        stage.command(cmd.Replan())
        stage.rest(but=is_ready)
        assert stage.late()  # The canary is never ready.
        stage.rest(but=is_ready)
        assert stage.reply().ok is False
        stage.command(cmd.Preview("replan"))
        stage.rest()
        assert digests() == {"d"}

    def test_plan_of_a_past_generation_leaves_nothing(self) -> None:
        stage = Stage(plan("a"), plan("b"), plan("c")).start()
        stage.command(cmd.Reload())
        stage.command(cmd.Reload())
        assert 2 in stage.world.molds
        stage.feed(ev.MoldPlanned(2, stage.world.plans[2]))
        stage.rest()
        assert {generation for generation, _, _ in stage.world.contexts} == {3}

    def test_other_listeners_replace_every_worker(self) -> None:
        stage = Stage(replace(plan("a"), listeners=(HTTP,))).start()
        stage.world.replans[1] = replace(plan("a"), listeners=(ADMIN,))
        before = {stage.pid(key) for key in ("solo", *WEB)}
        stage.command(cmd.Replan())
        stage.rest()
        assert stage.reply().ok
        assert before.isdisjoint(stage.pid(key) for key in ("solo", *WEB))
        assert stage.world.bound == {ADMIN}


class TestScale:
    def test_up_and_down_and_the_plans_own_again(self) -> None:
        stage = Stage(plan(solo=False)).start()
        for size, count in ((4, 4), (1, 1), (None, 2)):
            stage.command(cmd.Scale("web", size))
            stage.rest()
            assert stage.reply().ok
            assert len(stage.serving()) == count
        assert stage.supervisor.view(stage.now)["overrides"] == {}

    def test_it_survives_a_reload(self) -> None:
        stage = Stage(plan("a"), plan("b")).start()
        stage.command(cmd.Scale("web", 3))
        stage.rest()
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.serving(2) == ["solo", "web/0", "web/1", "web/2"]

    @pytest.mark.parametrize(("kind", "size"), [("web", 5), ("web", 0), ("solo", 2), ("nobody", 1)])
    def test_what_cannot_be_is_refused(self, kind: str, size: int) -> None:
        stage = Stage(plan()).start()
        stage.command(cmd.Scale(kind, size))
        assert not stage.reply().ok

    def test_a_new_worker_that_fails_is_told(self) -> None:
        stage = Stage(plan()).start()
        stage.command(cmd.Scale("web", 3))
        stage.crash("web/2", "Traceback: full")
        assert "Traceback: full" in stage.reply().text

    def test_ttin_and_ttou_act_on_the_only_pool_within_its_limits(self) -> None:
        stage = Stage(plan(solo=False)).start()
        for name, count in (("TTIN", 3), ("TTIN", 4), ("TTIN", 4), ("TTOU", 3)):
            stage.feed(ev.SignalReceived(name))
            stage.rest()
            assert len(stage.serving()) == count

    def test_with_two_pools_and_no_default_ttin_says_why_not(self) -> None:
        entries = (Entry("a/0", "a", "x"), Entry("b/0", "b", "x"))
        pools = (Pool("a", ("a/0",), 1), Pool("b", ("b/0",), 1))
        stage = Stage(Plan(entries, (Kind("a"), Kind("b")), pools)).start()
        stage.feed(ev.SignalReceived("TTIN"))
        assert "default" in stage.world.reports[-1]


class TestRestart:
    def test_one_slot_by_its_policy(self) -> None:
        stage = Stage(plan()).start()
        before = {key: stage.pid(key) for key in ("solo", *WEB)}
        for key in ("web/1", "solo"):
            stage.command(cmd.Restart(key))
            stage.rest()
            assert stage.reply().ok
        assert [key for key, pid in before.items() if stage.pid(key) == pid] == ["web/0"]

    def test_one_that_does_not_come_up_leaves_the_old_one(self) -> None:
        stage = Stage(plan()).start()
        old = stage.pid("web/1")
        stage.command(cmd.Restart("web/1"))
        stage.crash("web/1")
        stage.rest()
        assert not stage.reply().ok
        assert stage.pid("web/1") == old

    def test_an_unknown_slot_is_refused(self) -> None:
        stage = Stage(plan()).start()
        stage.command(cmd.Restart("web/7"))
        assert "web/7" in stage.reply().text


class TestWornOut:
    def test_the_new_one_is_ready_before_the_old_one_goes(self) -> None:
        stage = Stage(plan()).start()
        old = stage.pid("web/0")
        stage.feed(ev.WorkerWornOut(old, "500 requests"))
        stage.rest(but=is_ready)
        assert not stage.all(act.AskToDrain)
        stage.rest()
        assert [action.pid for action in stage.all(act.AskToDrain)] == [old]
        assert stage.serving() == ["solo", *WEB]
        assert stage.world.reports[-1] == f"web/0: worn out: 500 requests (pid {old}); to be replaced"

    def test_all_at_once_are_replaced_one_by_one_as_each_is_ready(self) -> None:
        stage = Stage(plan(web=4, solo=False)).start()
        keys = [f"web/{number}" for number in range(4)]
        worn = [stage.pid(key) for key in keys]
        for pid in worn:
            stage.feed(ev.WorkerWornOut(pid, "500 requests"))
        for number, key in enumerate(keys):
            stage.rest(but=lambda event: is_ready(event) or ends_worker(event))
            assert [action.pid for action in stage.all(act.AskToDrain)] == worn[:number]
            assert stage.serving() == keys
            stage.feed(ev.WorkerReady(stage.pid(key)))
        assert [action.pid for action in stage.all(act.AskToDrain)] == worn
        assert stage.serving() == keys

    def test_a_limit_is_no_reason_to_cut_a_drain(self) -> None:
        stage = Stage(plan(web=2, solo=False)).start()
        old, other = stage.pid("web/0"), stage.pid("web/1")
        stage.feed(ev.WorkerWornOut(old, "500 requests"))
        stage.rest(but=ends_worker)
        second = stage.pid("web/0")
        for pid in (second, other):
            stage.feed(ev.WorkerWornOut(pid, "500 requests"))
        stage.rest(but=ends_worker)
        assert [action.pid for action in stage.all(act.AskToDrain)] == [old, other]
        stage.feed(ev.WorkerEnded(old, 0, "exited 0"))
        stage.rest(but=ends_worker)
        assert [action.pid for action in stage.all(act.AskToDrain)] == [old, other, second]

    def test_while_the_successor_fails_the_old_one_stays(self) -> None:
        stage = Stage(plan()).start()
        old = stage.pid("web/0")
        stage.feed(ev.WorkerWornOut(old, "500 requests"))
        for _ in range(3):
            stage.rest(but=is_ready)
            stage.crash("web/0", "Traceback: no database")
            stage.late()
        assert not stage.all(act.AskToDrain)
        assert old in stage.world.processes
        stage.rest()
        assert old not in stage.world.processes

    def test_a_reload_replaces_it_as_well(self) -> None:
        stage = Stage(plan("a"), plan("b")).start()
        stage.command(cmd.Reload())
        stage.feed(ev.WorkerWornOut(stage.pid("web/0"), "500 requests"))
        stage.rest()
        assert stage.serving(2) == ["solo", *WEB]
        assert len([report for report in stage.world.reports if "500 requests" in report]) == 1

    def test_age_is_a_limit_that_needs_nobody_to_tell(self) -> None:
        stage = Stage(plan(max_age=3600.0)).start()
        first = {stage.pid(key) for key in WEB}
        stage.late()
        stage.rest()
        stage.late()
        stage.rest()
        assert not first & set(stage.world.processes)
        assert 3240 <= stage.now - 1000 <= 3600
        assert stage.serving() == ["solo", *WEB]

    def test_a_singleton_ends_before_its_successor_is_ordered(self) -> None:
        stage = Stage(plan()).start()
        old = stage.pid("solo")
        stage.feed(ev.WorkerWornOut(old, "512 MB"))
        assert [action.pid for action in stage.all(act.AskToDrain)] == [old]
        stage.rest()
        assert stage.serving() == ["solo", *WEB]
        assert stage.pid("solo") != old


class TestDraining:
    def test_one_that_fails_on_its_way_out_is_told_of(self) -> None:
        stage = Stage(plan("a"), plan("b")).start()
        old = stage.pid("web/0")
        stage.command(cmd.Reload())
        stage.rest(but=lambda event: isinstance(event, ev.WorkerEnded))
        stage.feed(ev.WorkerFailed(old, "Traceback: no flush"))
        stage.feed(ev.WorkerEnded(old, 1, "exited 1"))
        assert f"web/0: exited 1 after 0 s (pid {old}, generation 1)\nTraceback: no flush" in stage.world.reports
        stage.rest()
        assert stage.reply().ok

    def test_one_that_ends_as_it_should_is_not(self) -> None:
        stage = Stage(plan("a"), plan("b")).start()
        stage.command(cmd.Reload())
        stage.rest()
        assert not any("exited 0" in report for report in stage.world.reports)


class TestStop:
    def test_everything_drains_and_then_it_exits(self) -> None:
        stage = Stage(plan()).start()
        stage.command(cmd.Stop())
        assert len(stage.all(act.AskToDrain)) == 3
        assert stage.world.exited is None
        stage.rest()
        assert stage.world.exited == 0
        assert stage.reply().ok
        assert stage.supervisor.handle(ev.Started(), stage.now) == ()
        assert stage.supervisor.next_deadline() is None

    def test_who_does_not_drain_is_killed_and_killed_again(self) -> None:
        stage = Stage(plan(web=1, solo=False, drain_timeout=9)).start()
        stage.feed(ev.SignalReceived("TERM"))
        pid = stage.pid("web/0")
        stage.rest(but=lambda event: isinstance(event, ev.WorkerEnded) and event.pid == pid)
        assert stage.late() == [act.KillWorker(pid, "still draining after 9 s")]
        assert isinstance(stage.late()[0], act.KillWorker)
        stage.rest()
        assert stage.world.exited == 4

    def test_stop_that_killed_a_worker_is_done_and_says_so(self) -> None:
        stage = Stage(plan(web=1, solo=False, drain_timeout=9)).start()
        stage.command(cmd.Stop())
        pid = stage.pid("web/0")
        stage.rest(but=lambda event: isinstance(event, ev.WorkerEnded) and event.pid == pid)
        stage.late()
        stage.rest()
        assert stage.reply().ok
        assert stage.reply().text == "stopped; workers killed because they were still draining: 1"

    def test_a_second_interrupt_ends_at_once(self) -> None:
        stage = Stage(plan()).start()
        stage.feed(ev.SignalReceived("INT"))
        assert not stage.all(act.KillWorker)
        stage.feed(ev.SignalReceived("INT"))
        assert len(stage.all(act.KillWorker)) == 4

    def test_waiting_clients_are_answered(self) -> None:
        stage = Stage(plan("a"), plan("b")).start()
        stage.command(cmd.Reload())
        stage.command(cmd.Scale("web", 4))
        stage.command(cmd.Restart("solo"))
        stage.command(cmd.Stop())
        stage.command(cmd.Replan())
        stage.rest()
        assert [reply.id for reply in stage.world.replies if reply.ok] == [4]
        assert stage.world.waiting == frozenset()

    def test_quit_tells_the_state_and_stops_nothing(self) -> None:
        stage = Stage(plan()).start()
        stage.feed(ev.SignalReceived("QUIT"))
        assert "web/1 ready" in stage.world.reports[-1]
        assert stage.serving() == ["solo", *WEB]


class TestExec:
    def test_a_worker_with_its_own_interpreter_needs_no_spare(self) -> None:
        own = replace(plan(web=1), entries=tuple(replace(e, spawn="exec") for e in plan().entries))
        stage = Stage(own).start()
        assert stage.serving() == ["solo", "web/0"]
        assert stage.all(act.ForkSpares) == [act.ForkSpares(1, 1)]
        stage.crash("solo")
        stage.feed(ev.SpawnFailed(1, "solo", "ENOENT"))
        assert stage.slot("solo")["state"] == "waiting"
        stage.late()
        stage.rest()
        assert stage.serving() == ["solo", "web/0"]

    def test_one_that_nobody_asked_for_is_killed(self) -> None:
        stage = Stage(plan()).start()
        actions = stage.supervisor.handle(ev.WorkerSpawned(1, "web/0", 999), stage.now)
        assert actions == [act.KillWorker(999, "not requested")]


class TestAbandoned:
    """Listeners whose queues no process takes over when a worker ends."""

    SHARD = replace(HTTP, sharing="sharded")

    def drained(self, *plans: Plan) -> tuple[Stage, list[act.AskToDrain]]:
        stage = Stage(*plans).start()
        if len(plans) > 1:
            stage.command(cmd.Reload())
            stage.rest()
        return stage, stage.all(act.AskToDrain)

    def test_a_shard_is_its_successors_and_a_shared_queue_everybodys(self) -> None:
        one, other = (replace(plan(digest), listeners=(self.SHARD, ADMIN)) for digest in "ab")
        _, drained = self.drained(one, other)
        assert len(drained) == 3
        assert {ask.backlogs for ask in drained} == {()}

    def test_the_shard_of_a_slot_that_goes_is_nobodys(self) -> None:
        stage, _ = self.drained(replace(plan(), listeners=(self.SHARD, ADMIN)))
        pid = stage.pid("web/1")
        stage.command(cmd.Scale("web", 1))
        assert stage.all(act.AskToDrain) == [act.AskToDrain(pid, (self.SHARD,), "scale web 1")]
        assert stage.all(act.ForgetSlot) == []
        stage.rest()
        assert stage.all(act.ForgetSlot) == [act.ForgetSlot("web/1")]

    def test_a_listener_that_the_new_plan_has_not_is_nobodys(self) -> None:
        one, other = replace(plan("a"), listeners=(self.SHARD, ADMIN)), replace(plan("b"), listeners=(HTTP,))
        _, drained = self.drained(one, other)
        assert {ask.backlogs for ask in drained} == {(self.SHARD, ADMIN)}

    def test_at_the_end_all_are_and_nothing_new_comes_first(self) -> None:
        stage, _ = self.drained(replace(plan(), listeners=(self.SHARD, ADMIN)))
        told = stage.feed(ev.SignalReceived("TERM"))
        assert told[0] == act.Unbind((self.SHARD, ADMIN))
        assert {ask.backlogs for ask in stage.all(act.AskToDrain)} == {(self.SHARD, ADMIN)}


class TestWarming:
    def reloading(self) -> Stage:
        stage = Stage(plan("a"), replace(plan("b"), options=DaemonOptions(import_timeout=7.0))).start()
        stage.command(cmd.Reload())
        return stage

    def test_it_has_its_own_time_and_the_import_another_after_it(self) -> None:
        stage = self.reloading()
        begun = stage.now
        stage.now += 59.0  # A second before the end of the import's time.
        stage.feed(ev.MoldWarming(2, 20.0))
        assert stage.supervisor.next_deadline() == begun + 59.0 + 20.0 + 3.0
        stage.now += 20.0
        stage.feed(ev.MoldWarming(2, 0.0))
        assert stage.supervisor.next_deadline() == stage.now + 60.0
        stage.rest()
        assert stage.reply().ok

    @pytest.mark.parametrize(
        ("event", "said"),
        [
            (ev.MoldEnded(2, "exited 7"), "exited 7 while it was warming"),
            (ev.WarmingFailed(2, "warming failed: shop.db is open"), "warming failed: shop.db is open"),
            (None, "warming did not end within 8 s"),
        ],
    )
    def test_its_failure_starts_the_mold_again_without_it(self, event: ev.Event | None, said: str) -> None:
        stage = self.reloading()
        stage.feed(ev.MoldWarming(2, 5.0))
        begun = stage.now
        stage.late() if event is None else stage.feed(event)
        stage.rest()
        assert stage.now - begun == (8.0 if event is None else 0.0), "no pause follows"
        assert stage.reply().ok
        assert stage.all(act.StartMold)[-2:] == [act.StartMold(2), act.StartMold(2, warm=False)]
        assert f"mold of generation 2: {said}; starting it again without warming" in stage.world.reports

    @pytest.mark.parametrize("again", [0.0, -1.0, 5.0, 1e18])
    def test_a_mold_that_says_it_again_gains_no_time(self, again: float) -> None:
        stage = self.reloading()
        deadline = stage.supervisor.next_deadline()
        stage.now += 1.0
        stage.feed(ev.MoldWarming(2, 0.0))  # It has not begun.
        assert stage.supervisor.next_deadline() == deadline
        stage.feed(ev.MoldWarming(2, 5.0))
        stage.feed(ev.MoldWarming(2, 0.0))
        deadline = stage.supervisor.next_deadline()
        stage.now += 1.0
        stage.feed(ev.MoldWarming(2, again))
        assert stage.supervisor.next_deadline() == deadline

    def test_a_stop_and_a_later_reload_end_a_warming_mold(self) -> None:
        stage = self.reloading()
        stage.feed(ev.MoldWarming(2, 5.0))
        stage.feed(ev.SignalReceived("TERM"))
        stage.rest()
        assert stage.world.exited == 0
        assert not any("without warming" in report for report in stage.world.reports)
