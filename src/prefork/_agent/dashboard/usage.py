"""Processor time and memory of the workers, as the page shows them."""

from __future__ import annotations

from collections.abc import Collection
from time import monotonic

from ..._linux.figures import process
from ..source import Usage

BUDGET = 0.05
"""Seconds a reading that may be spent on memory: the kernel walks all pages of a process for it."""


class UsageReader:
    """Reads the processor time of all processes each time, and the memory of as many as the budget allows, in turn."""

    def __init__(self) -> None:
        self._memory: dict[int, dict[str, int]] = {}  # by pid, the oldest reading first

    def read(self, pids: Collection[int]) -> dict[int, Usage]:
        """Return the usage of these processes."""
        known = {pid: sizes for pid, sizes in self._memory.items() if pid in set(pids)}
        end = monotonic() + BUDGET
        for pid in [*(pid for pid in pids if pid not in known), *known]:
            known.pop(pid, None)
            if (sizes := process.memory(pid)) is not None:
                known[pid] = sizes
            if monotonic() > end:
                break
        self._memory = known
        return {pid: self._usage(pid) for pid in pids}

    def _usage(self, pid: int) -> Usage:
        sizes = self._memory.get(pid, {})
        return Usage(process.cpu(pid), sizes.get("private"), sizes.get("shared"))
