"""Workers' output on its way to the master's streams, in whole lines.

Each worker writes into pipes of its own. The master writes on only when the reader has room (poll(2) says POLLOUT),
at most PIPE_BUF bytes at a time, which a pipe then takes whole. When the reader stalls, the workers' pipes are left
alone: they fill up and the workers wait, the master does not.
"""

from __future__ import annotations

import fcntl
import os
import select
import selectors
import stat
from collections.abc import Callable

from .._report.forms import Form, Text

_PIECE = select.PIPE_BUF
_FULL = 256 * 1024
"""With this many bytes waiting for the reader, the workers' pipes are no longer read."""
_MOST = 4 * 1024 * 1024
"""With this many waiting, more is lost: what the master says, and what those had written that die meanwhile."""

Mark = Callable[[bytes], bytes]
"""Makes of whole lines what is printed of them: who wrote them may stand before each."""


class Sink:
    """One stream of the master's, and what waits to be written to it."""

    def __init__(self, selector: selectors.BaseSelector, descriptor: int, lost_notice: Callable[[int], bytes]) -> None:
        self._selector = selector
        self._descriptor = descriptor
        self._lost_notice = lost_notice
        self._lost = 0  # lines
        self._poller = select.poll()
        self._poller.register(self._descriptor, select.POLLOUT)
        self._waiting = bytearray()
        self._registered = False
        self._was_full = False
        self.sources: set[Source] = set()

    @property
    def full(self) -> bool:
        """Whether the reader is so far behind that no more should be read for it."""
        return len(self._waiting) >= _FULL

    @property
    def idle(self) -> bool:
        """Whether everything has been written."""
        return not self._waiting

    def write(self, lines: bytes) -> None:
        """Write whole lines, now or when the reader has room."""
        if len(self._waiting) > _MOST:
            self._lost += lines.count(b"\n")
            return
        self._waiting += lines
        self._advance()

    def exchange(self, descriptor: int) -> None:
        """Write to another open file from now on; what still waits is written there."""
        if self._registered:
            self._selector.unregister(self._descriptor)
            self._registered = False
        self._poller.unregister(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._poller.register(descriptor, select.POLLOUT)
        self._advance()

    def close(self) -> None:
        """Give up what is left."""
        self._lost = 0
        self._waiting.clear()
        self._advance()
        os.close(self._descriptor)

    def _advance(self) -> None:
        try:
            while self._waiting and self._poller.poll(0):
                del self._waiting[: os.write(self._descriptor, self._waiting[:_PIECE])]
        except BlockingIOError:
            pass  # Another writer of the same pipe was faster; POLLOUT will come again.
        except OSError:
            # The reader is gone (EPIPE, EIO for a terminal) or the disk is full: output is lost, the daemon is not.
            self._waiting.clear()
        if self._lost and not self.full:
            self._waiting += self._lost_notice(self._lost)
            self._lost = 0
        if bool(self._waiting) != self._registered:
            self._registered = not self._registered
            if self._registered:
                self._selector.register(self._descriptor, selectors.EVENT_WRITE, self._advance)
            else:
                self._selector.unregister(self._descriptor)
        if self.full != self._was_full:
            self._was_full = self.full
            for source in self.sources:
                source.pause(self.full)


class Source:
    """The read end of a pipe that one worker writes to."""

    def __init__(self, selector: selectors.BaseSelector, descriptor: int, sink: Sink, mark: Mark | None) -> None:
        self._selector = selector
        self._descriptor = descriptor
        self._sink = sink
        self._mark = mark
        self._lines = LineBuffer()
        self._reading = False
        os.set_blocking(descriptor, False)
        sink.sources.add(self)
        self.pause(sink.full)

    def pause(self, paused: bool) -> None:
        """Stop, or go on, reading."""
        if paused == self._reading:
            self._reading = not paused
            if self._reading:
                self._selector.register(self._descriptor, selectors.EVENT_READ, self._readable)
            else:
                self._selector.unregister(self._descriptor)

    def drain(self) -> None:
        """The writer has died: take what it left, a last line without its newline too.

        No more than the pipe holds: what a process that it started goes on writing is read as it comes, or this might
        never end.
        """
        left = fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ) if self in self._sink.sources else 0
        while left > 0 and (count := self._read()):
            left -= count
        self._take(self._lines.flush())

    def close(self) -> None:
        """Stop reading for good."""
        self.pause(True)
        if self in self._sink.sources:
            self._sink.sources.remove(self)
            os.close(self._descriptor)

    def _readable(self) -> None:
        if not self._sink.full:  # It may have filled up since this turn of the loop began.
            self._read()

    def _read(self) -> int:
        """Read once; return how many bytes came."""
        if self not in self._sink.sources:
            return 0
        try:
            data = os.read(self._descriptor, 64 * 1024)
        except BlockingIOError:
            return 0
        self._take(self._lines.feed(data) if data else self._lines.flush())
        if not data:
            self.close()
        return len(data)

    def _take(self, lines: bytes) -> None:
        if lines:
            self._sink.write(self._mark(lines) if self._mark else lines)


