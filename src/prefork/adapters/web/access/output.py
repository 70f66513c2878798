"""Where the lines of the access log go: a file, opened by its path, or the worker's standard output."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections import deque
from collections.abc import Callable
from functools import partial

from ...._errors import SystemFailure

STANDARD_OUTPUT = "-"

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_MODE = 0o640


def opened(path: str) -> int:
    """Return a descriptor that appends to a file. Raises SystemFailure with the reason."""
    try:
        return os.open(path, _FLAGS, _MODE)
    except OSError as error:
        raise SystemFailure(
            f"cannot open the access log {path} for writing as uid {os.geteuid()}: {error.strerror}"
        ) from None


class Output:
    """What takes the lines of one worker, in one write each time, without waiting.

    A regular file takes all at once (O_APPEND: lines of other workers come before or after). A pipe keeps together no
    more than PIPE_BUF bytes, so that is the most that goes into a write, and into a line (`most`). Not thread-safe.
    """

    def __init__(self, path: str, turn: Callable[[], int], lost: Callable[[int, OSError], None]) -> None:
        """`turn` returns another number once the file is to be opened again; `lost` is called with lost lines."""
        self._path = path
        self._turn = turn
        self._lost = lost
        self._seen = turn()
        self._write: Callable[[bytes], int]
        self._torn = False  # whether the file ends in a part of a line
        self.descriptor = _standard_output() if path == STANDARD_OUTPUT else opened(path)
        mode = os.fstat(self.descriptor).st_mode
        self._is_file = stat.S_ISREG(mode)
        self.most = None if self._is_file else select.PIPE_BUF
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=self.descriptor)
            self._write = partial(self._send, self._socket)
        else:
            self._write = partial(os.write, self.descriptor)

    @property
    def must_reopen(self) -> bool:
        """Whether the file is to be opened again: USR1 has come."""
        return self._seen != self._turn() and self._path != STANDARD_OUTPUT

    def reopen(self) -> None:
        """Open the file by its path again. Raises SystemFailure; the open one stays then."""
        self._seen = self._turn()
        again = opened(self._path)
        os.dup2(again, self.descriptor, inheritable=False)
        os.close(again)

    def write(self, lines: deque[bytes]) -> bool:
        """Take the lines out of the queue and write them; return whether all are gone, else there is no room now."""
        return self._append(lines) if self._is_file else self._stream(lines)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for room, for any time or some seconds; return whether there is some."""
        room = select.poll()
        room.register(self.descriptor, select.POLLOUT)
        return bool(room.poll(None if seconds is None else int(seconds * 1000)))

    def _append(self, lines: deque[bytes]) -> bool:
        batch = [lines.popleft() for _ in range(len(lines))]  # Another thread may add some meanwhile.
        data = b"\n" * self._torn + b"".join(batch)
        while data:
            try:
                written = self._write(data)  # Less than all: the disk is full, and the next write says so.
            except OSError as error:
                self._lost(data.lstrip(b"\n").count(b"\n"), error)
                break
            self._torn = data[written - 1 : written] != b"\n"
            data = data[written:]
        return True

    def _stream(self, lines: deque[bytes]) -> bool:
        while lines:
            batch, size = [], 0
            while lines and size + len(lines[0]) <= select.PIPE_BUF:
                batch.append(lines.popleft())
                size += len(batch[-1])
            data = b"".join(batch)
            try:
                written = self._write(data) if self.wait(0) else 0
            except BlockingIOError:
                written = 0
            except OSError as error:
                self._lost(len(batch), error)
                continue
            if written < size:  # A terminal takes a part.
                lines.appendleft(data[written:])
                return False
        return True

    @staticmethod
    def _send(sock: socket.socket, data: bytes) -> int:
        return sock.send(data, socket.MSG_DONTWAIT)


def _standard_output() -> int:
    """Return a descriptor of our own: writing to a pipe or a terminal by it never waits.

    A file stays as it is, since all who have it share the place where the next one writes; a socket cannot be opened,
    and is asked not to wait each time; and another user's pipe waits only if others write to it at the same moment.
    """
    if not stat.S_ISREG(os.fstat(1).st_mode):
        try:
            return os.open("/proc/self/fd/1", _FLAGS & ~os.O_CREAT)
        except OSError:
            pass
    return os.dup(1)
