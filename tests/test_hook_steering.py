"""What clients see of a hooks daemon, and what their commands do: events in, actions and views out."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import prefork
from hooked import Hooks, version
from prefork import PreforkSettings
from prefork._core.actions import Action, Announce, Exit, KillWorker, Reply, Report, SendSignal, Watch
from prefork._core.commands import COMMANDS, Command, Preview, Reload, Replan, Restart, Scale, Stop
from prefork._core.events import (
    CommandReceived,
    ContextRefused,
    ContextTaken,
    DeadlinePassed,
    Event,
    ProcessesExited,
    ProcessExit,
    SignalReceived,
    Started,
    WorkerReady,
)
from prefork._hooks.control.steered import REFUSED, SteeredDecider
from prefork._hooks.control.table import Table
from prefork._hooks.decider import HEALTHY, HookDecider
from prefork._hooks.spawn import Spawner
from prefork._linux.program import Program
from prefork._linux.signals import NAMES
from prefork._report.journal import Journal


class Named(Spawner):
    """Has started every worker that a hook returns."""

    def name(self, pid: int) -> str | None:
        return None if pid == 99 else f"web/{pid % 10}"


class Daemon:
    """A hooks daemon whose hooks start what a test says: the worker of pid 12 is web/2, 99 was forked by a hook."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        self.new: list[int] = []
        self.now = 100.0
        own: dict[str, Callable[..., Any]] = {
            "update_config": lambda: "config",
            "update_server": lambda _config: self.take_new(),
            "on_child_finished": lambda _config: self.take_new(),
            "on_terminate": lambda _config, _pids: None,  # The default signals the pids, which here are any process's.
        }
        spawner = Named(Program.record())
        self.table = Table("greeters", spawner.name, NAMES)
        inner = HookDecider(PreforkSettings(**dict[str, Any](own | hooks)), spawner, NAMES)
        self.decider, self.journal = SteeredDecider(inner, self.table), Journal()
        self.replies: dict[int, Reply] = {}

    def take_new(self) -> list[int]:
        new, self.new = self.new, []
        return new

    def tell(self, event: Event, *new: int, after: float = 2 * HEALTHY) -> list[Action]:
        """Tell of an event, at which the hooks start new workers; return the actions."""
        self.new, self.now = list(new), self.now + after
        actions = list(self.decider.handle(event, self.now))
        self.replies |= {action.id: action for action in actions if isinstance(action, Reply)}
        for fact, orders in self.decider.facts:
            self.journal.note(fact, orders, self.now, self.now)
        return actions

    def command(self, command: Command, *new: int) -> Reply | None:
        """Have a client send a command; return its reply, if it has been answered."""
        number = len(self.replies) + 7
        self.tell(CommandReceived(number, command, "uid 5 (pid 6)"), *new)
        return self.replies.get(number)

    def started(self, *pids: int) -> Daemon:
        self.tell(Started(), *pids)
        for pid in pids:
            self.tell(ContextTaken(pid))
        return self

    def exited(self, pid: int, *new: int, status: int = -signal.SIGKILL, after: float = 2 * HEALTHY) -> list[Action]:
        return self.tell(ProcessesExited((ProcessExit(pid, status),)), *new, after=after)

    def slots(self) -> dict[str, dict[str, Any]]:
        return {slot["key"]: slot for slot in self.table.slots(self.table.keys(), self.now)}

    def states(self) -> dict[str, str]:
        return {key: slot["state"] for key, slot in self.slots().items()}

    def events(self) -> list[str]:
        """Return the records as `events` prints them, without those of signals and commands."""
        found = map(self.journal.about, self.table.keys())
        return [record["event"] for records in found for record in records]


def test_slots_are_ready_when_workers_have_their_contexts() -> None:
    daemon = Daemon()
    daemon.tell(Started(), 11, 12)
    assert daemon.states() == {"web/1": "starting", "web/2": "starting"}
    assert daemon.table.overview()["change"]["left"] == 2
    daemon.tell(ContextTaken(12))
    assert daemon.states() == {"web/1": "starting", "web/2": "ready"}
    health = daemon.table.health()
    assert (health.ready, health.wanted, health.stopping) == (1, 2, False)
    daemon.tell(ContextTaken(11))
    assert daemon.table.overview()["change"] is None
    slot = daemon.slots()["web/2"]
    assert (slot["pid"], slot["generation"], slot["since"], slot["kind"]) == (12, 1, 104.0, "web")
    assert daemon.events() == ["spawned", "ready"] * 2


