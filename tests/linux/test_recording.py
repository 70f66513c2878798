"""What is noted of a decider's facts and orders, and when."""

from __future__ import annotations

from collections.abc import Sequence

from core.stage import Stage, plan
from prefork._core.actions import OrderWorker, Report
from prefork._core.events import WorkerEnded
from prefork._master.log.log import Log, LogOptions
from prefork._master.loop import Master
from prefork._master.observers import Recorded
from prefork._report.forms import Text
from prefork._report.journal import Journal, Record


def test_an_order_is_given_before_anything_is_told_about_it() -> None:
    stage = Stage(plan("a")).start()
    told: list[Sequence[Record]] = []
    with Master() as master:
        log = Log(master, LogOptions(Text()), stage.supervisor.backs_off)
        recorded = Recorded(stage.supervisor, Journal(), log, [told.append])
        death = WorkerEnded(stage.pid("web/0"), -9, "was killed by SIGKILL")
        actions = recorded.handle(death, stage.now)
        assert isinstance(next(actions), OrderWorker)
        assert told == []
        rest = list(actions)
    assert [record["event"] for records in told for record in records] == ["ordered"]
    assert any(isinstance(action, Report) for action in rest)
    assert not any(isinstance(action, OrderWorker) for action in rest)
