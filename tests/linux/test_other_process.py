"""Processes that are no children of this one: how each has ended, and its group."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
from collections.abc import Iterator

import pytest

from prefork._linux.others import process
from prefork._linux.proc_stat import started_at
from prefork._linux.signals import SignalInbox
from prefork._linux.subreaper import become_subreaper
from prefork._master.children import ExitWatch
from support import PATIENCE, gone, until

pytestmark = pytest.mark.processes


class Grandchild:
    """A process whose parent reaps it when it is told to, and a child of its in its group."""

    def __init__(self, end: str) -> None:
        self._begin, begin = os.pipe()[::-1]
        reader, writer = os.pipe()
        self._reap, reap = os.pipe()[::-1]
        self._parent = os.fork()
        if self._parent == 0:
            pid = os.fork()
            if pid == 0:
                os.setsid()
                child = os.fork()
                if child == 0:
                    while True:
                        signal.pause()
                os.write(writer, f"{os.getpid()} {child}\n".encode())
                os.read(begin, 1)
                os.kill(os.getpid(), signal.SIGKILL) if end == "killed" else os._exit(7)
            os.read(reap, 1)
            os.waitpid(pid, 0)
            os.write(writer, b"reaped\n")
            while True:
                signal.pause()
        for descriptor in begin, writer, reap:
            os.close(descriptor)
        self._answers = os.fdopen(reader)
        self.pid, self.child = map(int, self._answers.readline().split())
        self.pidfd = os.pidfd_open(self.pid)

    def end(self, reaped: bool) -> None:
        os.write(self._begin, b".")
        assert select.select([self.pidfd], [], [], PATIENCE)[0]
        if reaped:
            os.write(self._reap, b".")
            assert self._answers.readline() == "reaped\n"

    def close(self) -> None:
        os.kill(self._parent, signal.SIGKILL)
        os.waitpid(self._parent, 0)
        until(lambda: gone(self.child, 0), "the end of its child")
        self._answers.close()
        for descriptor in self.pidfd, self._begin, self._reap:
            os.close(descriptor)


@pytest.fixture
def end(request: pytest.FixtureRequest) -> Iterator[Grandchild]:
    become_subreaper()
    made = Grandchild(request.param)
    yield made
    process.kill_group(made.pid, made.pidfd)
    made.close()


@pytest.mark.parametrize("reaped", [False, True], ids=["zombie", "reaped"])
@pytest.mark.parametrize(("end", "status"), [("killed", -9), ("exits", 7)], indirect=["end"])
def test_status_of_a_process_that_is_no_child(end: Grandchild, status: int, reaped: bool) -> None:
    assert process.status(end.pid, end.pidfd) is None
    end.end(reaped)
    assert process.status(end.pid, end.pidfd) == status


@pytest.mark.parametrize("end", ["exits"], indirect=True)
def test_group_is_killed_when_its_leader_has_been_reaped(end: Grandchild) -> None:
    end.end(True)
    process.kill_group(end.pid, end.pidfd)
    until(lambda: gone(end.child, 0), "the end of the group")
    process.kill_group(end.pid, end.pidfd)


def test_process_that_has_the_number_of_another_is_not_watched() -> None:
    """Nor killed: what is watched is, with its group, when it is reaped."""
    with selectors.DefaultSelector() as selector, subprocess.Popen(["sleep", "1000"], start_new_session=True) as sleeps:
        exits = ExitWatch(selector, SignalInbox())
        started = started_at(sleeps.pid)
        assert started is not None
        before = len(os.listdir("/proc/self/fd"))
        assert not exits.watch_other(sleeps.pid, started - 1)
        assert (exits.watches(sleeps.pid), len(os.listdir("/proc/self/fd"))) == (False, before)
        assert exits.watch_other(sleeps.pid, started)
        sleeps.kill()
        assert selector.select(PATIENCE)[0][0].data() is None
        assert [end.pid for end in exits.reap()] == [sleeps.pid]
        exits.close()
