"""How a master knows an open file again that another process hands to it.

The kernel gives each one numbers that no program can choose. A socket has a cookie (SO_COOKIE), which is never used
twice; memory and a pipe have an inode. The master notes them where only its user can write, so that a worker can hand
over what it was given, and nothing else in its place.
"""

from __future__ import annotations

import os
import socket
import stat
import struct

from ..._linux import memfd
from ..._records.record import record

_SO_COOKIE = 57  # <asm-generic/socket.h>; the socket module does not name it
_COOKIE = struct.Struct("=Q")


@record
class Mark:
    """What an open file is known by. `name`: its device and inode, by which it is asked for.

    `number`: the cookie of a socket, the size of memory in bytes, 0 of a pipe.
    """

    name: str
    kind: str
    number: int


def mark(descriptor: int) -> Mark:
    """Return the mark of an open file. Raises OSError, and ValueError for a kind of file that is not handed over."""
    status = os.fstat(descriptor)
    name = f"{status.st_dev}:{status.st_ino}"
    if stat.S_ISSOCK(status.st_mode):
        return Mark(name, "socket", _cookie(descriptor))
    if stat.S_ISFIFO(status.st_mode):
        return Mark(name, "pipe", 0)
    if stat.S_ISREG(status.st_mode) and memfd.has_fixed_size(descriptor):
        return Mark(name, "memory", status.st_size)
    raise ValueError("neither a socket nor a pipe nor memory of a fixed size")


def is_marked(descriptor: int, expected: Mark) -> bool:
    """Return whether an open file is the one with this mark."""
    try:
        return mark(descriptor) == expected
    except (OSError, ValueError):
        return False


def _cookie(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return int(_COOKIE.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, _COOKIE.size))[0])
