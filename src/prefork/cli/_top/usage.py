"""CPU time and memory of the processes on the screen, and of no others: 500 workers cost no more than a screenful."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic

from ..._linux.figures import process as figures
from .columns import Usage

_AT_A_TIME = 10
"""Processes whose memory is read per second: the kernel walks all their pages for it."""


class UsageReader:
    """Keeps what was last read of each process."""

    def __init__(self) -> None:
        self._cpu: dict[int, tuple[float, float]] = {}  # pid -> time of the reading, seconds of CPU time
        self._memory: dict[int, int | None] = {}  # the oldest reading first
        self._wanted: list[int] | None = []  # None: closed
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self, pids: Sequence[int]) -> dict[int, Usage]:
        """Return the usage of these processes; their CPU share is since the last call."""
        found, cpu, now = {}, {}, monotonic()
        for pid in pids:
            share, seconds, before = None, figures.cpu(pid), self._cpu.get(pid)
            if seconds is not None:
                cpu[pid] = now, seconds
                if before and now > before[0]:
                    share = max(0.0, 100 * (seconds - before[1]) / (now - before[0]))
            found[pid] = Usage(share, self._memory.get(pid))
        self._cpu = cpu
        self._read_memory(pids)
        return found

    def close(self) -> None:
        """End the thread."""
        self._wanted = None
        self._wake.set()

    def _read_memory(self, pids: Sequence[int]) -> None:
        """Read it in a thread: for a process that hangs in the kernel the read may block."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read_wanted, daemon=True)
            self._thread.start()
        self._wanted = list(pids)
        self._wake.set()

    def _read_wanted(self) -> None:
        while self._wake.wait():
            self._wake.clear()
            if (wanted := self._wanted) is None:
                return
            known = {pid: self._memory[pid] for pid in self._memory if pid in set(wanted)}
            due = [*(pid for pid in wanted if pid not in known), *known][:_AT_A_TIME]
            for pid in due:
                known.pop(pid, None)
                sizes = figures.memory(pid)
                known[pid] = sizes["private"] if sizes else None
            self._memory = known
