"""The processor from which a reader looks at other processes: another one each time, by chance, and at once.

A reader that had to wait for a processor would get it when another process pauses: where clients and workers share all
processors, most often a client that waits for what a worker computes, and long computations would seem longer.
"""

from __future__ import annotations

import os
import random


class Seat:
    """Of the processors that this process may use, one at a time."""

    def __init__(self) -> None:
        self._all = sorted(os.sched_getaffinity(0))
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
        except OSError:
            pass  # It has not CAP_SYS_NICE: then it waits where all processors are busy.

    @property
    def is_the_only_one(self) -> bool:
        """Whether there is no other, so that what this process looks at never has a processor meanwhile."""
        return len(self._all) == 1

    def change(self) -> None:
        """Go to one of them; no other process decides, so that it is each of them equally often."""
        if self.is_the_only_one:
            return
        try:
            os.sched_setaffinity(0, {random.choice(self._all)})
        except OSError:  # It is gone, or was taken from this process: the kernel has chosen others.
            self._all = sorted(os.sched_getaffinity(0))
