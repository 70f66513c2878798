"""A mold in miniature, for what is asked of sharing alone: real forks and real exits, without a master.

Programs that use it run in an interpreter of their own (`run`), since a heap is not made mortal again.
"""

from __future__ import annotations

import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefork._mold.leave import leave
from prefork._worker import sharing

PREAMBLE = """\
import gc, os, sys
import small_mold
from small_mold import worker
from prefork._worker import sharing
"""
PATHS = [str(Path(sharing.__file__).parents[2]), str(Path(__file__).parent)]


def run(program: str, *args: str) -> list[str]:
    """Run a program text, with `PREAMBLE` before it, on this Python; the lines that it printed.

    It must exit 0 and print nothing to its error output.
    """
    # Not above: the program under test must be able to have no `threading`, which this imports.
    import subprocess

    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*PATHS, *sys.path])}
    # Whether buffers are flushed is a question here.
    environment.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(program), *args],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout.splitlines()


def worker(work: Callable[[], object]) -> int:
    """Fork a worker that does `work` and ends as workers end; the exit code."""
    return _code(_fork(work))


@dataclass(frozen=True)
class Memory:
    """Of one process, in MB: what only it has, its share of everything, and everything."""

    private: float
    proportional: float
    resident: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        of = {name.rstrip(":"): int(size) / 1024 for name, size, *_ in map(str.split, rows)}
        return cls(of["Private_Clean"] + of["Private_Dirty"], of["Pss"], of["Rss"])


@contextmanager
def resting(count: int, work: Callable[[], object]) -> Iterator[list[int]]:
    """The pids of workers that have done `work` and wait; they end, checked, when the block does."""
    done_r, done_w = os.pipe()
    go_r, go_w = os.pipe()

    def work_and_rest() -> None:
        os.close(go_w)
        work()
        os.write(done_w, b".")
        os.read(go_r, 1)

    pids = [_fork(work_and_rest) for _ in range(count)]
    # Only workers hold the other end from here on: one that fails is an end of file and not a wait for ever.
    os.close(done_w)
    for _ in pids:
        assert os.read(done_r, 1), "a worker has ended before its time"
    yield pids
    os.close(go_w)
    assert [_code(pid) for pid in pids] == [0] * count


def _fork(work: Callable[[], object]) -> int:
    # Else a word of the mold's that is not out yet would come from each worker as well.
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    sharing.newborn()
    code = 0
    try:
        work()
    except Exception:
        traceback.print_exc()
        code = 1
    sharing.before_exit()
    return leave(code)


def _code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
