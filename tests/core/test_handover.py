"""Another program goes on: what an upgrade waits for, withdraws and refuses, and whom a new master adopts."""

from __future__ import annotations

import json

import pytest

from core.stage import SPEC, Stage, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev
from prefork._core.handover.facts import Survived, Survivor, Upgraded, UpgradeFailed
from prefork._core.handover.orders import AdoptWorker, CancelUpgrade, ReplaceProgram
from prefork._core.kept.snapshot import MalformedSnapshot
from prefork._core.supervisor import Supervisor


def up(*more: str) -> Stage:
    return Stage(plan("a"), *(plan(digest) for digest in (more or ("b", "c", "d")))).start()


def importing(event: ev.Event) -> bool:
    return isinstance(event, ev.MoldPlanned)


def replaced(stage: Stage, **how: bool) -> None:
    """The program is replaced: another supervisor goes on from the snapshot."""
    data = json.loads(json.dumps(stage.supervisor.snapshot()))
    stage.supervisor = Supervisor.restore(data)
    stage.feed(Upgraded(stage.world.upgrader, 0.05, "prefork 2 on Python 3.13", **how))


def test_upgrade_is_answered_by_the_new_program() -> None:
    stage = up()
    pids = stage.world.processes.keys()
    assert ReplaceProgram(1) in stage.command(cmd.Upgrade())
    replaced(stage)
    text = "upgrade: done (prefork 2 on Python 3.13; the master was away for 0.05 s)"
    assert stage.reply() == act.Reply(1, True, text)
    stage.rest()
    assert stage.world.processes.keys() == pids


def test_upgrade_by_a_signal_has_no_reply() -> None:
    stage = up()
    assert ReplaceProgram(0) in stage.feed(ev.SignalReceived("USR2"))
    stage.feed(ev.SignalReceived("USR2"))
    stage.feed(UpgradeFailed(0, "the rehearsal failed: no module named x"))
    failed = "upgrade: failed: the rehearsal failed: no module named x; the former program goes on"
    assert stage.world.reports[-1] == failed
    assert stage.all(ReplaceProgram) == [ReplaceProgram(0)]
    assert ReplaceProgram(0) in stage.feed(ev.SignalReceived("USR2"))


def test_upgrade_waits_for_slots_that_move() -> None:
    stage = up()
    stage.command(cmd.Reload())
    stage.rest(but=lambda event: isinstance(event, ev.WorkerReady))
    stage.command(cmd.Upgrade())
    assert not stage.all(ReplaceProgram)
    stage.rest(but=lambda event: isinstance(event, Upgraded))
    assert stage.reply(1).ok
    assert stage.all(ReplaceProgram) == [ReplaceProgram(2)]


def test_upgrade_waits_for_a_scaling_that_a_client_waits_for() -> None:
    stage = up()
    stage.command(cmd.Scale("web", 3))
    stage.command(cmd.Upgrade())
    assert not stage.all(ReplaceProgram)
    stage.rest(but=lambda event: isinstance(event, Upgraded))
    assert stage.reply(1).ok
    assert stage.all(ReplaceProgram)


@pytest.mark.parametrize("command", [cmd.Reload(), cmd.Replan(), cmd.Preview("reload")])
def test_upgrade_withdraws_what_has_moved_no_slot(command: cmd.Command) -> None:
    stage = up()
    stage.command(command)
    actions = stage.command(cmd.Upgrade())
    assert ReplaceProgram(2) in actions
    assert not stage.reply(1).ok
    assert "withdrawn: the master is being upgraded; request it again when that is done" in stage.reply(1).text
    replaced(stage)
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1"]


def test_upgrade_withdraws_what_waits() -> None:
    stage = up()
    stage.command(cmd.Restart("web/0"))
    stage.command(cmd.Restart("web/1"))
    stage.command(cmd.Upgrade())
    assert stage.reply(2).text.startswith("restart: withdrawn: the master is being upgraded")
    stage.rest()
    assert stage.reply(1).ok
    assert stage.reply(3).ok


def test_reload_by_a_signal_is_begun_again_after_an_upgrade() -> None:
    for during in False, True:
        stage = up()
        if not during:
            stage.feed(ev.SignalReceived("HUP"))
        stage.command(cmd.Upgrade())
        if during:
            stage.feed(ev.SignalReceived("HUP"))
        assert stage.all(ReplaceProgram)
        assert stage.supervisor.overview()["change"] is None
        replaced(stage)
        stage.rest()
        assert stage.supervisor.generation > 1


