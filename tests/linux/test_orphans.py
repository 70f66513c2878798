"""What a dead master has left, as its successor ends it: processes that are nobody's children here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._master.runtime.orphans import Orphans
from prefork._master.runtime.roster import Roster


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process
        process.kill()


@pytest.fixture
def orphans(tmp_path: Path, process: subprocess.Popen[bytes]) -> Orphans:
    path = str(tmp_path / "roster")
    former = Roster(path)
    former.add(process.pid)
    former.close()
    found = Orphans(Roster(path), 1.0)
    assert list(found.pids) == [process.pid]
    return found


class EndedSince(int):
    """When a process started; it ends as soon as somebody has found that it still is the one that started then."""

    process: subprocess.Popen[bytes]

    def __eq__(self, other: object) -> bool:
        self.process.kill()
        self.process.wait()
        return int(self) == other

    __hash__ = int.__hash__


def test_an_end_between_look_and_signal_is_no_matter(orphans: Orphans, process: subprocess.Popen[bytes]) -> None:
    started = EndedSince(orphans.pids[process.pid])
    started.process = process
    orphans.pids[process.pid] = started
    orphans.drain()
    assert process.returncode is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_one_that_may_not_be_signalled_is_left_alone(orphans: Orphans, process: subprocess.Popen[bytes]) -> None:
    if (pid := os.fork()) == 0:
        status = 1
        try:
            os.setuid(65534)
            orphans.drain()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert process.poll() is None
