"""A snapshot goes on as the original would have, and a stream of events gives the same actions again."""

from __future__ import annotations

import json

from core.stage import SPEC, Stage, plan
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.supervisor import Supervisor


def a_life() -> Stage:
    stage = Stage(plan("a"), plan("b"), plan("c"), seed=7).start()
    stage.crash("web/0", "Traceback: one")
    stage.command(cmd.Reload())
    stage.rest()
    stage.command(cmd.Scale("web", 4))
    stage.crash("web/1")
    stage.rest()
    stage.crash("web/1")
    stage.command(cmd.Reload())
    stage.late()
    stage.rest()
    stage.command(cmd.Stop())
    stage.rest()
    assert stage.world.exited == 0
    return stage


def test_a_recorded_stream_gives_the_same_actions() -> None:
    stage = a_life()
    again = Supervisor(SPEC, 7)
    assert [action for event, now in stage.stream for action in again.handle(event, now)] == stage.said


def test_a_snapshot_taken_anywhere_goes_on_as_the_original() -> None:
    stage = a_life()
    original = Supervisor(SPEC, 7)
    for event, now in stage.stream:
        restored = Supervisor.restore(json.loads(json.dumps(original.snapshot())))
        assert restored.next_deadline() == original.next_deadline()
        assert list(restored.handle(event, now)) == list(original.handle(event, now))
        assert restored.snapshot() == original.snapshot()
        assert restored.view(now) == original.view(now)


def test_the_view_is_plain_data() -> None:
    stage = Stage(plan()).start()
    view = stage.supervisor.view(stage.now)
    assert json.loads(json.dumps(view)) == view
    assert {slot["key"]: slot["state"] for slot in view["slots"]} == {
        "web/0": "ready",
        "web/1": "ready",
        "solo": "ready",
    }
    assert stage.feed(ev.SignalReceived("WINCH")) == []
