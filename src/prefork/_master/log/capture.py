"""Output of molds and workers, read by the master and logged with its source."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ..._report.forms import Origin, Stream
from ..relay import Relay

_KEPT = 8 * 1024
"""Bytes that are kept of what one process wrote last."""

_DEAD = 64
"""Processes whose last lines are kept after their end."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Of two pipes, what the master reads and what a process writes to: standard output, standard error."""

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
        """Make the pipes of a process. What it writes to is closed here at the end, and all if this fails.

        Raises OSError where there is no descriptor left.
        """
        made: list[int] = []
        try:
            made += os.pipe2(os.O_CLOEXEC)
            made += os.pipe2(os.O_CLOEXEC)
            yield Ends((made[0], made[2]), (made[1], made[3]))
        except BaseException:
            for descriptor in made[::2]:
                os.close(descriptor)
            raise
        finally:
            for descriptor in made[1::2]:
                os.close(descriptor)

    def listen(self, origin: Origin, ends: Ends) -> None:
        """Print what this process writes; the ends that are read are ours from now on."""
        if origin.pid in self._dead:
            self._dead.remove(origin.pid)
        self._last[origin.pid] = b""
        marks = partial(self._marked, origin, "stdout"), partial(self._marked, origin, "stderr")
        self._relay.add(origin.pid, *ends.read, marks)

    def ended(self, pid: int) -> None:
        """A process has been reaped; what it wrote last is kept until more than a few others have ended."""
        if pid in self._last:
            self._dead.append(pid)
            if len(self._dead) > _DEAD:
                self._last.pop(self._dead.popleft(), None)

    def last_lines(self, pid: int) -> list[str]:
        """Return what a process wrote last, on both streams, in the order in which it came; nothing of a stranger."""
        return self._last.get(pid, b"").decode("utf-8", "backslashreplace").splitlines()

    def _marked(self, origin: Origin, stream: Stream, lines: bytes) -> bytes:
        if origin.pid in self._last:  # Else what it has left running writes on.
            last = self._last[origin.pid] + lines[-_KEPT - 1 :]
            if len(last) > _KEPT:
                last = last[-_KEPT - 1 :].partition(b"\n")[2] or last[-_KEPT:]
            self._last[origin.pid] = last
        return self._relay.form.output(lines, origin, stream)