def test_process_that_a_hook_forked_is_a_slot_by_its_pid() -> None:
    daemon = Daemon().started(99)
    assert daemon.states() == {"process/99": "ready"}
    daemon.exited(99)
    assert daemon.states() == {}


def test_worker_that_is_started_again_keeps_its_slot() -> None:
    daemon = Daemon().started(11, 12)
    daemon.exited(11, 21)
    daemon.tell(ContextTaken(21))
    slot = daemon.slots()["web/1"]
    assert (slot["pid"], slot["restarts"], slot["last_exit"], slot["failures"]) == (21, 1, "killed by SIGKILL", 1)
    assert [record["event"] for record in daemon.journal.about("web/1")] == [
        "spawned", "ready", "ended", "spawned", "ready",
    ]  # fmt: skip


def test_worker_that_is_not_started_again_has_a_history_only() -> None:
    daemon = Daemon().started(11, 12)
    daemon.exited(11)
    assert daemon.states() == {"web/2": "ready"}
    assert daemon.journal.about("web/1")[-1]["reason"] == "killed by SIGKILL"


def test_worker_whose_restart_is_delayed_waits() -> None:
    daemon = Daemon().started(11, 12)
    pid, tries = 11, 0
    while daemon.decider.next_deadline() is None:
        tries += 1
        assert tries < 20
        daemon.exited(pid, pid + 10, after=0.1)
        pid += 10
    slot = daemon.slots()["web/1"]
    assert (slot["state"], slot["pid"], slot["serving"]) == ("waiting", None, False)
    assert slot["retry_at"] == daemon.decider.next_deadline()
    assert daemon.table.health().wanted == 2
    daemon.tell(DeadlinePassed(), 1011, after=slot["retry_at"] - daemon.now)
    assert daemon.slots()["web/1"]["state"] == "starting"


@pytest.mark.parametrize("command", [True, False], ids=["command", "HUP"])
def test_reload_is_done_when_each_new_worker_has_its_context(command: bool) -> None:
    daemon = Daemon().started(11, 12)
    event = CommandReceived(7, Reload(), "uid 5 (pid 6)") if command else SignalReceived("HUP")
    actions = daemon.tell(event, 21, 22)
    reports = [action.text for action in actions if isinstance(action, Report)]
    assert reports == ["prefork: reload requested by uid 5 (pid 6)"] * command
    assert {key: (slot["pid"], slot["leaving"][0]["pid"]) for key, slot in daemon.slots().items()} == {
        "web/1": (21, 11), "web/2": (22, 12),
    }  # fmt: skip
    assert daemon.table.overview()["change"]["what"] == "reload"
    assert Announce("reload", "settled", 2, slot="web/1", left=1) in daemon.tell(ContextTaken(21))
    daemon.exited(11, status=-signal.SIGTERM)
    assert 7 not in daemon.replies
    daemon.tell(ContextTaken(22))
    assert daemon.replies == ({7: Reply(7, True, "reload: done (2 workers started, generation 2)")} if command else {})
    assert daemon.table.overview()["generation"] == 2
    assert daemon.slots()["web/1"]["restarts"] == 0


def test_reload_that_starts_nothing_is_done() -> None:
    daemon = Daemon().started(11)
    assert daemon.command(Reload()) == Reply(7, True, "reload: done (the hooks started no worker, generation 1)")


def test_reload_fails_with_its_hooks_and_with_its_workers() -> None:
    def fail(_config: object) -> list[int]:
        if daemon.new == [13]:
            raise ValueError("no such port")
        return daemon.take_new()

    daemon = Daemon(update_server=fail)
    daemon.started(11)
    failed = daemon.command(Reload(), 13)
    assert failed
    assert (failed.ok, failed.text.splitlines()[-1]) == (False, "ValueError: no such port")
    assert failed.text.startswith("reload: failed: hook update_server: raised an exception:")
    assert daemon.command(Reload(), 21) is None
    daemon.exited(21)
    assert daemon.replies[8] == Reply(8, False, "reload: failed: web/1 ended before it decoded its context")
    assert daemon.command(Reload(), 31) is None
    daemon.tell(ContextRefused(31, "`port` is missing"))
    assert daemon.replies[9] == Reply(9, False, "reload: failed: web/1 cannot decode its context: `port` is missing")


