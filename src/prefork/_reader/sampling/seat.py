"""The processor from which a reader looks at other processes: another one each time, by chance."""

from __future__ import annotations

import os
import random


class Seat:
    """Of the processors that this process may use, one at a time."""

    def __init__(self) -> None:
        self._all = sorted(os.sched_getaffinity(0))

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
