"""Masters that are killed and upgraded in turn: what one of the two leaves, the other one has to find."""

from __future__ import annotations

import os
import signal
import socket
import sys

from support import Start, gone, until
from system.commanded import Commanded
from system.daemons import HEAD, RUN, SERVE
from system.test_adoption import killed, noted, settled, slots
from system.test_upgrade import connections, open_files

DECLARED = """
http = prefork.Listener("tcp://127.0.0.1:PORT", sharing="sharded")
daemon = prefork.Daemon("adopted", listeners={"http": http}, capture=True)

@daemon.plan
def plan():
    return [Web(0), Web(1)]
"""


def upgraded(daemon: Commanded) -> None:
    assert "upgrade: done" in daemon.client.upgrade()


def quiet(daemon: Commanded) -> list[str]:
    """Return the descriptors of a master at rest, once the connections of commands are closed."""
    until(daemon.rests, "the master at rest")
    until(lambda: not connections(daemon.running.pid), "the commands' connections are closed")
    return open_files(daemon.running.pid)


def has_just(daemon: Commanded, expected: list[str]) -> None:
    """Wait until these are the master's descriptors."""
    quiet(daemon)
    until(lambda: open_files(daemon.running.pid) == expected, f"the same descriptors: {expected}")


def test_kills_and_upgrades_in_turn(start: Start) -> None:
    """Shards with their order and captured output pass through each; an adopted worker's end is seen after each."""
    daemon = Commanded(start, "adopted", HEAD + DECLARED + SERVE + RUN)
    daemon.launch()
    old = daemon.at_rest("web/0", "web/1")
    until(lambda: noted(daemon) >= {*old.values()}, "the master's note of them")
    first = quiet(daemon)
    upgraded(daemon)
    killed(daemon)  # A master that had been upgraded.
    settled(daemon)
    has_just(daemon, first)  # Pidfds of the adopted are not those of children, but as many.
    upgraded(daemon)  # A master that has adopted workers.
    assert daemon.pids() == old
    assert {(slot["generation"], slot["restarts"]) for slot in slots(daemon).values()} == {(1, 0)}
    until(lambda: {daemon.ask()[2] for _ in range(4)} == {*old.values()}, "answers of both")
    has_just(daemon, first)
    os.kill(old["web/0"], signal.SIGSEGV)
    daemon.running.expect("web/0: killed by SIGSEGV after", "err")
    until(daemon.rests, "its successor")
    new = daemon.pids()
    assert (new["web/0"] != old["web/0"], new["web/1"]) == (True, old["web/1"])
    until(lambda: noted(daemon) >= {*new.values()}, "the master's note of both")
    killed(daemon)  # One that has an adopted worker and a child, and was upgraded.
    settled(daemon)
    assert daemon.pids() == new
    until(lambda: {daemon.ask()[2] for _ in range(4)} == {*new.values()}, "answers of both")
    assert daemon.stop() == 0
    assert all(gone(pid, 0) for pid in new.values())


ACTIVATE = """
import os, sys
os.dup2(os.dup(int(sys.argv[1])), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="http")
os.execv(sys.executable, [sys.executable, "program.py"])
"""


def test_adoption_leaves_no_descriptor_open(start: Start) -> None:
    """A socket of the service manager comes from it and from each worker."""
    daemon = Commanded(start, "adopted", plan="[Web(0)]")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def launch() -> None:
            command = sys.executable, "-c", ACTIVATE, str(listener.fileno())
            daemon.running = start.command(*command, env=daemon.environment, pass_fds=[listener.fileno()])

        launch()
        old = daemon.at_rest("web/0")
        until(lambda: noted(daemon) >= {*old.values()}, "the master's note of it")
        before = quiet(daemon)
        daemon.signal(signal.SIGKILL)
        daemon.running.wait()
        launch()
        daemon.running.expect("adopted 1 worker", "err")
        settled(daemon)
        has_just(daemon, before)
        assert daemon.stop() == 0
