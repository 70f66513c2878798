"""Upgrade in place: the master's program is replaced, and nothing else notices."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from notified import NotifySocket
from support import PROOF, Start, until
from system.commanded import Commanded
from system.daemons import HEAD, RUN, served
from system.releases import Releases

DONE = r"upgrade: done \(prefork[^,]*, Python [\d.]+; the master was away for [\d.]+ (ms|s)\)$"

ONLY = """
@dataclass(frozen=True)
class Only(prefork.WorkerContext):
    id: int

@daemon.worker(Only, replace="old-first")
def only(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    worker.wait_draining()
"""


def upgraded(daemon: Commanded, **options: Any) -> str:
    """Upgrade by command; return the outcome. The process is the same."""
    pid = daemon.running.pid
    outcome = daemon.says("upgrade", **options)
    assert daemon.client.hello()["pid"] == pid
    return outcome


def test_upgrade_keeps_processes_and_sockets(start: Start) -> None:
    daemon = Commanded(start, "kept", plan="[Web(0), Web(1), Only(0)]", more=ONLY)
    daemon.launch()
    before = daemon.ready("web/0", "web/1", "only/0")
    follower = daemon.command("events", "--follow")
    follower.expect("ready")
    assert "upgrade: done" in upgraded(daemon)
    daemon.signal(signal.SIGUSR2)
    daemon.running.expect("signal USR2 received", "err")
    daemon.running.expect(DONE, "err")
    for _ in range(2):
        assert daemon.pids() == before
        assert daemon.ask()[2] in before.values()
    os.kill(before["web/0"], signal.SIGKILL)
    follower.expect(r"web/0.*killed by SIGKILL")  # The client is connected still.
    assert daemon.ready("web/0")
    assert daemon.says("reload").startswith("reload: done (generation 2)")
    daemon.ready("web/0", "web/1", "only/0", generation=2)
    assert "upgrade: done" in upgraded(daemon)
    assert daemon.stop() == 0


def test_no_descriptor_is_left_or_lost(start: Start) -> None:
    daemon = Commanded(start, "descriptors")
    daemon.launch()
    daemon.at_rest("web/0", "web/1")
    upgraded(daemon)
    until(lambda: len(daemon.running.children()) == 4, "mold, spare and workers, and no child that rehearses")
    until(lambda: not connections(daemon.running.pid), "the command's connection is closed")
    before = open_files(daemon.running.pid)
    upgraded(daemon)
    until(lambda: open_files(daemon.running.pid) == before, "the same descriptors")
    daemon.says("reload")
    daemon.at_rest("web/0", "web/1", generation=2)
    for pid in daemon.pids().values():  # No new process has got one of them.
        assert not {each for each in open_files(pid) if "control.sock" in each or each.endswith("/lock")}
    assert daemon.stop() == 0


def connections(pid: int) -> set[str]:
    """Return the connections to the control socket that a master has open."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    accepted = {f"socket:[{line[6]}]" for line in lines if line[5] == "03" and line[-1].endswith("/control.sock")}
    return accepted.intersection(links(pid))


def links(pid: int) -> list[str]:
    """Return what the descriptors of a process lead to."""
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # Closed meanwhile.
            found.append(os.readlink(each))
    return found


def open_files(pid: int) -> list[str]:
    """Return what the descriptors of a process are, but for which inode: those of its loop are new each time."""
    return sorted(link.partition(":[")[0] for link in links(pid))


CAPTURED = """
@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key)
    os.write(1, b"the first half")
    for connection, _ in worker.accept("http"):
        with connection:
            os.write(1, b" and the second\\n")
            connection.sendall(f"{worker.key} g{worker.generation} {os.getpid()} x".encode())
"""


def test_half_line_of_a_worker_is_one_line(start: Start) -> None:
    declared = 'daemon = prefork.Daemon("halves", listeners={"http": "tcp://127.0.0.1:PORT"}, capture=True)\n'
    planned = "@daemon.plan\ndef plan():\n    return [Web(0)]\n"
    daemon = Commanded(start, "halves", HEAD + declared + planned + CAPTURED + RUN)
    daemon.launch()
    daemon.running.expect("ready web/0")
    upgraded(daemon)
    daemon.ask()
    daemon.running.expect("web/0.*the first half and the second$")
    assert daemon.stop() == 0


def test_log_file_goes_on(start: Start) -> None:
    file = start.directory / "log"
    daemon = Commanded(start, "logged", options=f"log_file={str(file)!r}")
    daemon.launch()
    daemon.ready("web/0", "web/1")
    upgraded(daemon)
    file.rename(f"{file}.1")
    upgraded(daemon)  # It stays in the file that is open until it is told.
    assert not file.exists()
    daemon.signal(signal.SIGUSR1)
    until(file.exists, "the log, opened again")
    assert daemon.stop() == 0
    assert "stopped" in file.read_text()


def test_service_manager_sees_a_reload(start: Start, tmp_path: Path) -> None:
    notified = NotifySocket(str(tmp_path / "notify"))
    daemon = Commanded(start, "managed")
    daemon.running = start.command(
        sys.executable, "program.py", env={**daemon.environment, "NOTIFY_SOCKET": notified.address}
    )
    notified.expect(READY="1")
    upgraded(daemon)
    assert "MONOTONIC_USEC" in notified.expect(RELOADING="1")
    notified.expect(READY="1")
    assert notified.senders == {daemon.running.pid}
    assert daemon.stop() == 0
    notified.expect(STOPPING="1")
    notified.close()


def test_limit_of_open_files_is_not_the_masters(start: Start) -> None:
    limit = "import resource; say('limit', *resource.getrlimit(resource.RLIMIT_NOFILE)); "
    program = served("limited").replace("worker.ready()", limit + "worker.ready()")
    daemon = Commanded(start, "limited", program)
    daemon.launch("sh", "-c", f"ulimit -Sn 123; exec {sys.executable} program.py")
    daemon.running.expect("^limit 123 ")
    upgraded(daemon)
    daemon.says("reload")
    daemon.running.expect("ready web/. g 2")
    assert {line.split()[1] for line in daemon.running.out if line.startswith("limit")} == {"123"}
    assert daemon.stop() == 0


# Releases: the next program is that of a link.


class Upgradable(Releases):
    """Two releases behind `current`; the second one's prefork may be changed."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.changes = 0
        self.make(1)
        self.make(2)
        self.switch(1)
        self.running = self.run()
        self.place.ready(self.running)
        self.switch(2)

    def change(self, module: str, text: str, by: str) -> None:
        """Put a text of a module of the second release's prefork in the place of another."""
        (path,) = self.top.glob(f"releases/2/.venv/lib/*/site-packages/prefork/{module}")
        former = path.read_text()
        assert text in former
        path.write_text(former.replace(text, by, 1))
        # Python takes a compiled module for today's if the time, in seconds, and the size of its source are the same.
        self.changes += 1
        os.utime(path, (self.changes, self.changes))

    def upgrade(self, status: int = 0) -> str:
        return self.place.says("upgrade", status=status, directory="current")

    @property
    def worker(self) -> int:
        (slot,) = json.loads(self.place.says("status", "--json", directory="current"))["slots"]
        return int(slot["pid"])

    def goes_on(self) -> None:
        """The worker serves, a reload works, and a stop ends all."""
        assert self.place.says("status", "--check", directory="current") == "1 slot served"
        assert self.place.says("reload", directory="current").startswith("reload: done")
        assert self.place.says("stop", directory="current").startswith("stopped")
        assert self.running.wait() == 0


BROKEN = {
    "other memory": ("_wire/scoreboard.py", "VERSION = 2", "VERSION = 3", "memory of layout"),
    "syntax error": ("_master/upgrade/rehearse.py", "def rehearse", "def def", "SyntaxError"),
    "other state": ("_core/kept/snapshot.py", "SCHEMA = 1", "SCHEMA = 0", "newer than 0"),
    "no answer": (
        "_master/upgrade/rehearse.py",
        "    former = read",
        "    while True: pass\n    former = read",
        "no answer",
    ),
}
"""What is wrong with the next program, by its module: the text, what stands in its place, and the reason."""

FAILS = {
    "half": (
        "_master/kept/workers.py",
        "    processes.killed, ",
        "    raise ValueError('half')\n    processes.killed, ",
        "half",
    ),
    "import": ("_master/upgrade/go_on.py", "import gc\n", "import gc\nimport no_such\n", "No module named 'no_such'"),
    "read": (
        "_master/upgrade/go_on.py",
        "        former = read",
        "        raise ValueError('read')\n        former = read",
        "read",
    ),
    "end": (
        "_master/kept/ownership.py",
        "    if kept.pid_file is",
        "    raise ValueError('end')\n    if kept.pid_file is",
        "end",
    ),
}
"""The same, of what fails only in the master's own process."""


def few(cases: dict[str, Any]) -> list[Any]:
    """Return all cases for the proof, else the first."""
    return list(cases.values())[: None if PROOF else 1]


def test_program_that_cannot_go_on_changes_nothing(start: Start) -> None:
    releases = Upgradable(start)
    worker = releases.worker
    for module, text, by, reason in few(BROKEN) + few(FAILS):
        releases.change(module, text, by)
        told = releases.upgrade(status=1)
        assert "upgrade: failed: " in told
        assert "; the former program goes on" in told
        assert reason in told
        assert releases.worker == worker
        releases.change(module, by, text)
    assert "upgrade: done" in releases.upgrade()
    assert releases.worker == worker
    releases.goes_on()


REMOVALS = {"gone": ("os.unlink(p)", "No such file"), "no program": ("os.unlink(p); open(p, 'w')", "Permission denied")}


def test_failed_exec_changes_nothing(start: Start) -> None:
    releases = Upgradable(start)
    worker = releases.worker
    python = f"{releases.current}/.venv/bin/python"
    before = os.readlink(python)
    for act, reason in few(REMOVALS):
        remove = f"    import os; p = {python!r}; {act}; return 0"
        releases.change("_master/upgrade/rehearse.py", "    return 0", remove)
        assert f"cannot be executed: {reason}" in releases.upgrade(status=1)
        assert releases.worker == worker
        releases.change("_master/upgrade/rehearse.py", remove, "    return 0")
        Path(python).unlink(missing_ok=True)
        os.symlink(before, python)
    assert "upgrade: done" in releases.upgrade()
    releases.goes_on()


def test_program_of_the_next_release_goes_on(start: Start) -> None:
    """It says that it is of another version, so that workers are replaced after it."""
    releases = Upgradable(start)
    releases.change("_master/upgrade/restore.py", "('prefork', release)", "('prefork', 'of release 2', release)")
    releases.change("_master/upgrade/restore.py", "return self.snapshot.python != minor or", "return True or")
    worker = releases.worker
    assert "prefork of release 2" in releases.upgrade()
    until(lambda: releases.worker != worker, "a worker of the next generation")
    releases.goes_on()
