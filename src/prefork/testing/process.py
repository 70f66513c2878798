"""The processes of a server in a test: its start, the wait until it is ready, and its end."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import count
from time import monotonic

from .._errors import UsageError
from .command import environment
from .failures import DeadlineError, StartFailedError
from .log import Log

_GUARD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guard.py")
_BACKLOG = 2048
_numbers = count(1)


def fresh_name() -> str:
    """Return the name of a daemon that no other process of tests has: one name and program may run only once."""
    return f"test-{os.getpid()}-{next(_numbers)}"


class Process:
    """The guard, and below it the daemon, in a directory of their own."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="prefork-test-")
        self.runtime = os.path.join(self.directory, "runtime")
        self.log = Log(os.path.join(self.directory, "log"))
        self.sockets: dict[str, socket.socket] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind("")  # The kernel chooses an abstract name: the path of a directory may be too long for one.

    def bind(self, listeners: Mapping[str, str]) -> None:
        """Open the listeners: names, and what each is (tcp, udp, unix). Raises UsageError."""
        for name, kind in listeners.items():
            self.sockets[name] = self._bound(name, kind)

    def empty_config(self) -> str:
        """Return the path of a file without options: that of the current directory is not for tests."""
        path = os.path.join(self.directory, "prefork.toml")
        with open(path, "w"):
            pass
        return path

    def start(self, command: Sequence[str], variables: Mapping[str, str], grace: float) -> None:
        """Start the daemon; it gets `grace` seconds to end when it is let go of."""
        descriptors = [each.fileno() for each in self.sockets.values()]
        own = {
            "RUNTIME_DIRECTORY": self.runtime,
            "NOTIFY_SOCKET": "@" + self._notices.getsockname()[1:].decode(),
            "LISTEN_FDS": str(len(descriptors)),
            "LISTEN_FDNAMES": ":".join(self.sockets),
        }
        whose = {"parent": os.getpid(), "directory": self.directory}
        order = json.dumps({"command": command, "sockets": descriptors, "grace": grace, **whose})
        log = self.log.open()
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", _GUARD, order],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
                env=environment({**variables, **own}),
                start_new_session=True,
            )
        finally:
            os.close(log)

    def wait_until_ready(self, timeout: float) -> None:
        """Wait for the daemon's own message. Raises StartFailedError, with its log; DeadlineError."""
        assert self._guard is not None
        guard, deadline = os.pidfd_open(self._guard.pid), monotonic() + timeout
        try:
            waiting = select.poll()
            waiting.register(guard, select.POLLIN)
            waiting.register(self._notices, select.POLLIN)
            while found := waiting.poll(max(0.0, deadline - monotonic()) * 1000):
                ready = [descriptor for descriptor, _ in found]
                if self._notices.fileno() in ready and b"READY=1" in self._notices.recv(65536).split(b"\n"):
                    return
                if guard in ready:
                    raise StartFailedError(f"the server could not start:\n{self.log.failure()}")
        finally:
            os.close(guard)
        raise DeadlineError(f"the server was not ready after {timeout:g} s; its log:\n{self.log.failure()}")

    def ended(self) -> int | None:
        """Return the exit status of the daemon; None while it runs."""
        return None if self._guard is None else self._guard.poll()

    def let_go(self, timeout: float) -> None:
        """End the daemon, and everything that it has started. Raises DeadlineError."""
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self.wait(timeout)

    def wait(self, timeout: float) -> int:
        """Wait until nothing of the daemon is left; return its exit status. Raises DeadlineError."""
        assert self._guard is not None
        try:
            return self._guard.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DeadlineError(f"the server has not ended after {timeout:g} s; its log:\n{self.log.end()}") from None

    def close(self) -> None:
        """Close the listeners and remove the directory."""
        for each in self.sockets.values():
            each.close()
        self._notices.close()
        self.log.keep()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _bound(self, name: str, kind: str) -> socket.socket:
        """Return a socket that listens: bound here, so that no other process can get its port."""
        family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        try:
            if kind not in ("tcp", "udp", "unix"):
                raise UsageError(f"the listener {name} is {kind!r}: give tcp, udp or unix")
            if kind == "unix":
                made.bind(os.path.join(self.directory, f"{name}.sock"))
            else:
                made.bind(("127.0.0.1", 0))
            if kind != "udp":
                made.listen(_BACKLOG)
        except BaseException:
            made.close()
            raise
        return made
