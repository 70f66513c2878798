"""The batch policy of sched(7): a thread that wakes up does not preempt the one that runs.

For a server whose threads take turns with the GIL: each wakes another one while it holds that lock, or is about to need
it. The other one would run at once, wait for the lock, and give the processor back, so that a request costs several
useless context switches. A thread's share of the processor stays the same.
"""

from __future__ import annotations

import os
from contextlib import suppress


def begin() -> None:
    """Put this thread, and threads and processes that it starts from now on, under the batch policy.

    Where another policy or a negative nice value is set, or a sandbox forbids the change, all stays as it is.
    """
    with suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER and os.getpriority(os.PRIO_PROCESS, 0) >= 0:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
