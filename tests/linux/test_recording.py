"""The order in which the loop has an event carried out, observed and logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from core.stage import Stage, plan
from prefork._core.actions import Action, Announce, Exit, OrderWorker, Report, Unbind
from prefork._core.events import Event, MoldPlanned, Started, WorkerEnded
from prefork._core.view.health import Health
from prefork._master.log.log import Log, LogOptions
from prefork._master.loop import Master
from prefork._master.observers import Banner
from prefork._report.banner import Welcome
from prefork._report.forms import Text
from prefork._report.journal import Journal

DONE = Announce("reload", "done", 2, text="reload done")


class Scripted:
    """A decider that answers one event."""

    def __init__(self, *answer: Action) -> None:
        self.answer = answer

    def handle(self, event: Event, now: float) -> Sequence[Action]:
        return self.answer

    def next_deadline(self) -> float | None:
        return None


class Diary:
    """Executor and observer that write down what they are called for."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def perform(self, action: Action) -> None:
        self.entries.append(type(action).__name__)

    def noted(self, event: Event, actions: Sequence[Action], now: float) -> None:
        self.entries.append("noted")

    def done(self, now: float) -> None:
        self.entries.append("done")

    def reaped(self, exits: Any) -> None: ...
    def children_changed(self) -> None: ...
    def settled(self) -> bool:
        return True


def test_orders_are_carried_out_before_observers_are_called() -> None:
    diary = Diary()
    order = OrderWorker(7, 1, "web/0", "", ())
    with Master() as master:
        assert master.run(Scripted(order, order, Unbind(()), Report("words"), Exit(3)), diary, [diary]) == 3
    assert diary.entries == ["OrderWorker", "OrderWorker", "noted", "Unbind", "Report", "done"]


def test_supervisor_answers_orders_first() -> None:
    stage = Stage(plan("a")).start()
    actions = stage.feed(WorkerEnded(stage.pid("web/0"), -9, "killed by SIGKILL"))
    orders = [isinstance(action, OrderWorker) for action in actions]
    assert orders == sorted(orders, reverse=True)
    assert orders[0]
    assert any(isinstance(action, Report) for action in actions)


def test_log_of_an_outcome_waits_for_its_report(capfd: pytest.CaptureFixture[str]) -> None:
    with Master() as master:
        log = Log(master, LogOptions(Text(), everything=True), lambda key: False)
        report = Report("reload done", DONE)
        log.note(
            Journal().note(Started(), [report, DONE, Announce("scale", "done", 1, text="later")], 0.0, 0.0), [report]
        )
        before = capfd.readouterr().err
        log.report(report)
        log.done()
    assert before.splitlines() == ["prefork: master started"]
    assert capfd.readouterr().err.splitlines() == ["reload done", "prefork: later"]


def test_log_of_a_missing_report_is_written_when_all_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    with Master() as master:
        log = Log(master, LogOptions(Text()), lambda key: False)
        log.note(Journal().note(Started(), [DONE], 0.0, 0.0), [Report("reload done", DONE)])
        assert capfd.readouterr().err == ""
        log.done()
    assert capfd.readouterr().err == "prefork: reload done\n"


@pytest.mark.parametrize(
    ("health", "said"), [(Health(2, 2, 1), True), (Health(1, 2, 1), False), (Health(0, 0, 0), False)]
)
@pytest.mark.parametrize("stopping", [False, True])
def test_welcome_is_logged_when_all_are_ready(
    capfd: pytest.CaptureFixture[str], health: Health, said: bool, stopping: bool
) -> None:
    stage = Stage(plan("a"))

    class Standing:
        def health(self) -> Health:
            return replace(health, stopping=stopping)

    with Master() as master:
        banner = Banner(Welcome("shop", "line", 0.0), Standing(), lambda listener: "tcp://*:1", master.relay)
        banner.done(1.0)
        banner.noted(MoldPlanned(1, stage.world.plans[1]), [], 1.0)
        banner.done(1.0)
        banner.done(2.0)
    assert capfd.readouterr().err.count("shop: ready") == int(said and not stopping)
