"""A daemon under a service manager: what it says, when, and who it is that says it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from notified import NotifySocket
from support import Start, state, until
from system.commanded import Commanded
from system.daemons import HEAD, RUN, SERVE, Served

GATE = """
def gate():
    while not os.path.exists("open"):
        time.sleep(0.01)
"""


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[NotifySocket]:
    made = NotifySocket(str(tmp_path / "notify"))
    yield made
    made.close()


class Managed(Served):
    """A daemon that was started by a service manager."""

    variables: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.variables}


def managed(start: Start, name: str, notified: NotifySocket, source: str | None = None, **variables: str) -> Managed:
    daemon = Managed(start, name, source)
    daemon.variables = {"NOTIFY_SOCKET": notified.address, **variables}
    return daemon


def gated(name: str) -> str:
    """A daemon whose second worker is ready when the file `open` is there."""
    serve = SERVE.replace("worker.ready()", "worker.context.id and gate(); worker.ready()")
    declared = f'daemon = prefork.Daemon("{name}", listeners={{"http": "tcp://127.0.0.1:PORT"}})\n'
    planned = "@daemon.plan\ndef plan():\n    return [Web(0), Web(1)]\n"
    return HEAD + GATE + declared + planned + serve + RUN


def test_ready_is_said_when_the_plan_is_ready_and_not_before(start: Start, notified: NotifySocket) -> None:
    served = managed(start, "waits", notified, gated("waits")).launch()
    served.ready("web/0")
    assert notified.expect(STATUS="1/2 ready, generation 1").get("READY") is None
    assert not any("READY" in message for message in notified.all)
    (start.directory / "open").touch()
    assert notified.expect(READY="1")["STATUS"] == "2/2 ready, generation 1"
    assert served.stop() == 0
    notified.expect(STOPPING="1")
    assert notified.senders == {served.running.pid}


def test_a_reload_is_told_from_its_beginning_to_its_end(start: Start, notified: NotifySocket) -> None:
    served = managed(start, "tells", notified).launch()
    notified.expect(READY="1")
    before = monotonic()
    served.signal(signal.SIGHUP)
    told = notified.expect(RELOADING="1")
    assert before <= int(told["MONOTONIC_USEC"]) / 1e6 <= monotonic()
    assert notified.expect(READY="1")["STATUS"] == "2/2 ready, generation 2"
    served.write("syntax error")
    served.signal(signal.SIGHUP)
    notified.expect(RELOADING="1")
    status = notified.expect(READY="1")["STATUS"]
    assert status.startswith("2/2 ready, generation 2; reload: failed: ")
    assert "SyntaxError" in status
    assert served.stop() == 0


def test_reload_of_the_unit_is_logged_once(start: Start) -> None:
    """As ExecReload=, whose output goes to the journal that has the daemon's log."""
    served = Commanded(start, "once")
    served.launch()
    served.ready("web/0", "web/1")
    unit = {"MAINPID": str(served.running.pid)}
    for environment, said in (unit, False), ({"MAINPID": "1"}, True), ({}, True), (unit | {"JOURNAL_STREAM": ""}, True):
        command = served.command("reload", env=environment)
        assert command.wait() == 0
        assert any("reload: done" in line for line in command.out) == said
        assert bool(command.out + command.err) == said
    served.write("syntax error")
    command = served.command("reload", env=unit)
    assert (command.wait(), command.out + command.err) == (1, [])
    served.running.expect("reload: failed: .*SyntaxError", "err")
    assert served.stop() == 0


def test_a_crash_is_seen_in_the_status(start: Start, notified: NotifySocket) -> None:
    served = managed(start, "crashes", notified, gated("crashes"))
    (start.directory / "open").touch()
    served.launch()
    pids = served.ready("web/0", "web/1")
    notified.expect(READY="1")
    (start.directory / "open").unlink()
    os.kill(pids["web/1"], signal.SIGKILL)
    notified.expect(STATUS="1/2 ready, generation 1")
    (start.directory / "open").touch()
    notified.expect(STATUS="2/2 ready, generation 1")
    assert served.stop() == 0


def test_the_watchdog_hears_of_the_master_alone(start: Start, notified: NotifySocket) -> None:
    # The pid is known when the program runs only, as it is to a service manager.
    served = managed(start, "beats", notified, WATCHDOG_USEC="400000")
    served.launch("sh", "-c", f"WATCHDOG_PID=$$ exec {sys.executable} program.py")
    for _ in range(4):
        notified.expect(WATCHDOG="1")
    served.signal(signal.SIGSTOP)  # A master that hangs says nothing.
    until(lambda: state(served.running.pid) == "T", "it has stopped")
    while notified.read(0) is not None:
        pass
    assert notified.read(1.0) is None
    served.signal(signal.SIGCONT)
    notified.expect(WATCHDOG="1")
    assert notified.senders == {served.running.pid}
    assert served.stop() == 0


def test_a_failed_start_says_so_before_it_ends(start: Start, notified: NotifySocket) -> None:
    served = managed(start, "fails", notified)
    served.write("import prefork\ndaemon = prefork.Daemon('fails')\ndaemon.run()\n")
    served.launch()
    assert served.running.wait() == 1
    assert notified.expect(STOPPING="1")["STATUS"].startswith("stopping: start: failed: ")
    assert not any("READY" in message for message in notified.all)


def test_a_manager_that_goes_away_harms_nothing(start: Start, notified: NotifySocket) -> None:
    served = managed(start, "alone", notified).launch()
    notified.expect(READY="1")
    notified.close()
    served.signal(signal.SIGHUP)
    served.running.expect("service manager: sd_notify failed: Connection refused", "err")
    served.running.expect(r"reload: done \(generation 2\)", "err")
    assert served.stop() == 0