def test_commands_are_refused_while_the_program_is_replaced() -> None:
    stage = up()
    stage.command(cmd.Upgrade())
    for command in cmd.Reload(), cmd.Scale("web", 3), cmd.Restart("solo"), cmd.Preview("replan"), cmd.Upgrade():
        stage.command(command)
        assert not stage.reply().ok
        assert "being upgraded" in stage.reply().text
    stage.crash("web/0")
    stage.rest(but=lambda event: isinstance(event, Upgraded))
    assert stage.serving() == ["solo", "web/0", "web/1"]


def test_upgrade_is_refused_while_the_daemon_stops() -> None:
    stage = up()
    stage.feed(ev.SignalReceived("TERM"))
    stage.command(cmd.Upgrade())
    assert stage.reply() == act.Reply(1, False, "the daemon is stopping")
    assert not stage.feed(ev.SignalReceived("USR2"))


def test_stop_cancels_an_upgrade() -> None:
    stage = up()
    stage.command(cmd.Upgrade())
    actions = stage.command(cmd.Stop())
    assert CancelUpgrade() in actions
    assert stage.reply(1) == act.Reply(1, False, "upgrade: cancelled: the daemon is stopping")
    assert not stage.supervisor.handle(Upgraded(1, 0.1, "late"), stage.now)
    stage.rest()
    assert stage.world.exited == 0
    waiting = up()
    waiting.command(cmd.Scale("web", 3))
    waiting.command(cmd.Upgrade())
    assert CancelUpgrade() not in waiting.command(cmd.Stop())
    assert not waiting.reply(2).ok


def test_time_away_makes_no_worker_late() -> None:
    stage = up()
    stage.crash("web/0")
    stage.command(cmd.Upgrade())
    first = stage.supervisor.next_deadline()
    assert first is not None
    data = stage.supervisor.snapshot()
    stage.supervisor = Supervisor.restore(data)
    stage.now = first + 1.0
    stage.feed(Upgraded(1, 30.0, "prefork 2"))
    assert not [one for one in stage.feed(ev.DeadlinePassed()) if isinstance(one, act.KillWorker)]


def test_processes_of_another_python_are_replaced() -> None:
    stage = up()
    spare = next(pid for pid, process in stage.world.processes.items() if not process.key)
    stage.command(cmd.Upgrade())
    begun = len(stage.said)
    replaced(stage, other_python=True)
    assert act.DismissSpare(spare) in stage.said[begun:]
    assert act.EndMold(1) in stage.said[begun:]
    assert act.StartMold(2) in stage.said[begun:]
    stage.crash("web/0")
    stage.rest()
    assert stage.serving(2) == ["solo", "web/0", "web/1"]
    assert not any(process.foreign for process in stage.world.processes.values())


def test_failed_rollout_after_upgrade_has_molds_of_new_python() -> None:
    stage = up()
    stage.command(cmd.Upgrade())
    replaced(stage, other_python=True)
    stage.feed(ev.MoldFailed(2, "SyntaxError"))
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1"]
    stage.crash("web/1")
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1"]
    assert list(stage.world.molds) == [1]


# Adoption.


def adopted(stage: Stage, *survivors: Survivor) -> Stage:
    """A new master on the same stage, where these workers have survived, and nothing else."""
    data = json.loads(json.dumps(stage.supervisor.snapshot()))
    stage.supervisor = Supervisor.adopting(data, SPEC)
    world, pids = stage.world, {one.pid for one in survivors}
    world.molds, world.spawns, world.waiting, world.forgotten = {}, (), frozenset(), frozenset()
    world.processes = {pid: process for pid, process in world.processes.items() if pid in pids}
    for pid, process in world.processes.items():
        process.adopted = False
        worker = stage.supervisor._state.workers.get(pid)
        process.ready &= worker is not None and worker.ready_at is not None  # Else it tells so again.
    assert not stage.supervisor.handle(ev.Started(), stage.now)
    stage.feed(Survived(survivors))
    world.leave_orphans()
    return stage


def survivor(stage: Stage, key: str, digest: str = "a") -> Survivor:
    pid = stage.pid(key)
    return Survivor(pid, stage.world.processes[pid].generation, key, digest, 30.0)


def test_adoption_restarts_no_worker_that_lives() -> None:
    stage = up()
    before = {key: stage.pid(key) for key in ("web/0", "web/1")}
    adopted(stage, survivor(stage, "web/0"), survivor(stage, "web/1"))
    assert stage.all(AdoptWorker) == [AdoptWorker(pid, 1, key) for key, pid in before.items()]
    assert "adopted 2 workers of a killed master (generation 1)" in stage.world.reports
    stage.rest()
    assert {key: stage.pid(key) for key in before} == before
    assert stage.serving(1) == ["solo", "web/0", "web/1"]
    assert stage.spares() == 1
    assert not stage.supervisor.overview()["change"]


