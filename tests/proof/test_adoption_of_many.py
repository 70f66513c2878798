"""A master adopts more descriptors than the soft limit of open files that it is started with."""

from __future__ import annotations

import os
import signal
import sys

from support import Start, until
from system.commanded import Commanded
from system.daemons import HEAD, RUN, SERVE
from system.test_adopted_upgrades import DECLARED
from system.test_adoption import noted, settled

LIMIT = 40
"""Of each of the workers there are two pipes and a shard: 30 descriptors, besides some 20 of any master."""

LIMITED = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.execv(sys.executable, [sys.executable, "program.py"])
"""


def test_adoption_needs_no_higher_soft_limit(start: Start) -> None:
    plan = "[Web(number) for number in range(10)]"
    source = HEAD + DECLARED.replace("[Web(0), Web(1)]", plan) + SERVE + RUN
    daemon = Commanded(start, "adopted", source)
    daemon.launch(sys.executable, "-c", LIMITED)
    old = daemon.at_rest(*(f"web/{number}" for number in range(10)))
    until(lambda: noted(daemon) >= {*old.values()}, "the master's note of them")
    daemon.signal(signal.SIGKILL)
    daemon.running.wait()
    daemon.launch(sys.executable, "-c", LIMITED)
    daemon.running.expect("adopted 10 workers", "err")
    settled(daemon)
    assert daemon.pids() == old
    assert len(os.listdir(f"/proc/{daemon.running.pid}/fd")) > LIMIT
    assert daemon.stop() == 0
