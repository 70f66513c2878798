"""Workers' output on its way to the master's streams, in whole lines.

Each worker writes into pipes of its own. The master writes only when the reader has room (POLLOUT), at most PIPE_BUF
bytes at a time, which a pipe then takes whole. When the reader stalls, the master stops reading the workers' pipes:
they fill up and the workers block, the master does not.
"""

from __future__ import annotations

import fcntl
import os
import select
import selectors
import stat
from collections.abc import Callable

from .._report.forms import Form, Text
from .._wire.printable import printable_lines

_PIECE = select.PIPE_BUF
_FULL = 256 * 1024
"""Bytes waiting for the reader from which the workers' pipes are no longer read."""
_MOST = 4 * 1024 * 1024
"""Bytes waiting from which more is lost: lines of the master, and the last output of workers that have ended."""

Mark = Callable[[bytes], bytes]
"""Returns whole lines in the log's form, with their source."""


class Sink:
    """One stream of the master, and what waits to be written to it."""

    def __init__(self, selector: selectors.BaseSelector, descriptor: int, lost_notice: Callable[[int], bytes]) -> None:
        self._selector = selector
        self._descriptor = descriptor
        self._lost_notice = lost_notice
        self._lost = 0  # lines
        self._announced = 0  # lines that were lost, by a notice that is not written yet
        self._poller = select.poll()
        self._poller.register(self._descriptor, select.POLLOUT)
        self._waiting = bytearray()
        self._registered = False
        self._was_full = False
        self.sources: set[Source] = set()

    @property
    def full(self) -> bool:
        """Whether the reader is too far behind to read more from workers."""
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
        if self._lost and not self._waiting:  # The file took nothing: first, how much was lost meanwhile.
            self._announce()
        self._waiting += lines
        self._advance()

    def exchange(self, descriptor: int) -> None:
        """Write to another open file from now on, also what still waits."""
        if self._registered:
            self._selector.unregister(self._descriptor)
            self._registered = False
        self._poller.unregister(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._poller.register(descriptor, select.POLLOUT)
        self._advance()

    def close(self) -> None:
        """Discard what is left."""
        self._lost = 0
        self._waiting.clear()
        self._advance()
        os.close(self._descriptor)

    def _announce(self) -> None:
        self._waiting += self._lost_notice(self._lost)
        self._announced, self._lost = self._announced + self._lost, 0

    def _push(self) -> None:
        while self._waiting and self._poller.poll(0):
            del self._waiting[: os.write(self._descriptor, self._waiting[:_PIECE])]

    def _advance(self) -> None:
        try:
            self._push()
            if self._lost and not self.full:
                self._announce()
                self._push()
        except BlockingIOError:
            pass  # Another process filled the pipe first; POLLOUT will come again.
        except OSError:
            # The reader is gone (EPIPE, EIO for a terminal) or the disk is full: output is lost, the daemon is not.
            self._lost += self._waiting.count(b"\n") - bool(self._announced) + self._announced
            self._announced = 0
            self._waiting.clear()
        if not self._waiting:
            self._announced = 0
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
        """Stop reading, or continue."""
        if paused == self._reading:
            self._reading = not paused
            if self._reading:
                self._selector.register(self._descriptor, selectors.EVENT_READ, self._readable)
            else:
                self._selector.unregister(self._descriptor)

    def drain(self) -> None:
        """Read what a writer that has died left, including a last line without its newline.

        No more than the pipe holds: a process that it started may still write, and this might never end.
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
        if not self._sink.full:  # It may have filled up in this turn of the loop.
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
    """The relay of a daemon: two sinks (one if both streams are the same file) and two sources per worker."""

    def __init__(self, selector: selectors.BaseSelector, form: Form | None = None) -> None:
        self._selector = selector
        self.form = form or Text()
        """How the master's own lines are written."""
        self._out = self._sink(_twin(1))
        self._err = self._out if os.path.samestat(os.fstat(1), os.fstat(2)) else self._sink(_twin(2))
        self._sources: dict[int, list[Source]] = {}

    def divert(self, descriptor: int) -> None:
        """Write both streams, also what waits, to this open file instead; the relay closes it."""
        self._err.exchange(descriptor)
        if self._out is not self._err:
            self._out.close()
            self._out = self._err

    def add(self, pid: int, out: int, err: int, marks: tuple[Mark | None, Mark | None] = (None, None)) -> None:
        """Relay what worker `pid` writes; `out` and `err` are the read ends of its pipes, which the relay closes."""
        # A worker with its own interpreter has pipes from its start, and others from its order on.
        self._sources.setdefault(pid, []).extend(
            (Source(self._selector, out, self._out, marks[0]), Source(self._selector, err, self._err, marks[1]))
        )

    def ended(self, pid: int) -> None:
        """Relay the last output of a worker that has died, so that it comes before the line about its end."""
        for source in self._sources.pop(pid, ()):
            source.drain()

    def log(self, text: str) -> None:
        """Log a message of the master, made printable."""
        self._err.write(self.form.message(printable_lines(text.rstrip("\n"))))

    def write(self, lines: bytes) -> None:
        """Log whole lines that have their form already."""
        self._err.write(lines)

    @property
    def idle(self) -> bool:
        """Whether everything has been written."""
        return self._out.idle and self._err.idle

    def close(self) -> None:
        """Stop relaying; what the reader has not read is lost."""
        for sink in {self._out, self._err}:
            for source in tuple(sink.sources):
                source.close()
            sink.close()

    def _sink(self, descriptor: int) -> Sink:
        return Sink(self._selector, descriptor, self._lost_notice)

    def _lost_notice(self, lost: int) -> bytes:
        return self.form.message(f"log: {lost} lines lost: the reader was too slow, or the disk full")


def _twin(descriptor: int) -> int:
    """Return a non-blocking descriptor of the same pipe or terminal; the original stays as it is.

    The flag belongs to the open file, which other processes share (a shell, `tee`), so the file is opened again.
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
"""Bytes from which a line is broken: no worker may fill the master's memory."""


class LineBuffer:
    """Collects what one worker writes, and returns it in whole lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Add `data`; return all lines that are now complete, each with its newline."""
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
        """Return what is left, with a newline."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest + b"\n" if rest else b""


def _broken(lines: bytes) -> bytes:
    broken = bytearray()
    for line in lines[:-1].split(b"\n"):
        for start in range(0, max(len(line), 1), LONGEST):
            broken += line[start : start + LONGEST] + b"\n"
    return bytes(broken)
