"""A sealed memfd: a message that a process hands to the program it becomes, which nobody can change afterwards."""

from __future__ import annotations

import fcntl
import os

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed(name: str, data: bytes) -> int:
    """Return a new close-on-exec descriptor that holds `data` for good (memfd_create(2), F_ADD_SEALS)."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_sealed(name: str, descriptor: int) -> bytes | None:
    """Return what a sealed memfd of this name holds; None where the descriptor is anything else."""
    try:
        if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(f"/memfd:{name}"):
            return None
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            return None
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    except OSError:
        return None
