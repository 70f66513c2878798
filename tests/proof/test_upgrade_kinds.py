"""Upgrades in place of daemons of each kind: shards, activation, orphans, an agent, another user, births under way."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import prefork
from load import Load
from support import PATIENCE, Start, gone, until
from system.agents import Watched
from system.commanded import Commanded
from system.daemons import HEAD, RUN, SERVE, Served, root, served
from system.other_user import NOBODY, anywhere, as_nobody, rights
from system.test_listeners import by_hand
from system.test_sharded import PLAIN, Asked, launched, stopped

__all__ = ["anywhere"]  # A fixture.


def upgrade(daemon: Served) -> str:
    pid = daemon.running.pid
    client = prefork.connect(daemon.environment["RUNTIME_DIRECTORY"])
    outcome = client.upgrade()
    assert client.hello()["pid"] == pid
    return outcome


def test_shards_keep_queues_and_places(start: Start) -> None:
    daemon, pids = launched(start, PLAIN)
    with ExitStack() as stack:
        stopped(pids["web/0"])
        asked = Asked(daemon, stack, 40)
        upgrade(daemon)
        os.kill(pids["web/0"], signal.SIGKILL)
        assert asked.answered() == 40
    pids |= daemon.ready("web/0")
    with Load(daemon.port, b"ok", clients=8) as load:
        for size in (6, 2, 4):
            upgrade(daemon)
            prefork.connect(daemon.environment["RUNTIME_DIRECTORY"]).scale("web", size)
            load.more(50)
    assert not load.failures
    assert daemon.stop() == 0


def test_activated_socket_is_kept(start: Start) -> None:
    daemon = Served(start, "activated", served("activated").replace("tcp://127.0.0.1:PORT", "fd://web"))
    daemon.launch(*by_hand("web", daemon.port), "program.py")
    daemon.ready("web/0", "web/1")
    upgrade(daemon)
    assert daemon.ask()[1] == 1
    prefork.connect(daemon.environment["RUNTIME_DIRECTORY"]).reload()
    assert daemon.ask()[1] == 2
    upgrade(daemon)
    assert daemon.ask()[1] == 2
    assert daemon.stop() == 0


def test_unix_socket_keeps_its_path(start: Start) -> None:
    path = start.directory / "web.sock"
    daemon = Served(start, "local", served("local").replace("tcp://127.0.0.1:PORT", f"unix://{path}"))
    daemon.launch()
    daemon.ready("web/0", "web/1")
    inode = path.stat().st_ino
    upgrade(daemon)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        assert client.recv(100).startswith(b"web/")
    assert path.stat().st_ino == inode
    assert daemon.stop() == 0
    assert not path.exists()


LONG = """
@daemon.worker(Web, drain_timeout=60)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection:
            connection.recv(10)
            connection.sendall(str(os.getpid()).encode())
