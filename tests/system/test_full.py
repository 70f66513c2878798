"""A daemon whose runtime directory is on a full file system: it says so."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import Start
from system.daemons import Served

PAGE = b"x" * 4096


@pytest.fixture
def small(start: Start) -> Iterator[Path]:
    """Mount a file system of a few pages as the runtime directory."""
    runtime = start.directory / "runtime"
    runtime.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", str(runtime)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield runtime
    subprocess.run(["umount", "-l", runtime], check=True)


def fill(directory: Path, room: int = 0) -> None:
    """Fill the file system; leave `room` pages."""
    with (directory / "filling").open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(PAGE):
                pass
        file.truncate(file.tell() - room * len(PAGE))


def test_a_master_that_can_note_nothing_says_so_and_serves(start: Start, small: Path) -> None:
    fill(small, room=1)  # For the lock, with the master's pid.
    served = Served(start, "full").launch()
    served.running.expect("cannot record new processes: No space left on device", "err")
    pids = served.ready("web/0", "web/1")
    assert served.ask()[2] in pids.values()
    assert served.stop() == 0


def test_a_full_file_system_is_a_reason_in_words_not_to_start(start: Start, small: Path) -> None:
    fill(small)
    served = Served(start, "full").launch()
    assert served.running.wait() == 1
    text = f"prefork: cannot write to the runtime directory {small}: No space left on device"
    assert [line for line in served.running.err if line] == [text]
