"""Output of molds and workers, read by the master and logged with its source."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ..._records.record import record
from ..._report.forms import Origin, Stream
from ..relay import Relay

_KEPT = 8 * 1024
"""Bytes of a process's last output that are kept."""

_FOR_ALL = 0o666
"""The mode of the pipes, for a process of another user: by name it opens its streams (/dev/stderr) as any file.

Only who may trace a process reaches its pipes by name.
"""

_DEAD = 64
"""Processes whose last lines are kept after their end."""


@record
class Ends:
    """Two pipes (standard output, standard error): the ends that the master reads, and those of the process."""

    read: tuple[int, int]
    write: tuple[int, int]


class Capture:
    """The output of all processes of one daemon."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._last: dict[int, bytes] = {}  # by pid
        self._dead: deque[int] = deque()

    @contextmanager
    def pipes(self) -> Iterator[Ends]:
        """Make the pipes of a process. The write ends are closed at the end, or all if this fails. Raises OSError."""
        made: list[int] = []
        try:
            for _ in range(2):
                made += os.pipe2(os.O_CLOEXEC)
                os.fchmod(made[-1], _FOR_ALL)
            yield Ends((made[0], made[2]), (made[1], made[3]))
        except BaseException:
            for descriptor in made[::2]:
                os.close(descriptor)
            raise
        finally:
            for descriptor in made[1::2]:
                os.close(descriptor)

    def listen(self, origin: Origin, ends: Ends) -> None:
        """Relay what this process writes; the read ends belong to the relay from now on."""
        if origin.pid in self._dead:
            self._dead.remove(origin.pid)
            del self._last[origin.pid]
        self._last.setdefault(origin.pid, b"")
        marks = partial(self._marked, origin, "stdout"), partial(self._marked, origin, "stderr")
        self._relay.add(origin.pid, *ends.read, marks)

    def ended(self, pid: int) -> None:
        """Note that a process has been reaped; its last output is kept until `_DEAD` others have ended."""
        if pid in self._last:
            self._dead.append(pid)
            if len(self._dead) > _DEAD:
                self._last.pop(self._dead.popleft(), None)

    def last_lines(self, pid: int) -> list[str]:
        """Return the last lines of a process, of both streams in order; none for an unknown pid."""
        return self._last.get(pid, b"").decode("utf-8", "backslashreplace").splitlines()

    def _marked(self, origin: Origin, stream: Stream, lines: bytes) -> bytes:
        if origin.pid in self._last:  # Else a process that it has left running writes.
            last = self._last[origin.pid] + lines[-_KEPT - 1 :]
            if len(last) > _KEPT:
                last = last[-_KEPT - 1 :].partition(b"\n")[2] or last[-_KEPT:]
            self._last[origin.pid] = last
        return self._relay.form.output(lines, origin, stream)