def test_reload_during_a_reload_replaces_it() -> None:
    daemon = Daemon().started(11)
    daemon.command(Reload(), 21)
    daemon.tell(CommandReceived(8, Reload(), "uid 5 (pid 6)"), 31)
    assert daemon.replies == {7: Reply(7, False, "reload: failed: replaced by a later reload")}
    daemon.tell(ContextTaken(31))
    assert daemon.replies[8].ok


@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int


class Relaunching(Daemon):
    """A hooks daemon with `relaunch_settings`: web/1 and web/2 are 11 and 12, then 21 and 22, and so on."""

    def __init__(self) -> None:
        self.tens = -10  # A start asks for the configuration twice.
        self.broken: BaseException | None = None
        settings = prefork.relaunch_settings(prefork.PreforkResource[Web](), self.update, self.fork)
        super().__init__(**vars(settings) | {"on_terminate": lambda _config, _pids: None})
        self.started()
        self.tell(ContextTaken(11))
        self.tell(ContextTaken(12))

    def update(self, resource: prefork.PreforkResource[Web]) -> str:
        if self.broken is not None:
            raise self.broken
        self.tens += 10
        prefork.update_worker_set(resource, [Web(1), Web(2)])
        return "config"

    def fork(self, worker: Web) -> int:
        return self.tens + worker.id


def test_reload_is_done_when_former_workers_are_asked_to_end() -> None:
    daemon = Relaunching()
    daemon.command(Reload())
    daemon.tell(ContextTaken(21))
    assert (daemon.replies, daemon.states()) == ({}, {"web/1": "ready", "web/2": "starting"})
    actions = daemon.tell(ContextTaken(22))
    assert SendSignal(11, "TERM") in actions
    assert daemon.replies[7] == Reply(7, True, "reload: done (2 workers started, generation 2)")
    assert [each["state"] for slot in daemon.slots().values() for each in slot["leaving"]] == ["draining"] * 2


def test_reload_that_is_undone_fails_with_the_reason() -> None:
    daemon = Relaunching()
    daemon.command(Reload())
    daemon.tell(ContextTaken(21))
    daemon.exited(22)
    assert not daemon.replies[7].ok
    assert "web/2" in daemon.replies[7].text
    assert daemon.slots()["web/2"]["pid"] == 12


def test_reload_whose_hook_fails_leaves_one_that_is_under_way() -> None:
    daemon = Relaunching()
    daemon.command(Reload())
    daemon.broken = ValueError("no such port")
    daemon.tell(CommandReceived(8, Reload(), "uid 5 (pid 6)"))
    assert daemon.replies.keys() == {8}
    assert "ValueError: no such port" in daemon.replies[8].text
    daemon.tell(ContextTaken(21))
    daemon.tell(ContextTaken(22))
    assert daemon.replies[7].ok


def test_reload_whose_hook_ends_the_daemon_is_answered() -> None:
    daemon = Relaunching()
    daemon.broken = SystemExit(3)
    assert daemon.command(Reload()) == Reply(7, False, "reload: failed: the daemon is stopping")


def test_stop_is_answered_at_the_end() -> None:
    daemon = Daemon().started(11, 12)
    daemon.command(Reload(), 21)
    assert daemon.tell(CommandReceived(8, Stop(), "uid 5 (pid 6)"))[0] == Report(
        "prefork: stop requested by uid 5 (pid 6)"
    )
    assert daemon.replies == {7: Reply(7, False, "reload: failed: the daemon is stopping")}
    assert set(daemon.states().values()) == {"draining"}
    assert daemon.table.overview()["stopping"]
    daemon.tell(CommandReceived(9, Reload(), "uid 5 (pid 6)"))
    assert daemon.replies[9] == Reply(9, False, "reload: failed: the daemon is stopping")
    daemon.exited(11)
    daemon.exited(12)
    assert daemon.exited(21)[-2:] == [Reply(8, True, "stopped"), Exit(0)]


def test_stop_is_told_how_the_daemon_ended() -> None:
    def leave(_config: object) -> list[int]:
        raise SystemExit(5)

    daemon = Daemon(on_child_finished=leave).started(11, 12)
    daemon.exited(11)
    assert daemon.table.overview()["stopping"]
    daemon.command(Stop())
    assert daemon.exited(12)[-2:] == [Reply(7, False, "exit status 5; the log has the reason"), Exit(5)]