class Relay:
    """All of it: two sinks (one, when both streams are the same file) and two sources a worker."""

    def __init__(self, selector: selectors.BaseSelector, form: Form | None = None) -> None:
        self._selector = selector
        self.form = form or Text()
        """How the master's own lines are written."""
        self._out = self._sink(_twin(1))
        self._err = self._out if os.path.samestat(os.fstat(1), os.fstat(2)) else self._sink(_twin(2))
        self._sources: dict[int, list[Source]] = {}

    def divert(self, descriptor: int) -> None:
        """Write both streams to this open file, ours from now on, and no more to where they went. What waits moves."""
        self._err.exchange(descriptor)
        if self._out is not self._err:
            self._out.close()
            self._out = self._err

    def add(self, pid: int, out: int, err: int, marks: tuple[Mark | None, Mark | None] = (None, None)) -> None:
        """Relay what worker `pid` writes; `out` and `err` are the read ends of its pipes, ours from now on."""
        self._sources[pid] = [
            Source(self._selector, out, self._out, marks[0]),
            Source(self._selector, err, self._err, marks[1]),
        ]

    def ended(self, pid: int) -> None:
        """Worker `pid` has died: relay its last words now, so that they come before what is said of its death."""
        for source in self._sources.pop(pid, ()):
            source.drain()

    def log(self, text: str) -> None:
        """Write a text of the master's own to its standard error, on lines of its own."""
        self._err.write(self.form.message(text.rstrip("\n")))

    def write(self, lines: bytes) -> None:
        """Write whole lines of the master's own that have their form already."""
        self._err.write(lines)

    @property
    def idle(self) -> bool:
        """Whether everything has been written."""
        return self._out.idle and self._err.idle

    def close(self) -> None:
        """Stop relaying; what the reader did not take is lost."""
        for sink in {self._out, self._err}:
            for source in tuple(sink.sources):
                source.close()
            sink.close()

    def _sink(self, descriptor: int) -> Sink:
        return Sink(self._selector, descriptor, self._lost_notice)

    def _lost_notice(self, lost: int) -> bytes:
        return self.form.message(f"log: {lost} lines lost: the reader was too slow")


def _twin(descriptor: int) -> int:
    """Return a descriptor of the same pipe or terminal that is non-blocking, leaving the original as it is.

    The flag belongs to the open file, which others hold too (a shell, `tee`), so it is set on an open file of our own.
    Sockets cannot be opened again and files must not be (a new one would write from the start): both are written in
    pieces after POLLOUT, which is enough for them.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or os.isatty(descriptor):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return os.open(f"/proc/self/fd/{descriptor}", flags)
        except OSError:
            pass  # Another user's pipe, or no /proc: pieces after POLLOUT will do.
    return os.dup(descriptor)


LONGEST = 64 * 1024
"""A line longer than this many bytes is broken: one worker may not hold back, or fill, the master's memory."""


class LineBuffer:
    """Collects what one worker writes and gives it back line by line."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take in `data`; return all lines that are now complete (each with its newline), as one piece."""
        self._rest += data
        end = self._rest.rfind(b"\n") + 1
        lines = bytes(self._rest[:end])
        del self._rest[:end]
        if end > LONGEST:
            lines = _broken(lines)
        while len(self._rest) > LONGEST:
            lines += bytes(self._rest[:LONGEST]) + b"\n"
            del self._rest[:LONGEST]
        return lines

    def flush(self) -> bytes:
        """Return what is left, ended by a newline so that the next writer's line starts on its own."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest + b"\n" if rest else b""


def _broken(lines: bytes) -> bytes:
    broken = bytearray()
    for line in lines[:-1].split(b"\n"):
        for start in range(0, max(len(line), 1), LONGEST):
            broken += line[start : start + LONGEST] + b"\n"
    return bytes(broken)
