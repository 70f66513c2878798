"""Orphans as the next master finds, asks and ends them: processes that are not its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._core.events import Event, OrphanEnded, OrphansFound
from prefork._linux.proc_stat import started_at
from prefork._master.loop import Master
from prefork._master.runtime.orphans import Orphans
from prefork._master.runtime.roster import Roster
from support import gone, kill, until

pytestmark = pytest.mark.processes

PARENT = """
import subprocess, sys
child = subprocess.Popen(["sh", "-c", "trap 'exit 3' TERM; sleep 100 & wait"], start_new_session=True)
print(child.pid, flush=True)
sys.stdin.read()
"""


class SmallLoop(Master):
    """The loop with events that nothing decides: `events` are those that came."""

    @property
    def events(self) -> list[Event]:
        return list(self._events)

    def has_ended(self) -> bool:
        """Take a turn; return whether more than `OrphansFound` has come."""
        for key, _ in self.selector.select(0.05):
            key.data()
        self._run_timers()
        return len(self._events) > 1


@pytest.fixture
def loop() -> Iterator[SmallLoop]:
    made = SmallLoop()
    with made:
        yield made


@pytest.fixture
def grandchild() -> Iterator[int]:
    """A process that leads a session and that this one is not the parent of."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        yield pid
        kill([pid])
        parent.kill()


@pytest.fixture
def roster(tmp_path: Path, grandchild: int) -> Roster:
    previous = Roster(str(tmp_path / "roster"))
    previous.add(grandchild)
    previous.ordered(grandchild, 7.5)
    previous.close()
    return Roster(str(tmp_path / "roster"))


def found(loop: SmallLoop, roster: Roster, ends: list[int] | None = None) -> Orphans:
    return Orphans(roster, loop, lambda: ends.append(1) if ends is not None else None)


def test_orphan_is_reported_and_then_its_end(loop: SmallLoop, roster: Roster, grandchild: int) -> None:
    ends: list[int] = []
    orphans = found(loop, roster, ends)
    assert loop.events == [OrphansFound({grandchild: 7.5})]
    orphans.drain(grandchild)
    until(loop.has_ended, "its end")
    assert loop.events[1:] == [OrphanEnded(grandchild)]
    assert (len(orphans), ends) == (0, [1])
    roster.close()


def test_record_is_cleared_when_the_orphan_has_ended(
    loop: SmallLoop, roster: Roster, grandchild: int, tmp_path: Path
) -> None:
    orphans = found(loop, roster)
    orphans.kill(grandchild)
    until(loop.has_ended, "its end")
    roster.close()
    assert not (tmp_path / "roster").read_bytes().strip(b"\0")


def test_stopped_orphan_is_continued_to_drain(loop: SmallLoop, roster: Roster, grandchild: int) -> None:
    os.kill(grandchild, signal.SIGSTOP)
    found(loop, roster).drain(grandchild)
    assert gone(grandchild)


def test_kill_ends_the_whole_session(loop: SmallLoop, roster: Roster, grandchild: int) -> None:
    children = Path(f"/proc/{grandchild}/task/{grandchild}/children")
    until(lambda: children.read_text(), "its child")
    child = int(children.read_text())
    found(loop, roster).kill(grandchild)
    assert gone(child)


def test_without_pidfds_the_end_is_found_by_looking(
    loop: SmallLoop, roster: Roster, grandchild: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    found(loop, roster)
    kill([grandchild])
    until(loop.has_ended, "its end")
    assert loop.events[1:] == [OrphanEnded(grandchild)]


def test_record_of_a_reused_pid_is_left_alone(loop: SmallLoop, tmp_path: Path, grandchild: int) -> None:
    path = tmp_path / "roster"
    previous = Roster(str(path))
    previous.add(grandchild)
    previous.close()
    started = started_at(grandchild)
    assert started is not None
    data = bytearray(path.read_bytes())
    place = data.index(started.to_bytes(8, sys.byteorder))
    data[place : place + 8] = (started - 1).to_bytes(8, sys.byteorder)
    path.write_bytes(data)
    orphans = found(loop, Roster(str(path)))
    assert (len(orphans), loop.events) == (0, [])
    orphans.kill(grandchild)
    assert not gone(grandchild, 0.05)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_process_of_another_user_is_not_waited_for(loop: SmallLoop, roster: Roster, grandchild: int) -> None:
    orphans = found(loop, roster)
    if (pid := os.fork()) == 0:
        status = 1
        try:
            os.setuid(65534)
            orphans.drain(grandchild)
            status = 0 if loop.events[1:] == [OrphanEnded(grandchild)] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not gone(grandchild, 0.05)
