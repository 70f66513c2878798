"""Which threads of another process have a processor, by the kernel's figures."""

from __future__ import annotations

import os

from ..._records.record import record

_AT_ONCE = 50_000
"""Nanoseconds: a thread that waited no longer for a processor, had one almost as soon as it could run."""


@record
class Figures:
    """Nanoseconds that a thread ran and that it waited for a processor, and how often it got one (sched-stats)."""

    ran: int
    waited: int
    turns: int

    def ran_until(self, now: Figures | None, ours: int = 0) -> bool | None:
        """Return whether the thread had a processor at the time of these figures; None if that is not known yet.

        The kernel counts the time of a thread that runs at each tick and where it stops, so that these figures change
        within moments. `now`: later figures; None if the thread has ended. `ours`: nanoseconds for which this process
        may have had the thread's processor, which the thread would have had else.
        """
        if now is None or now.turns == 0:
            return True  # It has just ended, or this kernel counts nothing.
        if now.turns == self.turns:
            return True if now.ran > self.ran else None
        # It got a processor since: it had waited for one, unless it stopped and began again in between.
        return now.waited - self.waited < _AT_ONCE + ours


class Threads:
    """The threads of one process, by its folder in /proc: of this process, whatever its number is given to later."""

    def __init__(self, pid: int) -> None:
        self._place = os.open(f"/proc/{pid}/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def that_could_run(self) -> dict[int, Figures] | None:
        """Return the threads that run or wait for a processor, with their figures; None if the process has ended."""
        try:
            tids = list(map(int, os.listdir(self._place)))
        except OSError:
            return None
        found = {tid: self.figures(tid) for tid in tids if self._read(tid, "stat").rpartition(") ")[2][:1] == "R"}
        return {tid: figures for tid, figures in found.items() if figures is not None} if tids else None

    def figures(self, tid: int) -> Figures | None:
        """Return the figures of a thread; None if it has ended."""
        parts = self._read(tid, "schedstat").split()
        return Figures(*map(int, parts)) if len(parts) == 3 else None

    def _read(self, tid: int, what: str) -> str:
        try:
            descriptor = os.open(f"{tid}/{what}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._place)
        except OSError:
            return ""
        try:
            return os.read(descriptor, 4096).decode(errors="replace")
        except OSError:
            return ""
        finally:
            os.close(descriptor)
