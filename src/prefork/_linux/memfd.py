"""Data handed over by descriptor: a memfd that is sealed, so that its reader can rely on what it reads."""

from __future__ import annotations

import fcntl
import os

LIMIT = 64 * 1024 * 1024  # bytes; a peer that offers more means harm

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def write(name: str, data: bytes) -> int:
    """A new sealed descriptor (close-on-exec) that holds `data`. Raises OSError."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read(descriptor: int, name: str | None = None) -> bytes:
    """All that `descriptor` holds; its offset is neither used nor moved.

    Raises ValueError for anything but a sealed memfd of at most LIMIT bytes, of this name if one is given. Only
    there is a read known to end: a pipe could keep the reader waiting for ever, and a file could shrink
    while it is read.
    """
    if name is not None and os.readlink(f"/proc/self/fd/{descriptor}").split(" ")[0] != f"/memfd:{name}":
        raise ValueError(f"not the memfd {name}")
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        raise ValueError("not a memfd") from None
    size = os.fstat(descriptor).st_size
    if seals & _SEALS != _SEALS or size > LIMIT:
        raise ValueError("a memfd that is not sealed, or too large")
    pieces = []
    offset = 0
    while offset < size:
        pieces.append(os.pread(descriptor, size - offset, offset))
        offset += len(pieces[-1])
    return b"".join(pieces)
