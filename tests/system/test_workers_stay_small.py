"""What becoming a worker costs: memory of its own, page faults, and nothing that the mold could have done for all."""

from __future__ import annotations

import re
from pathlib import Path

from support import Start
from system.daemons import HEAD, RUN, Served

LOOK = """
import resource

daemon = prefork.Daemon("small", listeners={"http": "tcp://127.0.0.1:PORT"})
at_fork = []  # How many modules there were: to look at them one by one would be memory of each worker's.
os.register_at_fork(before=lambda: at_fork or at_fork.append(len(sys.modules)))

@daemon.plan
def plan():
    return [Web(i) for i in range(20)]

@daemon.before_fork
def before_fork():
    say("mold has", *[name for name in ("threading", "logging", "asyncio") if name in sys.modules], ".")

@daemon.worker(Web)
def web(worker):
    worker.ready()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    news = list(sys.modules)[at_fork[0]:] if len(sys.modules) > at_fork[0] else []
    say("ready", worker.key, "pid", os.getpid(), "faults", faults, "imported", *news, ".")
    for connection, _ in worker.accept("http"):
        connection.close()
"""
MOST = 1400
"""kB, so 500 workers are in 700 MB. Workers that repeated what the mold can do for all had 1,600."""
MOLDS = 3
"""Tried at most: the order of the heap, which hashes decide, is some eighty kB, the same for all workers of a mold."""


def test_trivial_worker_has_little_memory_of_its_own(start: Start) -> None:
    own = [most_of_its_own(start)]
    while own[-1] >= MOST and len(own) < MOLDS:
        own.append(most_of_its_own(start))
    assert min(own) < MOST


def most_of_its_own(start: Start) -> int:
    """Return how many kB the largest of a mold's trivial workers shares with no other process."""
    served = Served(start, "small", HEAD + LOOK + RUN).launch()
    patterns = [rf"ready web/{number} pid (\d+) faults (\d+) imported( .*)? \." for number in range(20)]
    # Their handlers of forks run in each worker, which copies the pages: 200 kB.
    served.running.expect(r"^mold has \.$")
    lines = served.running.expect_each(patterns).values()
    assert [line[3] for line in lines if line[3]] == []
    own = [private(int(line[1])) for line in lines]
    faults = max(int(line[2]) for line in lines)
    print(f"trivial workers: {min(own)} to {max(own)} kB of their own each, ready after {faults} page faults")
    assert served.stop() == 0
    return max(own)


def private(pid: int) -> int:
    """How many kB of its memory no other process shares."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"^Private_(?:Dirty|Clean):\s+(\d+) kB", text, re.MULTILINE))
