"""A regular file of a bounded size, read without waiting, also if another user has put something else there."""

from __future__ import annotations

import errno
import os
import stat

_MOST = 4 * 1024 * 1024
"""Bytes: no file that prefork reads has reason for more."""


def read(path: str | os.PathLike[str]) -> bytes:
    """Return what a file contains. Raises OSError, also for a FIFO, a device, a socket, and a file that is too large.

    A FIFO would keep the reader waiting, and so would a file that its owner holds a lease on; the mere opening of a
    device can act.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        mode = os.fstat(place).st_mode
        if not stat.S_ISREG(mode):
            what = "it is a directory" if stat.S_ISDIR(mode) else "it is a FIFO, a socket or a device"
            raise OSError(errno.EINVAL, f"{what}, not a file")
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(place)
    with open(descriptor, "rb") as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise OSError(errno.EFBIG, f"it has more than {_MOST // 1024**2} MiB")
    return data