"""


def test_orphan_that_drains_is_kept(start: Start) -> None:
    declared = 'daemon = prefork.Daemon("orphans", listeners={"http": "tcp://127.0.0.1:PORT"}, orphan_grace=30)\n'
    planned = "@daemon.plan\ndef plan():\n    return [Web(0)]\n"
    daemon = Served(start, "orphans", HEAD + declared + planned + LONG + RUN)
    daemon.launch()
    orphan = daemon.ready("web/0")["web/0"]
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as client:
        until(lambda: any("socket" in link for link in links(orphan)), "a connection")
        daemon.running.send(signal.SIGKILL)
        daemon.running.wait()
        daemon.launch()
        daemon.ready("web/0")
        until(lambda: prefork.connect(daemon.environment["RUNTIME_DIRECTORY"]).status()["generation"] == 1, "a start")
        upgrade(daemon)
        assert not gone(orphan)
        client.sendall(b"now")
        assert client.recv(100) == str(orphan).encode()
    until(lambda: gone(orphan), "the end of the orphan")
    assert daemon.stop() == 0


def links(pid: int) -> list[str]:
    return [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]


def test_agent_keeps_its_connections(start: Start) -> None:
    daemon = Watched(start)
    daemon.ready()
    agent = daemon.slot("agent/0")["pid"]
    assert daemon.status()["generation"] == 1
    for _ in range(2):
        assert daemon.client.upgrade().startswith("upgrade: done")
        assert daemon.status()["generation"] == 1
        assert daemon.slot("agent/0")["pid"] == agent
    daemon.client.reload()
    until(lambda: daemon.slot("agent/0")["pid"] not in (agent, None), "the next agent")
    until(lambda: daemon.status()["generation"] == 2, "its figures")
    assert daemon.stop() == 0


@pytest.mark.skipif(not root(), reason="only root can become another user")
def test_root_upgrades_and_the_application_stays_another_user(anywhere: Start) -> None:
    source = HEAD + 'daemon = prefork.Daemon("user", listeners={"http": "unix://THEIRS/socket"})\n'
    source += "@daemon.plan\ndef plan():\n    return [Web(0), Web(1)]\n" + SERVE + RUN
    daemon = as_nobody(anywhere, source)
    daemon.begin()
    pids = daemon.ready("web/0", "web/1")
    upgrade(daemon)
    assert rights(daemon.running.pid)["Uid"].split() == ["0"] * 4
    os.kill(pids["web/0"], signal.SIGKILL)
    assert rights(daemon.ready("web/0")["web/0"])["Uid"].split() == [str(NOBODY)] * 4
    prefork.connect(daemon.environment["RUNTIME_DIRECTORY"]).reload()
    assert rights(daemon.ready("web/0", "web/1", generation=2)["web/0"])["Uid"].split() == [str(NOBODY)] * 4
    assert daemon.stop() == 0
    assert not (anywhere.directory / "theirs" / "socket").exists()


def test_births_under_way_are_answered(start: Start) -> None:
    """A mold that is stopped owes forks while the program is replaced."""
    daemon = Commanded(start, "births", served("births", options="spares=3"))
    daemon.launch()
    pids = daemon.ready("web/0", "web/1")
    until(lambda: daemon.client.status()["molds"][0]["spares"] == 3, "all spares")
    for _ in range(3):
        mold = daemon.mold
        os.kill(mold, signal.SIGSTOP)
        os.kill(pids["web/0"], signal.SIGKILL)  # A spare takes its place: another is ordered of the mold.
        pids |= daemon.ready("web/0")
        upgrade(daemon)
        with suppress(ProcessLookupError):  # On a slow machine it has been ended: it owed forks for a second.
            os.kill(mold, signal.SIGCONT)
    until(lambda: daemon.client.status()["molds"][0]["spares"] == 3, "all spares")
    assert daemon.stop() == 0


def test_stop_during_an_upgrade_ends_the_daemon(start: Start) -> None:
    daemon = Commanded(start, "stopped")
    daemon.launch()
    daemon.ready("web/0", "web/1")
    command = daemon.command("upgrade")
    daemon.running.expect("upgrade requested", "err")
    daemon.signal(signal.SIGTERM)
    assert daemon.running.wait() == 0
    assert command.wait() in (0, 1, 3)


def test_signals_during_the_exec_are_not_lost(start: Start) -> None:
    daemon = Commanded(start, "signalled")
    daemon.launch()
    daemon.ready("web/0", "web/1")
    for generation in range(2, 6):
        command = daemon.command("upgrade")
        daemon.running.expect("upgrade requested", "err")
        daemon.signal(signal.SIGHUP)  # A reload waits for the upgrade, whenever it comes.
        assert command.wait() == 0
        daemon.ready("web/0", "web/1", generation=generation)
        until(lambda generation=generation: daemon.client.status()["generation"] == generation, "the reload")  # type: ignore[misc]
    assert daemon.stop() == 0
