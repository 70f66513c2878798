"""What is read of other processes: processor time, the wait for it, memory."""

from __future__ import annotations

import os
import sys

from prefork._linux.figures import process
from support import Start, kill, until

BUSY = "import os; os.sched_setaffinity(0, {CPU})\nwhile True: pass"


def test_a_process_that_shares_a_processor_waits_for_it(start: Start) -> None:
    program = BUSY.replace("CPU", str(min(os.sched_getaffinity(0))))
    busy = [start.command(sys.executable, "-c", program).pid for _ in range(2)]
    for pid in busy:
        until(lambda pid=pid: (process.waited(pid) or 0) > 0.05, "it has waited")  # type: ignore[misc]
        until(lambda pid=pid: (process.cpu(pid) or 0) > 0, "it has run")  # type: ignore[misc]
        kill([pid])


def test_figures_of_a_process_that_is_gone_are_none(start: Start) -> None:
    ended = start.command(sys.executable, "-c", "pass")
    assert ended.wait() == 0
    assert (process.cpu(ended.pid), process.waited(ended.pid), process.memory(ended.pid)) == (None, None, None)
    assert None not in (process.cpu(os.getpid()), process.waited(os.getpid()), process.memory(os.getpid()))
