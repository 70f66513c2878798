"""Which threads of another process have a processor, by the kernel's figures.

A thread that could run may also wait for a processor, and where it waits is not where it works: a kernel that preempts
late does so in system calls, and a thread that has just woken another one often waits for it. So only a thread that is
on a processor counts. The kernel does not show that as such. But it counts how often a thread got a processor
(`schedstat`, sched-stats) and how often one left it (`status`, proc_pid_status(5)): there is one more of the first
while the thread is on a processor, and the same number while it is not.
"""

from __future__ import annotations

import os
import re

from ..._records.record import record

_AT_ONCE = 50_000
"""Nanoseconds: a thread that waited no longer for a processor, had one almost as soon as it could run."""

_STATE = re.compile(r"^State:\t(.)", re.MULTILINE)
_LEFT = re.compile(r"^voluntary_ctxt_switches:\t(\d+)\nnonvoluntary_ctxt_switches:\t(\d+)$", re.MULTILINE)


@record
class Figures:
    """Nanoseconds that a thread ran and that it waited for a processor, and how often it got one (sched-stats)."""

    ran: int
    waited: int
    turns: int

    def ran_until(self, now: Figures | None, ours: int = 0) -> bool | None:
        """Return whether the thread had a processor at the time of these figures; None if that is not known yet.

        For a reader that has the only processor itself. The kernel counts the time of a thread that runs at each tick
        and where it stops, so that these figures change within moments. `now`: later figures; None if the thread has
        ended. `ours`: nanoseconds for which this process may have had the processor, which the thread would have had
        else.
        """
        if now is None or now.turns == 0:
            return True  # It has just ended, or this kernel counts nothing.
        if now.turns == self.turns:
            return True if now.ran > self.ran else None
        # It got a processor since: it had waited for one, unless it stopped and began again in between.
        return now.waited - self.waited < _AT_ONCE + ours


@record
class Standing:
    """Where a thread stands: it could run, or it has a processor; `figures`: None on a kernel that counts nothing."""

    could_run: bool
    runs: bool
    figures: Figures | None


class Threads:
    """The threads of one process, by its folder in /proc: of this process, whatever its number is given to later."""

    def __init__(self, pid: int) -> None:
        self._place = os.open(f"/proc/{pid}/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def that_could_run(self) -> dict[int, Standing] | None:
        """Return the threads that run or wait for a processor; None if the process has ended."""
        try:
            tids = list(map(int, os.listdir(self._place)))
        except OSError:
            return None
        found = {tid: standing(self._read(tid, "status"), self.figures(tid)) for tid in tids}
        return {tid: each for tid, each in found.items() if each.could_run or each.runs} if tids else None

    def figures(self, tid: int) -> Figures | None:
        """Return the figures of a thread; None if it has ended, or the kernel has none."""
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


def standing(status: str, figures: Figures | None) -> Standing:
    """Return where a thread stands, by its `status` and then its `schedstat`: both at almost the same time."""
    state, left = _STATE.search(status), _LEFT.search(status)
    could_run = state is not None and state[1] == "R"
    if left is None or figures is None or figures.turns == 0:
        return Standing(could_run, could_run, None)
    return Standing(could_run, figures.turns == int(left[1]) + int(left[2]) + 1, figures)
