"""How a worker learns that its master is gone, even while it hangs.

The master holds the only write end of a pipe into which nobody ever writes. A worker opens the read end anew (a
descriptor that it shares with its siblings could name only one process to be told), becomes the owner of its
asynchronous notices, and picks the signal (fcntl(2): F_SETOWN, F_SETSIG, O_ASYNC). When the master dies, however it
dies, the kernel closes the write end and signals every worker.

The usual road, prctl(PR_SET_PDEATHSIG), was not taken: it means the parent of the moment it is set, it is lost by a
change of user, and it needs ctypes in every worker.
"""

from __future__ import annotations

import fcntl
import os
import select

_F_SETSIG = 10
"""From <asm-generic/fcntl.h>; Python's fcntl module has no name for it."""


def pipe() -> tuple[int, int]:
    """Return the read and the write end of a lifeline, both close-on-exec. The master keeps both."""
    return os.pipe2(os.O_CLOEXEC)


def arm(read_end: int, signal_number: int) -> bool:
    """Ask the kernel to send this process `signal_number` when the master dies; closes `read_end`.

    Returns False when the master is dead already: the kernel tells of changes, and would then never tell.
    """
    own = os.open(f"/proc/self/fd/{read_end}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.close(read_end)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, _F_SETSIG, signal_number)
    fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
    poller = select.poll()
    poller.register(own, select.POLLIN)
    return not poller.poll(0)
