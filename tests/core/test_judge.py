"""The judged reload: the test of significance, the verdicts, and what follows from them."""

from __future__ import annotations

import json
from math import comb
from typing import Any

import pytest

from core.stage import Stage, kinds, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.handover.orders import ReplaceProgram
from prefork._core.judge.bake import LOOKS
from prefork._core.judge.counts import Counts, Sample
from prefork._core.judge.statistics import chance
from prefork._core.judge.verdict import compare, slow_part
from prefork._core.plan import Entry, Kind, Plan, Spec
from prefork._core.supervisor import Supervisor
from prefork._core.watch.verdicts import Hang
from prefork._options.records import DaemonOptions
from prefork._report import baking

SPEC = Spec(name="shop", jitter=0.0)
WEB = [f"web/{number}" for number in range(4)]


def counts(requests: int, errors: int = 0, latency: float = 0.01) -> Counts:
    return Counts(requests, errors, ((latency, requests),))


def exactly(new: tuple[int, int], old: tuple[int, int]) -> float:
    """The probability by counting all ways, in whole numbers."""
    (events, of), (others, others_of) = new, old
    every = events + others
    ways = sum(comb(of, some) * comb(others_of, every - some) for some in range(events, min(every, of) + 1))
    return ways / comb(of + others_of, every)


class TestChance:
    @pytest.mark.parametrize("old", [(0, 30), (1, 30), (3, 17), (30, 30)])
    @pytest.mark.parametrize("events", range(0, 21, 2))
    def test_is_the_exact_one_where_more_fail(self, events: int, old: tuple[int, int]) -> None:
        found, exact = chance((events, 20), old), exactly((events, 20), old)
        if events * old[1] > old[0] * 20:
            assert found == pytest.approx(exact, rel=1e-9)
        else:
            assert found == 1.0

    def test_millions_of_requests_are_soon_compared(self) -> None:
        assert chance((500_500, 10**6), (500_000, 10**6)) == pytest.approx(0.24, abs=0.01)
        assert chance((10**9, 10**9), (0, 10**9)) < 1e-9
        assert chance((10**9, 10**9), (10**9, 10**9)) == 1.0


class TestVerdict:
    def test_two_percent_errors_of_a_thousand_are_worse(self) -> None:
        found = compare(Sample("web", counts(1000, 20), counts(3000)), 200, True)
        assert found.outcome == "worse"
        assert found.text == (
            "more errors: web: 20 of 1,000 requests failed (2 %), p95 10 ms; "
            "old workers: 0 of 3,000 requests failed (0 %), p95 10 ms"
        )

    def test_the_same_errors_on_both_sides_are_good(self) -> None:
        assert compare(Sample("web", counts(1000, 20), counts(3000, 60)), 200, True).outcome == "good"

    def test_hardly_more_errors_of_millions_are_good(self) -> None:
        sample = Sample("web", counts(10**6, 1500), counts(10**6, 1000))
        assert chance((1500, 10**6), (1000, 10**6)) < 1e-9
        assert compare(sample, 200, True).outcome == "good"

    def test_three_times_slower_is_worse_if_most_parts_are(self) -> None:
        sample = Sample("web", counts(300, latency=0.03), counts(900))
        assert compare(sample, 200, True).outcome == "worse"
        assert compare(sample, 200, True).text.startswith("slower: web: 0 of 300 requests failed (0 %), p95 30 ms;")
        assert compare(sample, 200, False).outcome == "good"

    def test_half_as_slow_again_is_good(self) -> None:
        assert compare(Sample("web", counts(300, latency=0.015), counts(900)), 200, True).outcome == "good"

    def test_quick_requests_may_differ_by_a_millisecond(self) -> None:
        sample = Sample("web", counts(300, latency=0.0012), counts(900, latency=0.0003))
        assert compare(sample, 200, True).outcome == "good"

    @pytest.mark.parametrize(("new", "old"), [(199, 900), (900, 199), (0, 0)])
    def test_too_few_requests_on_a_side_are_no_verdict(self, new: int, old: int) -> None:
        found = compare(Sample("web", counts(new, new), counts(old)), 200, True)
        assert found.outcome == "insufficient"
        assert found.text.endswith("200 requests of each are needed")

    def test_part_of_the_time_with_few_requests_shows_nothing(self) -> None:
        window = Sample("web", counts(300, latency=0.03), counts(900))
        assert slow_part(Sample("web", counts(9, latency=0.03), counts(50)), window) is None
        assert slow_part(Sample("web", counts(10, latency=0.03), counts(0)), window) is True
        assert slow_part(Sample("web", counts(10), counts(50)), window) is False

    def test_counts_that_a_worker_has_overwritten_are_cut(self) -> None:
        wild = Counts(2**64 - 1, 2**64 - 1, ((0.01, 2**64 - 1),))
        found = wild.since(counts(10))
        assert found == Counts(10**9, 10**9, ((0.01, 10**9),))
        assert counts(10).since(wild) == Counts()
        assert compare(Sample("web", found, found), 200, True).outcome == "good"


