"""The roster: a daemon's processes, recorded for its next master."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork._linux.proc_stat import started_at
from prefork._master.runtime.roster import Roster, _realm
from support import until

IMPORT = "from prefork._master.runtime.roster import _realm"


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """Return the pids of two processes that run until the test ends."""
    with subprocess.Popen(["sleep", "100"]) as one, subprocess.Popen(["sleep", "100"]) as other:
        yield [one.pid, other.pid]
        one.kill()
        other.kill()


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "roster")


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """Keep this process from enlarging files."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_full_file_system_is_logged_once_and_recording_resumes(file: str, pids: list[int]) -> None:
    logged: list[str] = []
    roster = Roster(file, logged.append)
    with no_room():
        for pid in pids:
            roster.add(pid)
    assert logged == ["roster: cannot record new processes: File too large; the next master would not find them"]
    roster.remove(pids[0])
    roster.add(pids[1])
    roster.close()
    assert list(Roster(file).survivors()) == pids[1:]


@pytest.mark.processes
def test_another_pid_namespace_has_another_number() -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", f"{IMPORT}; print(_realm())"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare failed" in found.stderr:
        pytest.skip("no pid namespace can be had here")
    assert int(found.stdout) not in (0, _realm()), found.stderr


@pytest.mark.processes
@pytest.mark.parametrize("place", range(32, 40))
def test_record_of_another_boot_is_void(file: str, pids: list[int], place: int) -> None:
    """The number of the boot and namespace is the last field; each of its bytes counts."""
    roster = Roster(file)
    roster.add(pids[0])
    roster.close()
    data = bytearray(Path(file).read_bytes())
    record = next(start for start in range(0, len(data), 40) if any(data[start : start + 40]))
    data[record + place] ^= 1
    Path(file).write_bytes(data)
    again = Roster(file)
    assert again.survivors() == {}
    again.add(pids[1])  # In the place of a void one, or another.
    again.close()
    assert list(Roster(file).survivors()) == pids[1:]


@pytest.mark.processes
def test_survivors_stay_recorded_until_they_end(file: str, pids: list[int]) -> None:
    first = Roster(file)
    first.add(pids[0])
    first.close()
    second = Roster(file)
    assert list(second.survivors()) == pids[:1]
    second.add(pids[1])
    second.remove(pids[0])  # Only the record of the second roster goes; the survivor of the same number is unaffected.
    second.close()
    third = Roster(file)
    assert list(third.survivors()) == pids
    third.close()
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: started_at(pids[0]) is None, "its end")
    assert list(Roster(file).survivors()) == pids[1:]
