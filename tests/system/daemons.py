"""Daemons for tests: a program as text, with the parts that most of them share."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import signal
import socket
import sys
import tempfile
from pathlib import Path

from prefork._wire.places import WORKERS
from support import PATIENCE, Running, Start, until

HEAD = """
import os, signal, sys, time
from dataclasses import dataclass, field
import prefork

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int
    text: str = field(default="", compare=False)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())
"""

SERVE = """
@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection:
            connection.sendall(f"{worker.key} g{worker.generation} {os.getpid()} {worker.context.text}".encode())
"""

RUN = """
if __name__ == "__main__":
    daemon.run()
"""

HOOKS = """
import os, signal, sys
from dataclasses import dataclass
import prefork

@dataclass(frozen=True)
class Waiting(prefork.WorkerContext):
    id: int

def work(worker):
    print("ready")
    signal.pause()

def start(_config):
    count = int(sys.argv[1])
    return [prefork.fork_worker_process(Waiting(i), sys.argv[1:]) for i in range(count)]

prefork.default_main(prefork.PreforkSettings(
    update_config=lambda: 1,
    update_server=start,
    on_quit=lambda _config: print(*sorted(sys.modules), flush=True),
), work)
"""
"""The hooks interface with as many idle workers as its argument says; at QUIT the master prints its imports."""


def served(name: str, plan: str = "[Web(0), Web(1)]", options: str = "", more: str = "") -> str:
    """Return the program of a daemon whose web workers answer with who they are."""
    return (
        HEAD
        + f'daemon = prefork.Daemon("{name}", listeners={{"http": "tcp://127.0.0.1:PORT"}}, {options})\n'
        + f"@daemon.plan\ndef plan():\n    return {plan}\n"
        + SERVE
        + more
        + RUN
    )


class Served:
    """A daemon under test: the program as text (`PORT` stands for its port), how to start it, and what runs."""

    def __init__(self, start: Start, name: str, source: str | None = None, **parts: str) -> None:
        self.name, self.port, self.start, self.parts = name, free_port(), start, parts
        self.file = start.directory / "program.py"
        self.write(source)
        self.running: Running

    def write(self, source: str | None = None, **parts: str) -> None:
        """Write the program, or put another one in its place."""
        text = source or served(self.name, **{**self.parts, **parts})
        self.file.write_text(text.replace("PORT", str(self.port)))

    def launch(self, *command: str | Path) -> Served:
        """Start it, by `python program.py` unless told otherwise."""
        command = command or (sys.executable, "program.py")
        self.running = self.start.command(*command, env=self.environment)
        return self

    @property
    def environment(self) -> dict[str, str]:
        """A runtime directory of its own, so that daemons of one name in two tests do not meet."""
        return {"RUNTIME_DIRECTORY": str(self.start.directory / "runtime")}

    def ready(self, *keys: str, generation: int = 1) -> dict[str, int]:
        """Wait until these workers have said that they are there; return their pids."""
        patterns = {key: rf"ready {key} g {generation} pid (\d+)" for key in keys}
        found = self.running.expect_each(patterns.values())
        return {key: int(found[pattern][1]) for key, pattern in patterns.items()}

    def ask(self) -> tuple[str, int, int, str]:
        """Ask whichever worker accepts; return its key, generation, pid and text."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client:
            answer = b""
            while data := client.recv(1000):
                answer += data
        match = re.fullmatch(r"(\S+) g(\d+) (\d+) (.*)", answer.decode(), re.DOTALL)
        assert match, answer
        return match[1], int(match[2]), int(match[3]), match[4]

    def signal(self, number: int) -> None:
        self.running.send(number)

    def stop(self) -> int:
        return self.running.stop(signal.SIGTERM)

    @property
    def mold(self) -> int:
        """The pid of the mold, once nothing else calls itself so: a newborn has the mold's title for a moment."""
        found: list[int] = []

        def is_one() -> bool:
            found[:] = self._molds()  # Once: at a second look it may have died.
            return len(found) == 1

        until(is_one, "one mold")
        return found[0]

    def _molds(self) -> list[int]:
        return [pid for pid in self.running.children() if title(pid).startswith("prefork: mold ")]


def forget_workers(start: Start) -> None:
    """Let the next master not adopt the workers of the one that was killed, but replace them."""
    for name in WORKERS:
        (start.directory / "runtime" / name).unlink(missing_ok=True)


_ports = itertools.count(10_000 + os.getpid() % 220 * 100)
_taken = open(Path(tempfile.gettempdir(), f"test-of-prefork-ports-{os.getuid()}"), "ab")  # noqa: SIM115 - While it runs.


def free_port() -> int:
    """Return a port that no process listens on, and that no other process of tests gets while this one runs.

    It is below those that the kernel gives away. Others cannot see a port in use before the daemon under test listens,
    so each is taken by a lock on one byte of a file that all tests have in common (fcntl_locking(2)).
    """
    while True:
        port = 10_000 + (next(_ports) - 10_000) % 22_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            fcntl.lockf(_taken, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            probe.bind(("127.0.0.1", port))
            return port


def title(pid: int) -> str:
    """Return what `ps` shows of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def root() -> bool:
    """Whether the tests run as root, without which no other user can be become."""
    return os.geteuid() == 0
