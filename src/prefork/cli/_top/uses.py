"""What /proc says of the processes on the screen, and of no others: 500 workers cost no more than a screen does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic

from .. import _processes
from .columns import Use

_AT_A_TIME = 10
"""Processes whose memory is read in a second: the kernel walks all their pages for it."""


class Uses:
    """Remembers what was read last of each process."""

    def __init__(self) -> None:
        self._cpu: dict[int, tuple[float, float]] = {}  # pid -> when, and seconds of processor time
        self._memory: dict[int, int | None] = {}  # the one that was read the longest ago first
        self._wanted: list[int] | None = []  # None: nobody looks any more
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self, pids: Sequence[int]) -> dict[int, Use]:
        """Return what these use; their share of a processor since the last time they were looked at."""
        found, cpu, now = {}, {}, monotonic()
        for pid in pids:
            share, seconds, before = None, _processes.cpu(pid), self._cpu.get(pid)
            if seconds is not None:
                cpu[pid] = now, seconds
                if before and now > before[0]:
                    share = max(0.0, 100 * (seconds - before[1]) / (now - before[0]))
            found[pid] = Use(share, self._memory.get(pid))
        self._cpu = cpu
        self._read_memory(pids)
        return found

    def close(self) -> None:
        """Let the thread end."""
        self._wanted = None
        self._wake.set()

    def _read_memory(self, pids: Sequence[int]) -> None:
        """Have it read in a thread: who reads of a process that hangs in the kernel may have to wait for it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read_on, daemon=True)
            self._thread.start()
        self._wanted = list(pids)
        self._wake.set()

    def _read_on(self) -> None:
        while self._wake.wait():
            self._wake.clear()
            if (wanted := self._wanted) is None:
                return
            known = {pid: self._memory[pid] for pid in self._memory if pid in set(wanted)}
            due = [*(pid for pid in wanted if pid not in known), *known][:_AT_A_TIME]
            for pid in due:
                known.pop(pid, None)
                sizes = _processes.memory(pid)
                known[pid] = sizes["private"] if sizes else None
            self._memory = known
