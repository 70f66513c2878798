"""What an interpreter may lack that was built with an older C library, though the kernel has it.

Such are those of conda, of manylinux and of Debian 11. The numbers are the kernel's ABI, and the functions are made
with ctypes where `os` has none: only there, since it costs the master memory.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from typing import Any

MFD_CLOEXEC, MFD_ALLOW_SEALING = 1, 2  # <linux/memfd.h>
F_ADD_SEALS, F_GET_SEALS = 1033, 1034  # <linux/fcntl.h>
F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1, 2, 4, 8
P_PIDFD = 3  # <linux/wait.h>

_MEMFD_CREATE = {"x86_64": 319, "i686": 356, "armv7l": 385, "ppc64le": 360, "s390x": 350}
"""Machine -> the number of the system call (<asm/unistd.h>); of all others, such as aarch64, it is the generic one."""
_GENERIC_MEMFD_CREATE = 279


def memfd_create(name: str, flags: int) -> int:
    """Return a new descriptor of memory (memfd_create(2)). Raises OSError."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, flags)
    number = _MEMFD_CREATE.get(os.uname().machine, _GENERIC_MEMFD_CREATE)
    return _called("syscall", number, os.fsencode(name), flags)


def _eventfd() -> int:
    return _called("eventfd", 0, os.O_CLOEXEC | os.O_NONBLOCK)


def add_to_eventfd(descriptor: int) -> None:
    """Make an eventfd readable: add 1 to its value. Raises OSError."""
    os.write(descriptor, _ONE)


def read_eventfd(descriptor: int) -> None:
    """Make a non-blocking eventfd unreadable: set its value to 0. Raises OSError."""
    with suppress(BlockingIOError):  # it is 0
        os.read(descriptor, 8)


_ONE = (1).to_bytes(8, sys.byteorder)


eventfd = partial(os.eventfd, 0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) if hasattr(os, "eventfd") else _eventfd
"""Returns a new eventfd(2) with the value 0, close-on-exec and non-blocking. Raises OSError. No function of ours where
that can be avoided: each newborn calls it, and would have three pages of its own for it."""


def _called(function: str, *arguments: Any) -> int:
    import ctypes

    result = getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(result)
