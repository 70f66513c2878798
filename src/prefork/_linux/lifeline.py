"""The lifeline: a signal from the kernel to a process whose master has died.

The master holds the only write end of a pipe as long as it lives, across its own exec too. A process that is to learn
of its death opens the read end as a file description of its own and asks for a signal when something happens there
(fcntl(2), F_SETSIG and O_ASYNC). Nothing is ever written, so that only the end can happen.

The next master opens the write end of that pipe again, through a worker that holds it. From then on the workers of the
dead master see that there is a master, until that one dies, too.

Not the parent-death signal (PR_SET_PDEATHSIG): that binds to the parent at the moment it is set, comes when a parent's
*thread* ends, is cleared by setuid, and needs ctypes in every worker. And not the process's own channel: each message
would send a signal, too.

A description of its own, since owner and signal belong to the description, and a descriptor that was inherited or
received shares one with every other worker. It is opened through /proc, which needs read permission: the pipe of a root
master must be readable for the worker's user. Children of the process inherit the description, not the signal: its
owner stays the process that armed it.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import signal
import time
from types import FrameType

# For a worker that may outlive its master for a while. Not TERM, which always means drain.
ORPHANED = signal.SIGRTMIN + 1
_LAST = signal.SIGRTMIN + 4  # Those between ask for stacks; programs that use some of their own begin at the first.

_F_SETSIG = 10  # <asm-generic/fcntl.h>; the fcntl module does not name it


def create() -> tuple[int, int]:
    """Return the read end and the write end, for a master. No other process may ever have the write end."""
    reader, writer = os.pipe()
    os.fchmod(reader, 0o644)
    return reader, writer


def arm(reader: int, number: int) -> int:
    """Have the kernel send signal `number` to this process when the master dies, or at once if it has.

    Returns the descriptor that keeps it armed: close it to disarm. Raises OSError (no /proc, descriptors
    exhausted).
    """
    descriptor = os.open(f"/proc/self/fd/{reader}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, _F_SETSIG, number)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)
    # The end may have come before O_ASYNC took effect, and is not signalled again.
    if cut(descriptor):
        os.kill(os.getpid(), number)
    return descriptor


def arm_last(reader: int, grace: float) -> None:
    """Kill this process's session `grace` seconds after the master's death, if it is still there then.

    For a process that is armed with TERM, which it may ignore. Main thread only. Raises OSError.
    """

    def orphaned(_number: int, _frame: FrameType | None) -> None:
        _thread.start_new_thread(_kill_later, (grace,))

    signal.signal(_LAST, orphaned)
    arm(reader, _LAST)


def _kill_later(grace: float) -> None:
    time.sleep(grace)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def cut(descriptor: int) -> bool:
    """Return whether there is no master now."""
    try:
        return not os.read(descriptor, 1)
    except BlockingIOError:
        return False
