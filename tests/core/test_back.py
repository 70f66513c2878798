"""The way back to the former generation: by its mold, which is kept for a while, without an import."""

from __future__ import annotations

import json

from core.stage import Stage, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.plan import Listener, Plan, Spec
from prefork._core.supervisor import Supervisor
from prefork._options.records import DaemonOptions

SPEC = Spec(name="shop", jitter=0.0)
WEB = [f"web/{number}" for number in range(4)]
HTTP, ADMIN = Listener("http", "tcp://127.0.0.1:80"), Listener("admin", "tcp://127.0.0.1:81")


def kept(*listeners: Listener, seconds: float = 60.0) -> Plan:
    one = plan(web=4, solo=False)
    return Plan(one.entries, one.kinds, one.pools, listeners, DaemonOptions(keep_mold=seconds))


def reloaded(*plans: Plan) -> Stage:
    stage = Stage(*(plans or [kept()] * 4), spec=SPEC).start()
    stage.command(cmd.Reload())
    stage.rest()
    assert stage.serving(2) == WEB
    return stage


def test_back_returns_to_the_former_without_an_import() -> None:
    stage = reloaded()
    imports = len(stage.all(act.StartMold))
    stage.command(cmd.Back())
    stage.rest()
    assert stage.reply().ok
    assert stage.reply().text.startswith("back: done (generation 1)")
    assert stage.serving(1) == WEB
    assert len(stage.all(act.StartMold)) == imports


def test_back_again_returns_to_where_it_was() -> None:
    stage = reloaded()
    for generation in (1, 2, 1):
        stage.command(cmd.Back())
        stage.rest()
        assert stage.serving(generation) == WEB


def test_reload_after_back_is_of_a_new_generation() -> None:
    stage = reloaded()
    stage.command(cmd.Back())
    stage.rest()
    stage.command(cmd.Reload())
    stage.rest()
    assert stage.serving(3) == WEB
    assert sorted(stage.world.molds) == [1, 3]


def test_mold_goes_when_its_time_is_over() -> None:
    stage = reloaded()
    assert sorted(stage.world.molds) == [1, 2]
    begun = stage.now
    while stage.supervisor._state.former is not None:
        stage.late()
        stage.rest()
    assert stage.now - begun == 60
    assert sorted(stage.world.molds) == [2]
    stage.command(cmd.Back())
    assert stage.reply().text.startswith("back: no former generation is kept")


def test_by_default_no_mold_is_kept() -> None:
    stage = reloaded(*[kept(seconds=0.0)] * 2)
    assert sorted(stage.world.molds) == [2]
    stage.command(cmd.Back())
    assert not stage.reply().ok


def test_former_mold_that_ends_is_not_imported_again() -> None:
    stage = reloaded()
    imports = len(stage.all(act.StartMold))
    stage.feed(ev.MoldEnded(1, "killed by SIGKILL"))
    stage.rest()
    assert "mold of generation 1: killed by SIGKILL; `prefork back` cannot return to it" in stage.world.reports
    stage.command(cmd.Back())
    assert not stage.reply().ok
    assert len(stage.all(act.StartMold)) == imports


def test_mold_that_ends_on_the_way_back_fails_it() -> None:
    stage = reloaded()
    stage.command(cmd.Back())
    stage.feed(ev.MoldEnded(1, "killed by SIGKILL"))
    stage.rest()
    assert not stage.reply().ok
    assert stage.serving(2) == WEB
    assert sorted(stage.world.molds) == [2]


def test_crash_on_the_way_back_keeps_the_present() -> None:
    stage = reloaded()
    stage.command(cmd.Back())
    stage.rest(but=lambda event: isinstance(event, ev.WorkerReady))
    (pid,) = [pid for pid, process in stage.world.processes.items() if process.generation == 1 and process.key]
    stage.feed(ev.WorkerEnded(pid, 3, "exited 3"))
    stage.rest()
    assert not stage.reply().ok
    assert stage.serving(2) == WEB


def test_back_opens_the_listeners_that_the_former_had() -> None:
    stage = reloaded(kept(HTTP, ADMIN), kept(HTTP))
    assert stage.world.bound == {HTTP}
    stage.command(cmd.Back())
    stage.rest()
    assert stage.reply().ok
    assert stage.world.bound == {HTTP, ADMIN}


def test_back_withdraws_a_reload_that_is_judged() -> None:
    stage = reloaded()
    stage.command(cmd.Reload(judge=True))
    stage.rest()
    assert stage.serving(3) == ["web/0"]
    stage.command(cmd.Back())
    stage.rest()
    assert stage.reply().text == "back: the reload is withdrawn; generation 2 goes on serving"
    assert not stage.reply(2).ok
    assert stage.serving(2) == WEB


def test_scale_is_kept_on_the_way_back() -> None:
    stage = reloaded()
    stage.command(cmd.Scale("web", 2))
    stage.rest()
    stage.command(cmd.Back())
    stage.rest()
    assert stage.serving(1) == WEB[:2]


def test_snapshot_keeps_the_way_back() -> None:
    stage = reloaded()
    data = json.loads(json.dumps(stage.supervisor.snapshot()))
    stage.supervisor = Supervisor.restore(data)
    stage.command(cmd.Back())
    stage.rest()
    assert stage.serving(1) == WEB
