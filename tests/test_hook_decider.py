"""Which hook is called when, told without a process: events in, hook calls and actions out."""

from __future__ import annotations

import signal
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from prefork import PreforkSettings, SystemFailure, UsageError, default_settings
from prefork._core.actions import Action, Exit, Report, SendSignal, Watch
from prefork._core.events import (
    ContextRefused,
    ContextTaken,
    DeadlinePassed,
    Event,
    ProcessesExited,
    ProcessExit,
    SignalReceived,
    Started,
)
from prefork._hooks.decider import HookDecider, running
from prefork._hooks.decider.children import HEALTHY
from prefork._hooks.decider.pauses import LONGEST_DELAY, PATIENCE
from prefork._hooks.spawn import Spawner
from prefork._linux.program import Program
from prefork._linux.signals import NAMES

KILLED = -signal.SIGKILL


class Told:
    """A decider over recording hooks, with what it called and asked for."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.configs: list[Any] = []
        self.new: list[int] = []
        self.now = 100.0
        hooks = {
            "update_config": lambda: self.configs.pop(0) if self.configs else None,
            "update_server": lambda _config: self.take_new(),
            "on_child_finished": lambda _config: self.take_new(),
            **hooks,
        }
        names = [name for name in PreforkSettings.__dataclass_fields__ if name != "drain_timeout"]
        recorded = {name: self.recorded(name, hooks.get(name, lambda *_: None)) for name in names}
        settings: PreforkSettings[Any] = replace(default_settings(), **recorded)  # type: ignore[arg-type]
        self.decider = HookDecider(settings, Spawner(Program.record()), NAMES)

    def take_new(self) -> list[int]:
        new, self.new = self.new, []
        return new

    def recorded(self, name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            return hook(*arguments)

        return call

    def tell(self, event: Event, after: float = 0.0) -> list[Action]:
        self.calls.clear()
        self.now += after
        return self.decider.handle(event, self.now)

    def exited(self, *pids: int, status: int = KILLED, after: float = 2 * HEALTHY) -> list[Action]:
        return self.tell(ProcessesExited(tuple(ProcessExit(pid, status) for pid in pids)), after)

    def started(self, *pids: int, **more: Any) -> Told:
        self.configs, self.new = ["first", "second"], list(pids)
        assert self.tell(Started()) == [Watch(pid) for pid in pids]
        for pid in pids:
            assert self.tell(ContextTaken(pid)) == []
        return self


def test_start_asks_for_the_configuration_twice() -> None:
    told = Told()
    told.configs, told.new = ["first", "second"], [11, 12]
    assert told.tell(Started()) == [Watch(11), Watch(12)]
    assert told.calls == [
        ("update_config",),
        ("on_start", "first"),
        ("update_config",),
        ("update_server", "second"),
    ]


def test_hup_updates_and_adopts() -> None:
    told = Told().started(11)
    told.configs, told.new = ["third"], [12]
    assert told.tell(SignalReceived("HUP")) == [Watch(12)]
    assert told.calls == [("update_config",), ("update_server", "third")]


def test_none_keeps_the_old_configuration_and_starts_nothing() -> None:
    told = Told().started(11)
    assert told.tell(SignalReceived("HUP")) == []
    assert told.calls == [("update_config",)]
    told.tell(SignalReceived("QUIT"))
    assert told.calls == [("on_quit", "second")]


def test_without_configuration_only_start_and_finish_run() -> None:
    told = Told()
    assert told.tell(Started()) == []
    assert told.calls == [("update_config",), ("on_start", None), ("update_config",)]
    for name in ("QUIT", "USR1", "TTIN"):
        assert told.tell(SignalReceived(name)) == []
        assert told.calls == []
    assert told.tell(SignalReceived("TERM")) == [Exit(0)]
    assert told.calls == [("on_finish", None)]


@pytest.mark.parametrize(("name", "hook"), [("TERM", "on_terminate"), ("INT", "on_interrupt")])
def test_stopping_tells_every_live_pid_and_waits_for_the_last(name: str, hook: str) -> None:
    told = Told().started(11, 12)
    assert told.tell(SignalReceived(name)) == []
    assert told.calls == [(hook, "second", [11, 12])]
    assert told.exited(11, status=-signal.SIGTERM) == []
    assert told.calls == [("cleanup_child", "second", 11)]
    assert told.tell(SignalReceived(name)) == []
    assert told.calls == [(hook, "second", [12])]
    told.configs = ["third"]
    assert told.tell(SignalReceived("HUP")) == []
    assert told.calls == []
    assert told.exited(12, status=0) == [Exit(0)]
    assert told.calls == [("cleanup_child", "second", 12), ("on_finish", "second")]


def test_a_hup_whose_terminal_has_gone_stops() -> None:
    told = Told().started(11)
    told.tell(SignalReceived("HUP", terminal_gone=True))
    assert told.calls == [("on_terminate", "second", [11])]


def test_all_ends_are_cleaned_up_before_one_relaunch() -> None:
    told = Told().started(11, 12, 13)
    told.new = [14, 15]
    actions = told.exited(11, 12)
    assert told.calls == [
        ("cleanup_child", "second", 11),
        ("cleanup_child", "second", 12),
        ("on_child_finished", "second"),
    ]
    assert [action for action in actions if isinstance(action, Watch)] == [Watch(14), Watch(15)]
    assert [action.text for action in actions if isinstance(action, Report)] == [
        "prefork: process 11: killed by SIGKILL",
        "prefork: process 12: killed by SIGKILL",
    ]


@pytest.mark.parametrize("status", [0, -signal.SIGTERM, -signal.SIGINT])
def test_an_end_that_was_to_be_expected_is_not_reported(status: int) -> None:
    assert Told().started(11).exited(11, status=status) == []


@pytest.mark.parametrize(
    "hook", ["update_config", "on_start", "update_server", "on_child_finished", "cleanup_child", "on_quit"]
)
def test_hook_that_raises_is_logged_and_master_goes_on(hook: str) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("on purpose")

    told = Told(**{hook: fail})
    told.configs = ["first", "second", "third"]
    reports = [*told.tell(Started()), *told.exited(11), *told.tell(SignalReceived("QUIT"))]
    texts = [action.text for action in reports if isinstance(action, Report)]
    relevant = [text for text in texts if hook in text]
    assert relevant
    assert all("Traceback" in text and "on purpose" in text and "in fail" in text for text in relevant)
    told.decider._config = "some"  # Where update_config is what fails, there is none, and TERM is another test's.
    told.tell(SignalReceived("TERM"))
    assert told.calls == [("on_terminate", "some", []), ("on_finish", "some")]


def test_base_exception_does_not_end_the_master() -> None:
    def fail(*_: Any) -> None:
        raise CancelledError("as it was told to")

    told = Told(on_quit=fail).started(11)
    (report,) = told.tell(SignalReceived("QUIT"))
    assert isinstance(report, Report)
    assert "hook on_quit: raised an exception:" in report.text
    assert told.tell(SignalReceived("TERM")) == []
    assert told.calls == [("on_terminate", "second", [11])]


def test_a_hook_may_be_a_generator_of_pids() -> None:
    ran_in = []

    def start(_config: Any) -> Iterator[int]:
        yield 11
        ran_in.append(running.get())
        yield 12

    told = Told(update_server=start, on_child_finished=lambda _config: (1 // 0 for _ in "x"))
    told.configs = ["first", "second"]
    assert told.tell(Started()) == [Watch(11), Watch(12)]
    assert ran_in == [told.decider._spawner]
    _ended, report = told.exited(11)
    assert isinstance(report, Report)
    assert "ZeroDivisionError" in report.text


def test_raising_stop_hook_still_stops_the_workers() -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    told = Told(on_terminate=fail).started(11, 12)
    _, *rest = told.tell(SignalReceived("TERM"))
    assert rest == [SendSignal(pid, name) for pid in (11, 12) for name in ("TERM", "CONT")]


def test_system_exit_in_a_hook_ends_the_daemon_after_its_workers() -> None:
    def leave(*_: Any) -> None:
        raise SystemExit(3)

    told = Told(on_quit=leave).started(11)
    told.tell(SignalReceived("QUIT"))
    assert told.calls == [("on_quit", "second"), ("on_terminate", "second", [11])]
    assert told.exited(11, status=0)[-1] == Exit(3)


@pytest.mark.parametrize("code", ["no such port", OSError("no such port")])
def test_system_exit_with_no_number_says_it_and_exits_1(code: object) -> None:
    def leave(*_: Any) -> None:
        raise SystemExit(code)

    assert Told(on_start=leave).tell(Started()) == [Report("no such port"), Exit(1)]


def test_early_misuse_exits_2_and_later_only_reports() -> None:
    def misuse(*_: Any) -> None:
        raise UsageError("Web.ratio: nan")

    told = Told(update_server=misuse)
    told.configs = ["first", "second"]
    assert told.tell(Started()) == [Report("prefork: hook update_server: Web.ratio: nan"), Exit(2)]

    later = Told().started(11)
    later.decider._settings = replace(default_settings(), update_server=misuse, update_config=lambda: "third")
    assert later.tell(SignalReceived("HUP")) == [Report("prefork: hook update_server: Web.ratio: nan")]


@pytest.mark.parametrize("returned", [["eleven"], 7.5, "12", [None], [0], [-1], True, [True], object], ids=repr)
def test_a_hook_that_returns_no_pids_is_told_so(returned: Any) -> None:
    told = Told(update_server=lambda _config: returned)
    told.configs = ["first", "second"]
    (report,) = told.tell(Started())
    assert isinstance(report, Report)
    assert f"returned {returned!r}, not the pids" in report.text


def test_refused_context_ends_only_a_daemon_without_workers() -> None:
    first = Told()
    first.configs, first.new = ["first", "second"], [11, 12]
    first.tell(Started())
    (report,) = first.tell(ContextRefused(11, "no class"))
    assert isinstance(report, Report)
    assert "pid 11" in report.text
    assert "no class" in report.text
    assert first.calls == [("on_terminate", "second", [11, 12])]
    assert first.exited(11, status=2) == []  # Already said.
    assert first.exited(12, status=-signal.SIGTERM) == [Exit(2)]

    later = Told().started(11)
    later.new = [12]
    later.exited(11)
    later.tell(ContextRefused(12, "no class"))
    assert later.calls == []


def test_fast_failure_slows_relaunch_and_healthy_end_does_not() -> None:
    told = Told().started(1, 2)
    pid = 2
    for _ in range(PATIENCE):
        told.new = [pid + 1]
        told.exited(pid, after=0.01)
        assert told.calls[-1] == ("on_child_finished", "second")
        pid += 1
    assert told.exited(pid, after=0.01) != []
    assert told.calls == [("cleanup_child", "second", pid)]
    deadline = told.decider.next_deadline()
    assert deadline is not None
    assert told.now < deadline <= told.now + LONGEST_DELAY
    told.new = [pid + 1]
    assert told.tell(DeadlinePassed(), after=deadline - told.now) == [Watch(pid + 1)]
    assert told.calls == [("on_child_finished", "second")]
    assert told.decider.next_deadline() is None
    told.exited(1)
    assert told.calls[-1] == ("on_child_finished", "second")


def test_ends_that_other_processes_ask_for_are_never_slowed_down() -> None:
    told = Told().started(1)
    for pid in range(1, 50):
        told.new = [pid + 1]
        told.exited(pid, status=-signal.SIGTERM, after=0.01)
        assert told.calls[-1] == ("on_child_finished", "second")


def test_refused_start_of_a_worker_is_retried() -> None:
    def refuse(_config: Any) -> None:
        raise SystemFailure("cannot start worker web/0: Resource temporarily unavailable")

    told = Told(on_child_finished=refuse).started(11)
    told.exited(11)
    assert told.decider.next_deadline() == told.now + LONGEST_DELAY
    told.tell(DeadlinePassed(), after=LONGEST_DELAY)
    assert told.calls == [("on_child_finished", "second")]
