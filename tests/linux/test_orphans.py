"""Orphans as the next master ends them: processes that are not its children."""

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
    previous = Roster(path)
    previous.add(process.pid)
    previous.close()
    found = Orphans(Roster(path), 1.0)
    assert list(found.pids) == [process.pid]
    return found


class EndedSince(int):
    """The start time of a process, which ends as soon as it has been compared."""

    process: subprocess.Popen[bytes]

    def __eq__(self, other: object) -> bool:
        self.process.kill()
        self.process.wait()
        return int(self) == other

    __hash__ = int.__hash__


def test_exit_between_check_and_signal_is_ignored(orphans: Orphans, process: subprocess.Popen[bytes]) -> None:
    started = EndedSince(orphans.pids[process.pid])
    started.process = process
    orphans.pids[process.pid] = started
    orphans.drain()
    assert process.returncode is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_process_of_another_user_is_left_alone(orphans: Orphans, process: subprocess.Popen[bytes]) -> None:
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
