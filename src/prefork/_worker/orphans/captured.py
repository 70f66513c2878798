"""The captured streams of a worker: where its output goes while there is no master that reads it."""

from __future__ import annotations

import fcntl
import os
import select
from dataclasses import dataclass, field


@dataclass(slots=True)
class Captured:
    """The captured streams of a worker: pipes that the master reads.

    The worker has the read ends, too, so that no write of its can fail because there is no reader. `instead`: the
    streams to use when there is no master.
    """

    readers: list[int]
    instead: list[int]
    own: list[int] = field(default_factory=list)
    """Copies of the ends for writing, while the other streams are in their place."""

    def release(self) -> None:
        """Put the other streams in the place of standard output and error, and copy there what the pipes still hold.

        The pipes stay open: the application may have given them to children.
        """
        self.own = [_copy(number) for number in (1, 2)]
        for number, (reader, other) in enumerate(zip(self.readers, self.instead, strict=True), 1):
            os.dup2(other if _is_intact(other) else _null(), number)
            os.set_blocking(reader, False)
        self.copy()

    def take_back(self) -> None:
        """Put the pipes in their place again, for a master that reads them."""
        for number, descriptor in enumerate(self.own, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        self.own = []

    def copy(self) -> None:
        """Copy what the pipes hold, without waiting for more, or for a stream that takes no more."""
        for number, reader in enumerate(self.readers, 1):
            try:
                while _takes_more(number) and (data := os.read(reader, select.PIPE_BUF)):
                    os.write(number, data)
            except OSError:
                pass  # EAGAIN: that is all. Otherwise the other stream has lost its reader, too.


def _is_intact(stream: int) -> bool:
    """Return whether a stream has a reader, or needs none."""
    return _state(stream, 0) == 0


def _takes_more(stream: int) -> bool:
    """Return whether PIPE_BUF bytes can be written without waiting."""
    return _state(stream, select.POLLOUT) == select.POLLOUT


def _state(stream: int, events: int) -> int:
    waiting = select.poll()
    waiting.register(stream, events)
    return sum(state for _, state in waiting.poll(0))


def _copy(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)


def _null() -> int:
    return os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
