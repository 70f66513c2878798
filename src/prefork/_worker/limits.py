"""The limits of one worker: how many requests it may handle, and how much private memory it may have."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic

MEMORY_CHECK = 1.0
"""Seconds between two checks of a worker's memory, at least; it checks only when a request has ended."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Limits:
    """The limits of one worker, which asks for its replacement when it reaches one, and serves on meanwhile.

    A worker that is not replaced, because its successor does not start, asks again: after as many requests, or at the
    next check of its memory.
    """

    def __init__(self, requests: int, jitter: int, memory: int, request_replacement: Callable[[str], None]) -> None:
        """Each worker draws up to `jitter` requests more; `memory` is private memory in bytes. 0 is no limit.

        `request_replacement` takes the reason.
        """
        # So that workers which began together do not all end together. Not the random module, which few need.
        self._step = requests + int.from_bytes(os.urandom(4)) % (jitter + 1)
        self._requests = self._step if requests else 0
        self._memory = memory
        self._next_check = 0.0
        self._request_replacement = request_replacement

    def after(self, requests: int) -> None:
        """Compare what the worker has done, `requests` in all, with its limits."""
        if self._requests and requests >= self._requests:
            self._requests = requests + self._step
            self._request_replacement(f"{requests} requests")
        if self._memory and monotonic() >= self._next_check:
            begun = monotonic()
            # The exact number takes a walk over all pages: only where its upper bound is above the limit.
            if resident() > self._memory and (used := private()) > self._memory:
                self._request_replacement(f"{used >> 20} MB of memory")
            # Which takes a while where the mold is large: then less often, a hundredth of the time at most.
            self._next_check = monotonic() + max(MEMORY_CHECK, 100 * (monotonic() - begun))


def resident() -> int:
    """Return this process's resident memory in bytes, shared pages included (proc(5), statm)."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * _PAGE


def private() -> int:
    """Return this process's private memory in bytes: pages that no other process shares (proc(5), smaps_rollup).

    Where the kernel has no such file, resident memory.
    """
    try:
        with open("/proc/self/smaps_rollup", "rb", buffering=0) as file:
            lines = [line.split() for line in file.read().splitlines()]
    except OSError:
        return resident()
    return sum(int(line[1]) << 10 for line in lines if line[0] in (b"Private_Clean:", b"Private_Dirty:"))
