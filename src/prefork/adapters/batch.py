"""The batch policy of sched(7): a thread that wakes up does not preempt the one that runs.

For a server whose threads take turns with the GIL: each wakes another one while it holds that lock, or is about to need
it. The other one would run at once, wait for the lock, and give the processor back, so that a request costs several
useless context switches. A thread's share of the processor stays the same.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_TRIAL = "import os; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))"

_deadly = False
"""Whether a filter of system calls would end the process that calls `begin`."""


def try_first() -> None:
    """Find out, before there are workers, whether `begin` would end them; then it does nothing.

    A filter of system calls (seccomp(2)) may kill who changes a policy, as systemd's `SystemCallFilter=~@resources`
    does by default. What it does cannot be asked, so another process tries the call, where there is a filter at all.
    """
    global _deadly
    _deadly = _filtered() and not _survived()


def begin() -> None:
    """Put this thread, and threads and processes that it starts from now on, under the batch policy.

    Where another policy or a negative nice value is set, or a sandbox forbids the change, all stays as it is.
    """
    with suppress(OSError):
        if not _deadly and os.sched_getscheduler(0) == os.SCHED_OTHER and os.getpriority(os.PRIO_PROCESS, 0) >= 0:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _filtered() -> bool:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return any(line.split() == ["Seccomp:", "2"] for line in status)
    except OSError:
        return True


def _survived() -> bool:
    """Return whether a process that tries it ends by itself: not a fork, which would have the application's threads.

    It may take as long as the mold's import: the master ends that after `import_timeout`.
    """
    quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    try:
        pid = os.posix_spawn(
            sys.executable, [sys.executable, "-I", "-S", "-c", _TRIAL], os.environ, file_actions=[quiet]
        )
        return os.WIFEXITED(os.waitpid(pid, 0)[1])
    except OSError:  # There is no room for one, or the application has reaped it.
        return False
