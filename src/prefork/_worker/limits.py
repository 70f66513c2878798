"""When a worker has done enough: so many requests, or so much memory. Its age the master watches by itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic

MEMORY_LOOK = 1.0
"""How often, in seconds, a worker looks at its own memory at most, and only when a request has ended."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Limits:
    """The limits of one worker. `report` asks for a successor, with the reason; until it comes, the worker serves on.

    A worker that is not replaced, since its successor does not start, asks again: after as many requests, or at the
    next look at its memory.
    """

    def __init__(self, requests: int, jitter: int, memory: int, report: Callable[[str], None]) -> None:
        """`requests`: how many (0: no limit), plus up to `jitter`; `memory`: bytes of resident memory (0: no limit)."""
        # So that workers which began together do not all end together. Not the random module, which few need.
        self._step = requests + int.from_bytes(os.urandom(4)) % (jitter + 1)
        self._requests = self._step if requests else 0
        self._memory = memory
        self._next_look = 0.0
        self._report = report

    def after(self, requests: int) -> None:
        """So many requests have been done in all: see whether that is enough."""
        if self._requests and requests >= self._requests:
            self._requests = requests + self._step
            self._report(f"{requests} requests")
        if self._memory and monotonic() >= self._next_look:
            self._next_look = monotonic() + MEMORY_LOOK
            used = resident()
            if used > self._memory:
                self._report(f"{used >> 20} MB of memory")


def resident() -> int:
    """How many bytes of this process are in memory, those that it shares included (proc(5), statm)."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * _PAGE
