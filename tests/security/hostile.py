"""A daemon of root whose application means harm, and what must hold meanwhile.

A test writes the attack as a program's text: for the mold, which runs it at its import, or for the worker web/0.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import prefork
from support import PROOF, Start, resident, until
from system.daemons import HEAD, RUN, root, title
from system.other_user import NOBODY, AsNobody

needs_root = pytest.mark.skipif(not root(), reason="only root can start a master whose application is another user")

AT_ONCE = 0.2 if PROOF else 2.0
"""Seconds in which a status comes; an attack that works takes minutes. A proof has the machine for itself."""

MOST_MEMORY = 5 * 1024
"""Kilobytes that an attack may cost the master."""

APPLICATION = """
import array, json, socket, struct, threading
from contextlib import suppress

def note(*words):
    with open("THEIRS/notes", "a") as file:
        print(*words, file=file)

def send(sock, head, data, descriptors=()):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())] if descriptors else []
    sock.sendmsg([head, data], control)

def lingering():
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sender = socket.create_connection(server.getsockname())
    keep.append(server.accept()[0])
    sender.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sender.send(b"x" * 65536)
    sender.setblocking(True)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    return sender.detach()

keep = []
with suppress(FileNotFoundError):
    exec(open("THEIRS/mold.py").read())

daemon = prefork.Daemon("hostile", listeners={"http": globals().get("forged_address", "tcp://127.0.0.1:PORT")})

@daemon.plan
def plan():
    return globals().get("forged_plan") or [Web(0), Web(1)]

@daemon.worker(Web, drain_timeout=25, start_timeout=10, limits={"nofile": 900, "core": 0}, nice=5, oom_score_adj=500)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    channel = worker._assignment.send.__self__._channel._socket
    while not worker.wait_draining(0.1):
        if worker.key == "web/0" and os.path.exists("THEIRS/attack.py"):
            code = open("THEIRS/attack.py").read()
            os.unlink("THEIRS/attack.py")
            exec(code, {**globals(), "worker": worker, "channel": channel})
"""


class Hostile(AsNobody):
    """The daemon."""

    def __init__(self, start: Start) -> None:
        self.theirs = start.directory / "theirs"
        self.theirs.mkdir()
        os.chown(self.theirs, NOBODY, NOBODY)
        self.slowest = 0.0
        super().__init__(start, "hostile", HEAD + APPLICATION.replace("THEIRS", str(self.theirs)) + RUN)

    @property
    def client(self) -> prefork.Client:
        return prefork.connect(self.environment["RUNTIME_DIRECTORY"])

    @property
    def master(self) -> int:
        return self.running.pid

    def attack(self, program: str) -> None:
        """Have web/0 run this."""
        part = self.theirs / "attack.part"
        part.write_text(program)
        part.rename(self.theirs / "attack.py")

    def mold_runs(self, program: str) -> None:
        """Have the next mold run this at its import."""
        (self.theirs / "mold.py").write_text(program)

    def noted(self, word: str) -> bool:
        notes = self.theirs / "notes"
        return notes.exists() and word in notes.read_text()

    def until_noted(self, word: str) -> None:
        self.watch(lambda: self.noted(word), word)

    def watch(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something; until then the master answers at once."""

        def holds() -> bool:
            began = time.monotonic()
            self.client.status()
            self.slowest = max(self.slowest, time.monotonic() - began)
            assert self.slowest < AT_ONCE, f"the master did not answer at once while waiting for {what}"
            return condition()

        until(holds, what)

    @contextmanager
    def unharmed(self) -> Iterator[None]:
        """Check that the master answers, serves, and needs no more memory; and that what is root's is as it was.

        That is a process that has nothing to do with the daemon, and all files but the application's own.
        """
        self.until_served()
        before, files = resident(self.master), outside(self.start.directory)
        with subprocess.Popen(["sleep", "1000"]) as bystander:
            its = terms(bystander.pid)
            try:
                yield
                self.until_served()
                assert (bystander.poll(), terms(bystander.pid)) == (None, its)
            finally:
                bystander.kill()
        grown = resident(self.master) - before
        assert grown < MOST_MEMORY, "kilobytes"
        assert outside(self.start.directory) == files
        print(f"slowest status {1000 * self.slowest:.0f} ms, {grown} kB")

    def until_served(self) -> None:
        """Wait until two workers serve that are children of the master and what the master says they are."""

        def served() -> bool:
            slots = self.client.status()["slots"]
            pids = [slot["pid"] or 0 for slot in slots if slot["state"] == "ready" and not slot["auxiliary"]]
            return len(pids) == 2 and all(title(pid).startswith("prefork: web/") for pid in pids)

        self.watch(served, "two workers serve")

    def told(self) -> str:
        """Return the log so far, having read what there is."""
        while self.running._take(0):
            pass
        return self.log()

    def log(self) -> str:
        return "\n".join(self.running.err)


def outside(directory: Path) -> dict[str, tuple[int, ...]]:
    """The files of the system and of the test, but for those of the application and of the daemon."""
    found: dict[str, tuple[int, ...]] = {}
    own = {str(directory / name) for name in ("theirs", "runtime")}
    for place in ("/", "/etc", str(directory)):
        for entry in os.scandir(place):
            if entry.path not in own and entry.path != "/tmp":
                status = entry.stat(follow_symlinks=False)
                size = 0 if entry.is_dir() else status.st_size
                found[entry.path] = (status.st_ino, status.st_mode, status.st_uid, status.st_gid, size)
    return found


def terms(pid: int) -> tuple[int, str, str]:
    """What the master would set of a worker, of any process."""
    limits = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in line]
    score = Path(f"/proc/{pid}/oom_score_adj").read_text()
    return os.getpriority(os.PRIO_PROCESS, pid), limits[0], score
