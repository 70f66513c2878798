"""Whole lines out of a stream of bytes, so that what many workers write at once is never mixed."""

from __future__ import annotations

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