def test_adoption_starts_what_has_ended() -> None:
    stage = up()
    adopted(stage, survivor(stage, "web/1"))
    assert "web/0: ended while it had no master after 0 s (pid 100, generation 1); restarting" in stage.world.reports
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1"]


def test_adoption_takes_workers_younger_than_the_snapshot() -> None:
    stage = up()
    data = stage.supervisor.snapshot()
    stage.crash("web/0")
    stage.rest()
    young, known, stray = survivor(stage, "web/0"), survivor(stage, "web/1"), Survivor(999, 2, "web/1", "a", 9.0)
    stage.supervisor = Supervisor.restore(data)
    adopted(stage, young, known, stray)
    assert [action.pid for action in stage.all(AdoptWorker)] == [known.pid, young.pid]
    assert list(stage.supervisor._state.orphans) == [999]
    assert not stage.all(act.DrainOrphan)
    stage.rest()
    assert (stage.pid("web/0"), stage.pid("web/1")) == (young.pid, known.pid)
    assert stage.all(act.DrainOrphan) == [act.DrainOrphan(999)]
    stage.command(cmd.Reload())
    assert stage.all(act.StartMold)[-1].generation == 3, "generation 2 has been"


def test_adoption_knows_a_worker_by_more_than_its_pid() -> None:
    stage = up()
    one, other = survivor(stage, "web/0"), survivor(stage, "web/1")
    swapped = Survivor(other.pid, 1, "web/0", "a", 30.0)
    stage.world.processes[other.pid].key = "web/0"
    adopted(stage, swapped)
    stage.rest()
    assert stage.pid("web/0") == swapped.pid
    assert stage.serving(1) == ["solo", "web/0", "web/1"]
    assert one.pid not in stage.world.processes


def test_singleton_that_lives_is_ended_before_the_next_starts() -> None:
    stage = up()
    data = stage.supervisor.snapshot()
    stage.command(cmd.Restart("solo"))
    stage.rest()
    stray = survivor(stage, "solo", digest="another")
    stage.supervisor = Supervisor.restore(data)
    adopted(stage, stray)
    assert act.KillWorker(stray.pid, "a worker of a killed master that must not run twice") in stage.said
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1"]
    assert stage.pid("solo") != stray.pid


def test_adoption_rolls_back_a_change() -> None:
    stage = up()
    stage.command(cmd.Reload())
    stage.rest(but=lambda event: isinstance(event, ev.WorkerReady) and len(stage.serving(2)) == 1)
    assert stage.serving(2)
    survivors = [
        Survivor(pid, process.generation, process.key, "ab"[process.generation - 1], 30.0, process.asked)
        for pid, process in stage.world.processes.items()
        if process.key and process.key != "solo"
    ]
    adopted(stage, *survivors)
    assert "reload: withdrawn: the master was killed; rolled back to generation 1" in stage.world.reports
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1"]
    assert not stage.serving(2)


def test_adoption_applies_the_plan_of_the_code_that_is_there() -> None:
    stage = up()
    stage.world.plans[1] = plan("a", web=3)
    adopted(stage, survivor(stage, "web/0"), survivor(stage, "web/1"))
    pids = stage.world.processes.keys()
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1", "web/2"]
    assert pids <= stage.world.processes.keys()


def test_adopted_workers_serve_on_while_the_import_fails() -> None:
    stage = up()
    adopted(stage, survivor(stage, "web/0"), survivor(stage, "web/1"))
    stage.feed(ev.MoldFailed(1, "SyntaxError: in shop.py"))
    assert stage.serving() == ["web/0", "web/1"]
    failed = "replan: failed: SyntaxError: in shop.py; the former plan stays in force (generation 1)"
    assert failed in stage.world.reports
    stage.rest()
    assert stage.serving(1) == ["solo", "web/0", "web/1"]


def test_daemon_that_was_stopping_or_starting_is_not_adopted() -> None:
    stage = Stage(plan())
    with pytest.raises(MalformedSnapshot, match="had not started"):
        Supervisor.adopting(stage.supervisor.snapshot(), SPEC)
    stage.start()
    stage.feed(ev.SignalReceived("TERM"))
    with pytest.raises(MalformedSnapshot, match="was stopping"):
        Supervisor.adopting(stage.supervisor.snapshot(), SPEC)
