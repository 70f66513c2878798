"""One process that is no child of this one, by its pidfd.

The pidfd was opened while the process lived, and stays that process's: a signal never reaches another one. How it has
ended is read where the kernel has it: from /proc while the process is a zombie, which is until its parent has reaped
it, and afterwards from the pidfd (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, Linux 6.15).
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct

from .. import proc_stat

# From <linux/pidfd.h>. The structure has grown since, and the kernel takes this first version of it.
_INFO = struct.Struct("=QQ11Ii")
_GET_INFO = 3 << 30 | 64 << 16 | 0xFF << 8 | 11
_EXIT = 1 << 3
_GROUP = 1 << 2  # PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9

_EXIT_CODE = -1
"""The place of the exit status among the fields of /proc/PID/stat: the last one."""


def status(pid: int, pidfd: int) -> int | None:
    """Return how a process that has ended did, as subprocess gives it; None where the kernel does not say."""
    # Twice: it may be reaped between the two.
    for _ in range(2):
        for code in _of_reaped(pidfd), _of_zombie(pid):
            if code is not None:
                return os.waitstatus_to_exitcode(code)
    return None


def kill_group(pid: int, pidfd: int) -> None:
    """Kill the process group that a process leads, or has led."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL, None, _GROUP)
        return
    except ProcessLookupError:
        return  # No process is left in it.
    except (PermissionError, OSError):
        pass  # An older kernel.
    try:
        signal.pidfd_send_signal(pidfd, 0)  # As long as it is there, its number is no other group's.
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # It has been reaped, and what is left of its group cannot be named safely; or it has another user.


def _of_reaped(pidfd: int) -> int | None:
    data = bytearray(_INFO.pack(_EXIT, *(0,) * 13))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, data)
    except OSError:
        return None  # ENOTTY: an older kernel. ESRCH: it has been reaped, and this kernel has not kept its status.
    mask, *_, code = _INFO.unpack(data)
    return int(code) if mask & _EXIT else None


def _of_zombie(pid: int) -> int | None:
    found = proc_stat.fields(pid)
    return int(found[_EXIT_CODE]) if found and found[proc_stat.STATE] in (b"Z", b"X") else None
