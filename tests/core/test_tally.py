"""What the tally makes of a daemon's records: ends by cause, verdicts, outcomes of changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.stage import plan
from core.test_journal import Noted
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.watch.verdicts import Hang
from prefork._records.plain import made, plain
from prefork._report.counts.tally import CAUSES, Tally, cause_of


def counts(stage: Noted) -> dict[str, Any]:
    return stage.journal.tally.view()


def test_ends_are_counted_by_cause_and_pool() -> None:
    stage = Noted(plan("a"), plan("b"), plan("c")).start()
    stage.crash("web/0")
    stage.rest()
    stage.feed(ev.WorkerEnded(stage.pid("web/1"), -9, "killed by SIGKILL: out of memory (kernel OOM counter)"))
    stage.rest()
    stage.command(cmd.Restart("web/0"))
    stage.rest()
    stage.command(cmd.Reload())
    stage.rest()
    stage.command(cmd.Scale("web", 1))
    stage.rest()
    stage.feed(ev.WorkerWornOut(stage.pid("web/0"), "1000 requests"))
    stage.rest()
    assert counts(stage)["ends"] == {
        "web": {"crash": 1, "out_of_memory": 1, "restart": 1, "reload": 2, "scale": 1, "recycled": 1},
        "solo": {"reload": 1},
    }
    stage.feed(ev.SignalReceived("TERM"))
    stage.rest()
    assert counts(stage)["ends"]["solo"] == {"reload": 1, "stop": 1}


def test_ends_before_ready_and_unasked_ends_have_their_causes() -> None:
    stage = Noted(plan("a", solo=False)).start()
    stage.feed(ev.WorkerEnded(stage.pid("web/0"), 0, "exited 0"))
    stage.crash("web/0")  # Its successor, before it is ready.
    assert counts(stage)["ends"] == {"web": {"exit": 1, "start": 1}}
    stage.command(cmd.Reload())
    stage.feed(ev.MoldFailed(2, "ImportError"))
    stage.feed(ev.SpawnFailed(1, "web/1", "no such file"))
    assert counts(stage)["ends"]["web"]["start"] == 2


def test_hung_worker_counts_by_verdict_and_as_cause() -> None:
    stage = Noted(plan("a", solo=False)).start()
    pid = stage.pid("web/0")
    stage.feed(ev.WorkerStarved(pid, 31.0))
    stage.feed(ev.WorkerStuck(pid, "busy", Hang("web/0", pid, 1, "GET /", 30.0, 0.0), "report"))
    stage.feed(ev.WorkerHung(pid, "deadlock", Hang("web/0", pid, 1, "GET /", 30.0, 0.0), "report"))
    stage.rest()
    found = counts(stage)
    assert (found["hung"], found["stuck"], found["starved"]) == (
        {"web": {"deadlock": 1}},
        {"web": {"busy": 1}},
        {"web": 1},
    )
    assert found["ends"] == {"web": {"hang": 1}}


def test_drain_that_is_cut_counts_beside_its_cause() -> None:
    stage = Noted(plan("a", solo=False)).start()
    pid = stage.pid("web/0")
    stage.command(cmd.Restart("web/0"))
    stage.rest(lambda event: isinstance(event, ev.WorkerEnded))
    for _ in range(9):
        if not counts(stage)["cut"]:
            stage.late()
    stage.rest()
    assert pid not in stage.world.processes
    assert (counts(stage)["cut"], counts(stage)["ends"]) == ({"web": 1}, {"web": {"restart": 1}})


def test_changes_are_counted_with_the_last_outcome() -> None:
    stage = Noted(plan("a", solo=False), plan("b", solo=False), plan("c", solo=False)).start()
    stage.command(cmd.Reload())
    stage.rest()
    done = counts(stage)["changes"]["reload"]
    assert (done["done"], done["failed"], done["outcome"]) == (1, 0, "done")
    assert done["seconds"] > 1
    stage.command(cmd.Reload())
    stage.feed(ev.MoldFailed(3, "ImportError: no module named shop"))
    stage.command(cmd.Preview("replan"))
    stage.rest()
    found = counts(stage)["changes"]
    assert set(found) == {"start", "reload"}
    assert (found["reload"]["done"], found["reload"]["failed"], found["reload"]["outcome"]) == (1, 1, "failed")
    assert found["reload"]["time"] > done["time"]


def test_withdrawn_change_ends_its_workers_by_rollback() -> None:
    stage = Noted(plan("a", solo=False), plan("b", solo=False)).start()
    stage.command(cmd.Reload())
    stage.rest(lambda event: isinstance(event, ev.WorkerReady))
    stage.crash("web/0")
    stage.rest()
    assert counts(stage)["ends"]["web"] == {"start": 1}
    assert cause_of("reload rolled back") == cause_of("restart superseded") == "rollback"


@pytest.mark.parametrize(
    ("why", "cause"),
    [
        ("reload requested by uid 0 (pid 7)", "reload"),
        ("signal HUP", "reload"),
        ("signal TTOU", "scale"),
        ("signal TERM", "stop"),
        ("scale web 3", "scale"),
        ("worn out: 1000 requests", "recycled"),
        ("no worker of the first generation became ready", "stop"),
        ("replaced", "reload"),
    ],
)
def test_reason_of_a_drain_names_its_cause(why: str, cause: str) -> None:
    assert cause_of(why) == cause
    assert cause in CAUSES


def test_tally_goes_on_where_it_was_left() -> None:
    stage = Noted(plan("a"), plan("b")).start()
    stage.crash("web/0")
    stage.rest()
    stage.command(cmd.Reload())
    assert made(Tally, json.loads(json.dumps(plain(Tally, stage.journal.tally)))) == stage.journal.tally
