"""When workers of a dead master are asked to drain and killed, and what waits for their end."""

from __future__ import annotations

from core.stage import Stage, plan
from prefork._core import actions as act
from prefork._core import commands as cmd
from prefork._core import events as ev

OLD = {71: 5.0, 72: 30.0}
"""Pids far from those of the world, and how long each may drain."""


def beside_orphans() -> Stage:
    stage = Stage(plan())
    stage.feed(ev.OrphansFound(OLD))
    return stage


def asked(stage: Stage) -> list[int]:
    return [action.pid for action in stage.all(act.DrainOrphan)]


def killed(stage: Stage) -> list[int]:
    return [action.pid for action in stage.all(act.KillOrphan)]


def readiness(event: ev.Event) -> bool:
    return isinstance(event, ev.WorkerReady)


def test_orphans_serve_while_the_successor_is_not_ready() -> None:
    stage = beside_orphans()
    stage.feed(ev.Started())
    stage.rest(but=readiness)
    assert asked(stage) == []
    first, *others = [pid for pid, process in stage.world.processes.items() if process.key]
    stage.feed(ev.WorkerReady(first))
    assert asked(stage) == []
    for pid in others:
        stage.feed(ev.WorkerReady(pid))
    assert asked(stage) == [71, 72]


def test_each_orphan_is_asked_once_and_killed_at_its_own_time() -> None:
    stage = beside_orphans().start()
    begun = stage.now
    stage.late()
    assert (stage.now - begun, killed(stage)) == (5.0, [71])
    stage.late()  # It is killed again until it has gone.
    assert killed(stage) == [71, 71]
    stage.feed(ev.OrphanEnded(71))
    while killed(stage)[-1] == 71:
        stage.late()
    assert (stage.now - begun, asked(stage)) == (30.0, [71, 72])


def test_orphan_that_drains_in_time_is_not_killed() -> None:
    stage = beside_orphans().start()
    stage.feed(ev.OrphanEnded(71))
    stage.feed(ev.OrphanEnded(72))
    assert killed(stage) == []
    assert stage.supervisor.next_deadline() is None


def stop_at_every_step(steps: int) -> Stage | None:
    """Feed `steps` events of a start, then a stop, and let all come to rest but the orphans; None after the last."""
    stage = beside_orphans()
    stage.feed(ev.Started())
    for _ in range(steps):
        event = next(iter(stage.world.kind_answers()), None)
        if event is None:
            return None
        stage.feed(event)
    stage.command(cmd.Stop())
    stage.rest()
    return stage


def test_stop_at_any_moment_of_a_start_waits_for_the_orphans() -> None:
    steps = 0
    while stage := stop_at_every_step(steps):
        assert asked(stage) == [71, 72], steps
        assert stage.world.exited is None, steps
        stage.feed(ev.OrphanEnded(71))
        assert stage.world.exited is None, steps
        stage.feed(ev.OrphanEnded(72))
        assert stage.world.exited == 0, steps
        assert stage.reply().ok
        steps += 1
    assert steps > 8


def test_stop_kills_orphans_that_do_not_end() -> None:
    stage = beside_orphans().start()
    stage.feed(ev.SignalReceived("TERM"))
    stage.rest()
    for pid in OLD:
        while pid not in killed(stage):
            stage.late()
        stage.feed(ev.OrphanEnded(pid))
    assert stage.world.exited == 4


def test_second_interrupt_kills_orphans() -> None:
    stage = beside_orphans()
    stage.feed(ev.Started())
    stage.feed(ev.SignalReceived("INT"))
    assert killed(stage) == []
    stage.feed(ev.SignalReceived("INT"))
    assert killed(stage) == [71, 72]


def test_failed_import_leaves_orphans_to_the_next_master() -> None:
    stage = beside_orphans()
    stage.feed(ev.Started())
    stage.feed(ev.MoldFailed(1, "SyntaxError"))
    stage.rest()
    assert asked(stage) == []
    assert stage.world.exited == 1


def test_failed_workers_leave_orphans_to_the_next_master() -> None:
    stage = beside_orphans()
    stage.feed(ev.Started())
    stage.rest(but=readiness)
    for key in "web/0", "web/1", "solo":
        stage.crash(key, "no such table")
    stage.rest()
    assert asked(stage) == []
    assert stage.world.exited == 1


def test_stop_of_a_failing_start_ends_orphans_too() -> None:
    stage = beside_orphans()
    stage.feed(ev.Started())
    stage.feed(ev.MoldFailed(1, "SyntaxError"))
    stage.feed(ev.SignalReceived("TERM"))
    stage.rest()
    assert asked(stage) == [71, 72]
    assert stage.world.exited is None


def test_snapshot_keeps_orphans() -> None:
    stage = beside_orphans().start()
    restored = type(stage.supervisor).restore(stage.supervisor.snapshot())
    assert restored.next_deadline() == stage.now + 5.0
