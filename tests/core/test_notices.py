"""What a service manager hears, decision by decision."""

from __future__ import annotations

from core.stage import Stage, plan
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.plan import Plan
from prefork._core.view.health import Health
from prefork._report.notices import Notices


class Heard:
    """A stage with a manager in front of it, who notes everything."""

    def __init__(self, *plans: Plan) -> None:
        self.stage, self._notices, self.all = Stage(*plans), Notices(), list[str]()

    def feed(self, event: ev.Event) -> list[str]:
        self.stage.feed(event)
        lines = self._notices.due(self.stage.supervisor.health(), self.stage.now)
        self.all += lines
        return lines

    def rest(self) -> list[str]:
        """Let the world do all that it owes; return what was said meanwhile."""
        before = len(self.all)
        while (event := next(self.stage.world.kind_answers(), None)) is not None:
            self.feed(event)
        return self.all[before:]

    @property
    def text(self) -> str:
        return self.stage.supervisor.health().text


def started(*plans: Plan) -> Heard:
    heard = Heard(*plans)
    assert heard.feed(ev.Started()) == []
    assert heard.rest() == ["READY=1"]
    return heard


def test_ready_comes_with_the_last_worker_of_the_plan() -> None:
    heard = Heard(plan(web=2, solo=False))
    heard.feed(ev.Started())
    assert heard.text == "starting"
    while len(heard.stage.serving()) < 2:
        assert heard.all == []
        heard.feed(next(heard.stage.world.kind_answers()))
    assert heard.all == ["READY=1"]
    assert heard.text == "2/2 ready, generation 1"


def test_a_crash_after_that_changes_the_status_only() -> None:
    heard = started(plan(web=2, solo=False))
    heard.feed(ev.WorkerEnded(heard.stage.pid("web/1"), 3, "exited 3"))
    assert heard.text == "1/2 ready, generation 1"
    heard.rest()
    assert heard.text == "2/2 ready, generation 1"
    assert heard.all == ["READY=1"]


def test_a_job_that_is_done_is_not_waited_for() -> None:
    heard = Heard(plan(web=1, solo=False, restart="never"))
    heard.feed(ev.Started())
    while "web/0" not in [process.key for process in heard.stage.world.processes.values()]:
        heard.feed(next(heard.stage.world.kind_answers()))
    assert heard.feed(ev.WorkerEnded(heard.stage.pid("web/0"), 0, "exited 0")) == ["READY=1"]


def test_a_reload_is_said_with_its_time_and_followed_by_ready() -> None:
    heard = started(plan("a"), plan("b"))
    heard.stage.now = 1234.5678
    assert heard.feed(ev.SignalReceived("HUP")) == ["RELOADING=1", "MONOTONIC_USEC=1234567800"]
    assert "reload of generation 2" in heard.text
    assert heard.rest() == ["READY=1"]
    assert heard.text == "3/3 ready, generation 2"


def test_after_a_failed_reload_the_status_says_so() -> None:
    heard = started(plan("a"), plan("b"), plan("c"))
    heard.feed(ev.SignalReceived("HUP"))
    assert heard.feed(ev.MoldFailed(2, "SyntaxError: no")) == ["READY=1"]
    assert heard.text.startswith("3/3 ready, generation 1; reload: failed: SyntaxError: no")
    heard.rest()
    assert heard.feed(ev.CommandReceived(1, cmd.Reload()))[0] == "RELOADING=1"
    assert "failed" not in heard.text
    heard.rest()
    assert heard.text == "3/3 ready, generation 3"


def test_reload_in_place_of_another_is_logged_again() -> None:
    heard = started(plan("a"), plan("b"), plan("c"))
    heard.feed(ev.SignalReceived("HUP"))
    heard.stage.now += 1
    assert heard.feed(ev.SignalReceived("HUP"))[0] == "RELOADING=1"
    assert heard.rest() == ["READY=1"]


def test_a_replan_is_a_reload_and_a_restart_is_none() -> None:
    heard = started(plan("a"))
    assert heard.feed(ev.CommandReceived(1, cmd.Restart("web/0"))) == []
    assert heard.rest() == []
    assert heard.feed(ev.CommandReceived(2, cmd.Replan()))[0] == "RELOADING=1"
    assert heard.rest() == ["READY=1"]


def test_a_reload_before_all_are_ready_is_part_of_the_start() -> None:
    heard = Heard(plan("a"), plan("b"))
    heard.feed(ev.Started())
    heard.feed(ev.MoldPlanned(1, plan("a")))
    assert heard.feed(ev.SignalReceived("HUP")) == []
    assert heard.rest() == ["READY=1"]
    assert heard.text == "3/3 ready, generation 2"


def test_stopping_is_said_once() -> None:
    heard = started(plan("a"))
    assert heard.feed(ev.SignalReceived("TERM")) == ["STOPPING=1"]
    assert heard.text == "stopping"
    assert heard.rest() == []


def test_a_start_that_fails_says_why() -> None:
    heard = Heard(plan("a"))
    heard.feed(ev.Started())
    assert heard.feed(ev.MoldFailed(1, "ImportError: no module")) == ["STOPPING=1"]
    assert heard.text.startswith("stopping: start: failed: ImportError: no module")


def test_a_status_is_one_line_of_bounded_length() -> None:
    stage = Stage(plan("a"), plan("b")).start()
    stage.feed(ev.SignalReceived("HUP"))
    stage.feed(ev.PlanFailed(2, "x"))
    stage.supervisor._state.setback = "y" * 10_000 + "\nz"
    text = stage.supervisor.health().text
    assert "\n" not in text
    assert len(text) < 300


def test_what_is_left_of_a_rollout_is_told() -> None:
    health = Health(4, 4, 3, "reload", 4, 2)
    assert health.text == "4/4 ready, generation 3; reload of generation 4, 2 to go"
