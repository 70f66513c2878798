"""Sealed memfds: data and shared memory by descriptor (memfd_create(2))."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

from . import kernel

LIMIT = 64 * 1024 * 1024  # bytes; a peer that offers more means harm

_FIXED_SIZE = kernel.F_SEAL_GROW | kernel.F_SEAL_SHRINK | kernel.F_SEAL_SEAL
_SEALS = kernel.F_SEAL_WRITE | _FIXED_SIZE


def write(name: str, data: bytes) -> int:
    """Return a new descriptor (close-on-exec) that holds `data`, sealed against every change. Raises OSError."""

    def fill(descriptor: int) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return _create(name, _SEALS, fill)


def create(name: str, size: int, head: bytes = b"") -> int:
    """Return a new descriptor (close-on-exec) of shared memory, `size` bytes for good: `head`, then zeros.

    Raises OSError.
    """

    def fill(descriptor: int) -> None:
        os.ftruncate(descriptor, size)
        os.pwrite(descriptor, head, 0)

    return _create(name, _FIXED_SIZE, fill)


def has_fixed_size(descriptor: int) -> bool:
    """Return whether its size is sealed, so that a mapping of it never meets the end. Raises OSError for no memfd."""
    return fcntl.fcntl(descriptor, kernel.F_GET_SEALS) & _FIXED_SIZE == _FIXED_SIZE


def read(descriptor: int, name: str | None = None) -> bytes:
    """Return all that `descriptor` holds; its offset is neither used nor moved.

    Raises ValueError for anything but a sealed memfd of at most LIMIT bytes, of this name if one is given. Only such a
    read is known to end: a pipe could keep the reader waiting for ever, and a file could shrink while it is read.
    """
    if name is not None and os.readlink(f"/proc/self/fd/{descriptor}").split(" ")[0] != f"/memfd:{name}":
        raise ValueError(f"not the memfd {name}")
    try:
        seals = fcntl.fcntl(descriptor, kernel.F_GET_SEALS)
    except OSError:
        raise ValueError("not a memfd") from None
    size = os.fstat(descriptor).st_size
    if seals & _SEALS != _SEALS or size > LIMIT:
        raise ValueError("a memfd that is not sealed, or too large")
    return read_start(descriptor, size)


def read_start(descriptor: int, size: int) -> bytes:
    """Return the first `size` bytes of a memfd, whose size cannot change. Raises OSError."""
    pieces = [b""]
    while size > 0 and (piece := os.pread(descriptor, size, sum(map(len, pieces)))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _create(name: str, seals: int, fill: Callable[[int], None]) -> int:
    descriptor = kernel.memfd_create(name, kernel.MFD_CLOEXEC | kernel.MFD_ALLOW_SEALING)
    try:
        fill(descriptor)
        fcntl.fcntl(descriptor, kernel.F_ADD_SEALS, seals)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
