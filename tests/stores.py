"""A service manager's descriptor store, as systemd keeps one: descriptors by name, passed to the next start."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from support import Start, children, gone, state, until
from system.daemons import Served

_MOST = 64

_START = """
import fcntl, os, sys
numbers = [int(each) for each in sys.argv[1].split(",") if each]
high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 300) for number in numbers]
for number in numbers:
    os.set_inheritable(number, False)
for place, number in enumerate(high, 3):
    os.dup2(number, place)
os.environ["MAINPID"] = str(os.getpid())
if numbers:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class DescriptorStore:
    """The manager's end of its socket: it stores, removes and closes as the messages say (sd_notify(3))."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self.held: list[tuple[str, int]] = []
        """The names, and descriptors of this process, in the order in which they came."""
        self.came: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.held]

    def of(self, what: str) -> list[int]:
        """Return the descriptors of one kind."""
        return [number for name, number in list(self.held) if name.startswith(f"prefork-stored-{what}-")]

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.connect(self.path)
            last.send(b"END=1")
        self._thread.join()
        self._socket.close()
        for _, number in self.held:
            os.close(number)

    def _serve(self) -> None:
        while True:
            data, numbers, _, _ = socket.recv_fds(self._socket, 65536, _MOST)
            lines = dict(line.split("=", 1) for line in data.decode().split("\n"))
            self.came += lines
            if lines.get("FDSTORE"):
                assert lines["FDPOLL"] == "0", "or it would be removed when its other end closes"
                for number in numbers:
                    self._add(lines["FDNAME"], number)
                continue
            for number in numbers:  # As of a barrier.
                os.close(number)
            if lines.get("FDSTOREREMOVE"):
                gone = [each for each in self.held if each[0] == lines["FDNAME"]]
                self.held = [each for each in self.held if each not in gone]
                for _, number in gone:
                    os.close(number)
            elif "END" in lines:
                return

    def _add(self, name: str, number: int) -> None:
        if any(os.path.sameopenfile(number, each) for _, each in self.held):
            os.close(number)
        else:
            self.held.append((name, number))


class Stored(Served):
    """A daemon whose manager has a store of `most` descriptors."""

    store: DescriptorStore
    most = 128

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "NOTIFY_SOCKET": self.store.path, "FDSTORE": str(self.most)}

    def launch(self, *command: str | Path) -> Stored:
        """Start it with all that is held, as systemd does."""
        held = list(self.store.held)
        names, numbers = ":".join(name for name, _ in held), ",".join(str(number) for _, number in held)
        program = command or (sys.executable, "program.py")
        self.running = self.start.command(
            sys.executable, "-c", _START, numbers, names, *program,
            env=self.environment, pass_fds=[number for _, number in held],
        )  # fmt: skip
        return self

    def kill_group(self) -> None:
        """Kill the master with all its processes, as the manager kills a control group."""

        pids = list(_stopped(self.running.pid))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert all(gone(pid) for pid in pids)
        self.running.wait()


def _stopped(pid: int) -> Iterator[int]:
    """Stop a process and all that come from it, so that none makes another one; yield the pids, parents first."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) in "TZX", "a process that has stopped")
    yield pid
    for child in children(pid):
        yield from _stopped(child)


def stored(start: Start, name: str, source: str | None = None, **parts: str) -> Stored:
    """Return such a daemon; it is not started."""
    daemon = Stored(start, name, source, **parts)
    daemon.store = DescriptorStore(start.directory / "notify")
    start.keep.callback(daemon.store.close)
    return daemon