def test_commands_that_hooks_decide_are_refused() -> None:
    daemon = Daemon().started(11)
    for command in Scale("web", 3), Replan(), Preview("reload"), Restart("web/1"):
        assert daemon.command(command) == Reply(len(daemon.replies) + 6, False, REFUSED[type(command)])
    assert set(COMMANDS.values()) == {*REFUSED, Reload, Stop}
    assert daemon.states() == {"web/1": "ready"}
    assert all("prefork" in text for text in REFUSED.values())


def test_workers_of_kinds_that_say_so_are_ready_then() -> None:
    table = Table("greeters", {11: "web/1", 12: "web/2", 13: "jobs/1"}.get, NAMES)
    told = [fact for pid in (11, 12, 13) for fact, _ in table.note(Started(), [Watch(pid)], 1.0)]
    assert len(told) == 6

    def tell(event: Event, *actions: Action) -> list[str]:
        return [type(fact).__name__ for fact, _ in table.note(event, actions, 2.0)]

    assert tell(ContextTaken(11)) == ["WorkerReady"], "none of its kind has said it so far"
    assert tell(WorkerReady(11)) == []
    assert tell(ContextTaken(12)) == []
    assert tell(ContextTaken(13)) == ["WorkerReady"]
    assert table.health().ready == 2
    assert tell(WorkerReady(12)) == ["WorkerReady"]
    assert tell(WorkerReady(4711)) == []
    assert table.health().ready == 3


def test_worker_that_is_killed_is_recorded() -> None:
    table, journal = Table("greeters", {11: "web/1"}.get, NAMES), Journal()
    turns: list[list[Action]] = [
        [Watch(11)],
        [SendSignal(11, "TERM"), SendSignal(11, "CONT")],
        [KillWorker(11, "late")],
    ]
    for actions in turns:
        for fact, orders in table.note(DeadlinePassed(), actions, 1.0):
            journal.note(fact, orders, 1.0, 1.0)
    assert [record["event"] for record in journal.about("web/1")] == ["spawned", "draining", "killing"]
    assert table.slots(["web/1"], 1.0)[0]["state"] == "killed"


def test_signal_of_the_decider_drains_and_is_recorded() -> None:
    """The decider signals workers itself where the program's hook has failed."""

    def fail(_config: object, _pids: object) -> None:
        raise ValueError

    daemon = Daemon(on_terminate=fail).started(11)
    assert SendSignal(11, "TERM") in daemon.tell(SignalReceived("TERM"))
    assert daemon.states() == {"web/1": "draining"}
    assert daemon.journal.about("web/1")[-1]["event"] == "draining"


def test_members_of_a_slot_are_those_of_a_daemon() -> None:
    from core.stage import Stage, plan

    stage = Stage(plan()).start()
    seen = stage.supervisor.view(stage.now)
    daemon = Daemon().started(11)
    assert daemon.table.overview().keys() == seen.keys() - {"slots"}
    assert daemon.slots()["web/1"].keys() == seen["slots"][0].keys()
    assert daemon.tell(SignalReceived("QUIT"), 11) == []
    assert Watch(11) not in daemon.tell(SignalReceived("HUP"), 11)


def test_reload_is_done_when_the_former_workers_are_asked_to_end() -> None:
    hooks = Hooks(2).start()
    hooks.ready(*hooks.live)
    daemon = SteeredDecider(hooks.decider, Table("greeters", hooks.births.name, NAMES))
    hooks.wanted = version(1)

    def tell(event: Event) -> list[Reply]:
        hooks.now += 0.1
        actions = daemon.handle(event, hooks.now)
        for action in actions:
            hooks.perform(action)
        return [action for action in actions if isinstance(action, Reply)]

    former = list(hooks.live)
    assert tell(CommandReceived(7, Reload(), "uid 5 (pid 6)")) == []
    new = [pid for pid in hooks.live if pid not in former]
    assert [reply for pid in new for reply in tell(ContextTaken(pid))] == []
    assert tell(WorkerReady(new[0])) == []
    (reply,) = tell(WorkerReady(new[1]))
    assert reply.ok
    assert hooks.asked == set(former)
    hooks.wanted = version(2)
    assert tell(CommandReceived(8, Reload(), "uid 5 (pid 6)")) == []
    failed = hooks.live[-1]
    hooks.live.remove(failed)
    (reply,) = tell(ProcessesExited((ProcessExit(failed, 1),)))
    assert (reply.ok, "exited 1 before it decoded its context" in reply.text) == (False, True)
