"""The lifeline: a worker learns that its master is dead, however either of them is occupied."""

from __future__ import annotations

import os
import signal

import pytest

from support import Start, gone

HANGING = """
import ctypes, os, signal, sys
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Hanging(prefork.WorkerContext):
    id: int

def work(worker):
    if sys.argv[1] == "python":
        signal.signal(signal.SIGTERM, lambda *_: (print("told", flush=True), sys.exit(0)))
    print("ready", os.getpid())
    if sys.argv[1] == "python":
        signal.pause()
    ctypes.PyDLL(None).pause()  # PyDLL keeps the interpreter lock: no Python code runs here again.

def start(_config):
    return [prefork.fork_worker_process(Hanging(i), sys.argv[1:]) for i in range(3)]

prefork.default_main(prefork.PreforkSettings(update_config=lambda: 1, update_server=start), work)
"""


@pytest.mark.parametrize("where", ["c", "python"])
def test_workers_are_told_when_the_master_is_killed(start: Start, where: str) -> None:
    program = start.program(HANGING, where)
    workers = [int(program.expect(r"^ready (\d+)$")[1]) for _ in range(3)]
    assert sorted(workers) == sorted(program.children())
    program.send(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL
    assert all(gone(pid) for pid in workers)


def test_the_end_of_one_worker_is_not_told_to_the_others(start: Start) -> None:
    program = start.program(HANGING, "c")
    first, *others = (int(program.expect(r"^ready (\d+)$")[1]) for _ in range(3))
    os.kill(first, signal.SIGKILL)
    program.expect(rf"killed by SIGKILL \(pid {first}\)", "err")
    assert not any(gone(pid, 0) for pid in others)
    assert program.stop() == 0
