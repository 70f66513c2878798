"""Adoption where there is much to adopt: more workers than a note is quick for, more descriptors than a limit."""

from __future__ import annotations

import os
import signal
import sys

from support import Start, until
from system.commanded import PREFORK, Commanded
from system.daemons import HEAD, RUN, SERVE, served
from system.test_adopted_upgrades import DECLARED
from system.test_adoption import noted, settled

MANY = 300
"""Of as many a note takes longer than those that are written for each worker."""

LIMIT = 40
"""Of each of the workers there are two pipes and a shard: 30 descriptors, besides some 20 of any master."""

LIMITED = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.execv(sys.executable, [sys.executable, "program.py"])
"""


def test_all_are_noted_when_the_log_says_ready(start: Start) -> None:
    daemon = Commanded(start, "adopted", served("adopted", f"[Web(number) for number in range({MANY})]"))
    daemon.launch(PREFORK, "run", "program.py:daemon")
    daemon.running.expect(r": ready \(", "err")
    found = noted(daemon)
    assert found == {*daemon.pids().values()}
    assert len(found) == MANY
    assert daemon.stop() == 0


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