def four(*, generations: int = 3, solo: bool = False, **options: object) -> Stage:
    """Four workers of a daemon whose reloads are judged, and a singleton if wanted."""
    given = DaemonOptions(judge=True, **{"bake": 8.0, **options})  # type: ignore[arg-type]
    one = plan(web=4, solo=solo)
    return Stage(*[Plan(one.entries, one.kinds, one.pools, options=given)] * generations, spec=SPEC).start()


def bake(stage: Stage, *, errors: int = 0, more: int = 1000, latency: float = 0.01, looks: int = 1 + LOOKS) -> None:
    """Let the deadlines of a bake pass, each with its counts; the new side's errors and latency are given."""
    for _ in range(looks):
        change = stage.supervisor._state.change
        if change is None or not change.on_trial:
            break
        stage.late()
        assert stage.world.measuring is not None
        measured = stage.world.measured(stage.world.measuring, more, 0)
        if stage.world.counted:
            base = measured.samples[0].new
            slow = ((0.01, 1000), (latency, base.requests - 1000)) if latency != 0.01 else base.latencies
            new = Counts(base.requests, errors * (base.requests - 1000) // 1000, slow)
            measured = ev.Measured(measured.generation, (Sample("web", new, measured.samples[0].old),))
        stage.feed(measured)
    stage.rest()


def still_baking(event: ev.Event) -> bool:
    return isinstance(event, ev.Measured)


class TestView:
    def change(self, stage: Stage) -> Any:
        return stage.supervisor.overview()["change"]

    def test_bake_is_shown_with_canaries_end_and_figures(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        assert self.change(stage)["bake"] is None
        stage.rest()
        seen = self.change(stage)
        assert seen["stage"] == "baking"
        assert seen["bake"] == {
            "canaries": ["web/0"], "begun": stage.now, "until": stage.now + 8, "settling": 2.0, "least": 200,
            "held": False, "figures": [],
        }  # fmt: skip
        assert baking.lines(seen, stage.now) == ["judge: web/0 of generation 2 beside the others, 8 s left"]
        bake(stage, looks=2)
        [figures] = self.change(stage)["bake"]["figures"]
        assert figures["pool"] == "web"
        assert figures["new"]["requests"] == figures["old"]["requests"] == 1000
        assert baking.lines(self.change(stage), stage.now)[1].startswith("judge: web: ")
        bake(stage)
        assert self.change(stage) is None
        assert baking.lines(None, stage.now) == []

    def test_held_bake_ends_later_and_says_what_it_lacks(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        begun = stage.now
        bake(stage, more=10)
        seen = self.change(stage)
        assert (seen["bake"]["held"], seen["bake"]["until"]) == (True, begun + 80)
        first, figures = baking.lines(seen, begun + 20)
        assert first == "judge: held, since there are too few requests; web/0 of generation 2, at most 60 s more"
        assert figures.endswith("; 200 requests of each are needed")
        assert baking.short(seen, begun + 20).startswith("held g2, 60 s left; web new 0 % ")


class TestUpgrade:
    def test_upgrade_says_at_once_that_it_waits_for_a_bake(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        stage.command(cmd.Upgrade())
        text = "waits for the verdict on generation 2, which is judged for 80 s at most; `prefork back` withdraws "
        [begun] = [each for each in stage.all(act.Announce) if each.what == "upgrade"]
        assert begun.text.startswith(text)
        assert not stage.all(ReplaceProgram)
        bake(stage)
        assert stage.all(ReplaceProgram)
        assert stage.serving(2) == WEB

    def test_back_ends_the_bake_that_an_upgrade_waits_for(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        stage.command(cmd.Upgrade())
        stage.command(cmd.Replan())
        assert not stage.reply().ok
        stage.command(cmd.Back())
        assert stage.reply().text == "back: the reload is withdrawn; generation 1 goes on serving"
        stage.rest(but=lambda _event: bool(stage.all(ReplaceProgram)))
        assert stage.all(ReplaceProgram)


class TestReload:
    def test_good_canary_is_followed_by_all(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.serving(2) == ["web/0"]
        assert stage.serving(1) == WEB[1:]
        begun = stage.now
        bake(stage)
        assert stage.now - begun == pytest.approx(8.0)
        assert stage.serving(2) == WEB
        assert stage.reply().ok
        assert "; judged: web: 0 of 8,000 requests failed" in stage.reply().text

    def test_worse_canary_is_rolled_back_and_its_mold_goes(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        bake(stage, errors=20)
        assert not stage.reply().ok
        assert "failed: the new workers were judged: more errors: web: 20 of 1,000" in stage.reply().text
        assert stage.reply().text.endswith("the old code goes on serving (generation 1)")
        assert stage.serving(1) == WEB
        assert list(stage.world.molds) == [1]

    def test_slow_canary_is_rolled_back(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        begun = stage.now
        bake(stage, latency=0.03)
        assert "slower: web:" in stage.reply().text
        assert stage.now - begun < 8.0

    def test_no_other_slot_moves_before_the_verdict(self) -> None:
        stage = four(canary_share=2)
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.serving(2) == WEB[:2]
        bake(stage, looks=LOOKS)
        assert stage.serving(2) == WEB[:2]

    def test_share_leaves_one_old_worker(self) -> None:
        stage = four(canary_share=9)
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.serving(2) == WEB[:3]

    def test_crash_in_the_bake_rolls_back_at_once(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        bake(stage, looks=4)
        stage.crash("web/0", doing="GET /orders")
        assert "while doing GET /orders (pid" in stage.reply().text
        assert ", while it was judged; the old code goes on serving" in stage.reply().text
        stage.rest()
        assert stage.serving(1) == WEB

    @pytest.mark.parametrize("policy", ["kill", "report"])
    def test_hang_in_the_bake_rolls_back_at_once(self, policy: str) -> None:
        one = kinds(plan(web=4, solo=False), hang_policy=policy)
        judged = Plan(one.entries, one.kinds, one.pools, options=DaemonOptions(judge=True))
        stage = Stage(judged, judged, spec=SPEC).start()
        stage.command(cmd.Reload())
        stage.rest()
        hang = Hang("web/0", 1, 2, "GET /", 2.0, 0.0)
        stage.feed(ev.WorkerHung(stage.pid("web/0"), "blocked loop", hang, "web/0: hung"))
        assert "hung for 2.0 s: blocked loop" in stage.reply().text
        stage.rest()
        assert stage.serving(1) == WEB

    def test_crash_of_an_old_worker_is_no_verdict(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        stage.crash("web/2", doing="GET /orders")
        stage.rest()
        assert stage.serving(1) == WEB[1:]
        bake(stage)
        assert stage.reply().ok

    def test_busy_canary_without_progress_is_no_good_one(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        bake(stage, looks=LOOKS)
        stage.late()
        assert stage.world.measuring is not None
        measured = stage.world.measured(stage.world.measuring, 1000)
        stuck = [Sample("web", one.new, one.old, 1.5) for one in measured.samples]
        stage.feed(ev.Measured(2, tuple(stuck)))
        assert stage.serving(2) == ["web/0"]
        bake(stage, looks=1)
        assert stage.reply().ok

    def test_singleton_does_not_bake_and_follows(self) -> None:
        stage = four(solo=True)
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.serving(2) == ["web/0"]
        bake(stage)
        assert stage.serving(2) == ["solo", *WEB]

    def test_nothing_to_compare_is_said_and_not_judged(self) -> None:
        stage = four(solo=True)
        stage.command(cmd.Scale("web", 1))
        stage.rest()
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.reply().ok
        assert stage.reply().text.endswith("; not judged: no kind has two workers that may serve side by side")


class TestTooFew:
    def test_hold_bakes_on_until_there_are_enough(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        bake(stage, more=20)
        assert stage.serving(2) == ["web/0"]
        assert [text for text in stage.world.reports if "reload: held: too few requests" in text]
        bake(stage, looks=1)
        assert stage.reply().ok

    def test_hold_ends_after_ten_times_the_bake(self) -> None:
        stage = four()
        begun = stage.now
        stage.command(cmd.Reload())
        stage.rest()
        bake(stage, more=0, looks=200)
        assert not stage.reply().ok
        assert "too few requests to judge: no worker counts any" in stage.reply().text
        assert 80 <= stage.now - begun < 82

    @pytest.mark.parametrize(("what", "ok"), [("pass", True), ("fail", False)])
    def test_pass_and_fail_decide_at_the_end(self, what: str, ok: bool) -> None:
        stage = four(judge_insufficient=what)
        stage.command(cmd.Reload())
        stage.rest()
        bake(stage, more=20)
        assert stage.reply().ok is ok
        assert "too few requests to judge: web: 0 of 160 requests failed" in stage.reply().text

    def test_kind_that_never_counts_needs_no_requests(self) -> None:
        options = DaemonOptions(judge=True, bake=8.0)
        one = plan(web=4)
        jobs = (Entry("job/0", "job", "a"), Entry("job/1", "job", "a"))
        both = Plan((*one.entries, *jobs), (*one.kinds, Kind("job")), one.pools, options=options)
        stage = Stage(both, both, spec=SPEC).start()
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.serving(2) == ["job/0", "web/0"]
        for _ in range(1 + LOOKS):
            stage.late()
            assert stage.world.measuring is not None
            web = stage.world.measured(stage.world.measuring, 1000).samples[0]
            stage.feed(ev.Measured(2, (web, Sample("job"))))
        stage.rest()
        assert stage.reply().ok


class TestMeanwhile:
    def test_newer_reload_takes_its_place_with_the_same_canary(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        bake(stage, looks=3)
        stage.command(cmd.Reload())
        stage.rest()
        assert stage.serving(3) == ["web/0"]
        assert stage.serving(1) == WEB[1:]
        bake(stage, errors=20)
        assert not stage.reply().ok
        assert stage.serving(1) == WEB

    def test_scaling_up_serves_at_once_with_the_old_code(self) -> None:
        stage = four(generations=3)
        stage.command(cmd.Scale("web", 2))
        stage.rest()
        stage.command(cmd.Reload())
        stage.rest()
        stage.command(cmd.Scale("web", 4))
        stage.rest()
        assert stage.reply().ok
        assert stage.serving(1) == WEB[1:]
        bake(stage)
        assert stage.serving(2) == WEB

    def test_scaling_the_canary_away_bakes_another(self) -> None:
        stage = four()
        stage.command(cmd.Reload(canary_share=1))
        stage.rest()
        key = next(iter(stage.supervisor._state.change.bake.keys))  # type: ignore[union-attr]
        assert key == "web/0"
        stage.command(cmd.Scale("web", 1))
        stage.rest()
        assert stage.reply(1).text.endswith("; not judged: no worker of the old generation is left")
        assert stage.serving(2) == ["web/0"]

    def test_stop_ends_a_bake(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        stage.feed(ev.SignalReceived("TERM"))
        stage.rest()
        assert stage.world.exited == 0

    def test_limit_of_a_worker_waits_for_the_verdict(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        stage.feed(ev.WorkerWornOut(stage.pid("web/0"), "1000 requests"))
        stage.rest()
        assert stage.serving(2) == ["web/0"]
        bake(stage)
        assert stage.reply().ok

    def test_snapshot_in_a_bake_goes_on_with_it(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        bake(stage, looks=3)
        data = json.loads(json.dumps(stage.supervisor.snapshot(), allow_nan=False))
        stage.supervisor = Supervisor.restore(data)
        assert stage.supervisor.next_deadline() is not None
        bake(stage)
        assert stage.reply().ok

    def test_counts_that_do_not_come_are_asked_for_again(self) -> None:
        stage = four()
        stage.command(cmd.Reload())
        stage.rest()
        stage.late()
        stage.late()
        assert len(stage.all(act.Measure)) == 2
        stage.world.measuring = None
        bake(stage)
        assert stage.reply().ok


class TestWish:
    @pytest.mark.parametrize(
        ("given", "judged"),
        [({}, False), ({"judge": True}, True), ({"bake": 5.0}, True), ({"judge": False, "bake": 5.0}, False)],
    )
    def test_command_says_whether_it_is_judged(self, given: dict[str, object], judged: bool) -> None:
        one = plan(web=4, solo=False)
        stage = Stage(one, one, spec=SPEC).start()
        stage.command(cmd.Reload(**given))  # type: ignore[arg-type]
        stage.rest()
        assert stage.serving(2) == (["web/0"] if judged else WEB)

    def test_options_of_the_daemon_judge_a_hangup_too(self) -> None:
        stage = four()
        stage.feed(ev.SignalReceived("HUP"))
        stage.rest()
        assert stage.serving(2) == ["web/0"]

    def test_command_without_judge_goes_before_the_options(self) -> None:
        stage = four()
        stage.command(cmd.Reload(judge=False))
        stage.rest()
        assert stage.serving(2) == WEB

    def test_words_are_those_that_are_typed(self) -> None:
        assert cmd.words(cmd.Reload()) == "reload"
        some = cmd.Reload(judge=True, bake=5.0, canary_share=2)
        assert cmd.words(some) == "reload --judge --bake 5 --canary-share 2"
        assert cmd.words(cmd.Reload(judge=False)) == "reload --no-judge"
