"""What a reload or a replan would change: computed, told, and nothing else happens."""

from __future__ import annotations

from dataclasses import replace

from core.stage import Stage, kinds, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.plan import Listener

HTTP, ADMIN = Listener("http", "tcp://127.0.0.1:80"), Listener("admin", "tcp://127.0.0.1:81")


def test_preview_of_a_reload_changes_nothing() -> None:
    other = replace(plan("b", web=3, solo=False), listeners=(HTTP,))
    stage = Stage(plan("a", web=2), other).start()
    before = stage.supervisor.view(stage.now)["slots"]
    stage.command(cmd.Preview("reload"))
    assert [mold["generation"] for mold in stage.supervisor.view(stage.now)["molds"]] == [1, 2]
    stage.rest()
    reply = stage.reply()
    assert reply.ok
    assert reply.text == "a reload would add 1, remove 1, replace 2"
    assert reply.data == {
        "of": "reload",
        "added": ["web/2"],
        "removed": ["solo"],
        "replaced": {"web/0": ["parameters", "listeners"], "web/1": ["parameters", "listeners"]},
        "renewed": [],
        "kept": [],
        "opened": {"http": HTTP.address},
        "closed": {},
    }
    assert stage.supervisor.view(stage.now)["slots"] == before
    assert list(stage.world.molds) == [1]
    assert not stage.all(act.Bind)
    assert not stage.all(act.AskToDrain)


def test_a_reload_of_the_same_plan_renews_what_a_replan_keeps() -> None:
    stage = Stage(plan("a"), plan("a")).start()
    stage.command(cmd.Preview("reload"))
    stage.rest()
    assert stage.reply().data["renewed"] == ["web/0", "web/1", "solo"]
    stage.command(cmd.Preview("replan"))
    stage.rest()
    assert stage.reply().data["kept"] == ["web/0", "web/1", "solo"]
    assert stage.reply().text == "a replan would change nothing"


def test_a_preview_that_cannot_be_computed_says_why() -> None:
    stage = Stage(plan("a"), plan("b")).start()
    stage.command(cmd.Preview("reload"))
    stage.feed(ev.MoldFailed(2, "SyntaxError: invalid syntax"))
    stage.rest()
    assert not stage.reply().ok
    assert stage.reply().text.startswith("preview: failed")
    assert "SyntaxError" in stage.reply().text
    assert stage.serving() == ["solo", "web/0", "web/1"]


def test_options_of_a_kind_and_listeners_are_differences_too() -> None:
    stage = Stage(replace(plan("a"), listeners=(HTTP,)))
    other = replace(kinds(plan("a"), drain_timeout=1.0), listeners=(HTTP, ADMIN))
    stage.world.replans[1] = other
    stage.start()
    stage.command(cmd.Preview("replan"))
    stage.rest()
    assert stage.reply().data["replaced"]["web/0"] == ["options", "listeners"]
    assert stage.reply().data["opened"] == {"admin": ADMIN.address}


def test_reload_replaces_a_preview_that_still_imports() -> None:
    stage = Stage(plan("a"), plan("b"), plan("c")).start()
    stage.command(cmd.Preview("reload"))
    stage.command(cmd.Reload())
    stage.rest()
    assert not stage.reply(1).ok
    assert stage.reply(2).ok
    assert stage.serving(3) == ["solo", "web/0", "web/1"]


def test_previews_wait_in_line_and_two_alike_are_one() -> None:
    stage = Stage(plan("a"), plan("b"), plan("b"), plan("c")).start()
    stage.command(cmd.Reload())
    for preview in (cmd.Preview("reload"), cmd.Preview("replan"), cmd.Preview("reload")):
        stage.command(preview)
    stage.rest()
    assert [reply.ok for reply in stage.world.replies] == [True] * 4
    assert stage.reply(2).data == stage.reply(4).data
    assert stage.reply(3).data["of"] == "replan"
    assert len(stage.all(act.StartMold)) == 3
