"""What a daemon writes: workers' output with who wrote it, the log for people and for programs, and log files."""

from __future__ import annotations

import os
import re
import select
import signal
import sys

import pytest

from support import Start, state, until
from system.daemons import HEAD, RUN, Served

COMMAND = (sys.executable, "program.py")

WRITERS = """
print("importing")

daemon = prefork.Daemon("writers", capture=True)

@daemon.plan
def plan():
    sys.stderr.write("planning" + chr(10))
    return [Web(i) for i in range(WORKERS)]

@daemon.worker(Web, SPAWN)
def web(worker):
    WORK
    worker.wait_draining()
    print("bye")
"""


def writers(start: Start, work: str, workers: int = 2, spawn: str = "") -> Served:
    """Return a daemon whose output is captured."""
    program = WRITERS.replace("WORKERS", str(workers)).replace("WORK", work.replace("\n", "\n    "))
    return Served(start, "writers", HEAD + program.replace("SPAWN", spawn) + RUN)


def by_writer(lines: list[str]) -> dict[str, list[str]]:
    """Return the captured lines by who wrote them; each has to say so."""
    found: dict[str, list[str]] = {}
    for line in lines:
        match = re.fullmatch(r"(\S+) g1 \d+ \| (.*)", line)
        assert match, line
        found.setdefault(match[1], []).append(match[2])
    return found


@pytest.mark.parametrize("spawn", ["", "spawn='exec'"])
def test_each_line_is_whole_and_says_who_wrote_it(start: Start, spawn: str) -> None:
    work = """
print("hello")
os.system("echo from a child")
for number in range(20):
    sys.stdout.write(worker.key[-1] * 4_999 + chr(10))
print("an error", file=sys.stderr)
"""
    workers = 2 if spawn else 8
    served = writers(start, work, workers, spawn).launch()
    served.running.expect_each([f"^web/{number} g1 .* an error$" for number in range(workers)], "err")
    assert served.running.stop() == 0
    assert served.running.out[0] == "importing", "the program itself, before it is the master"
    found = by_writer(served.running.out[1:])
    assert found.pop("mold") == ["importing"]
    imported = ["importing"] if spawn else []
    for number in range(workers):
        lines = found.pop(f"web/{number}")
        assert lines == [*imported, "hello", "from a child", *[str(number) * 4_999] * 20, "bye"]
    assert not found
    errors = by_writer([line for line in served.running.err if " | " in line])
    assert errors.pop("mold") == ["planning"]
    assert errors == {f"web/{number}": ["an error"] for number in range(workers)}


def test_a_stalled_reader_stops_the_workers_and_not_the_master(start: Start) -> None:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    served = writers(start, "for number in range(100_000): print(number)\nprint('done', file=sys.stderr)")
    served.running = start.command(*COMMAND, env=served.environment, stdout=write_end)
    until(lambda: not select.select([], [write_end], [], 0)[1], "the reader's pipe is full")
    os.close(write_end)
    workers = [pid for pid in served.running.children() if state(pid) != "Z"]
    until(lambda: all(state(pid) == "S" for pid in workers), "all wait")
    for _ in range(3):
        served.running.send(signal.SIGQUIT)
        served.running.expect("2 slots", "err")
    assert not any("done" in line for line in served.running.err)
    served.running.listen("out", read_end)
    served.running.expect_each(["web/0 .* done", "web/1 .* done"], "err")
    assert served.running.stop() == 0
    found = by_writer(served.running.out[1:])
    for key in "web/0", "web/1":
        assert found[key] == [*map(str, range(100_000)), "bye"]
