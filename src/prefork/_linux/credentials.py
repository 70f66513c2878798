"""The process at the other end of a Unix socket, by the kernel's word (unix(7))."""

from __future__ import annotations

import _socket as socket
import struct

UCRED = struct.Struct("=iII")
"""struct ucred: pid, uid, gid."""


def peer_of(connection: socket.socket) -> tuple[int, int, int]:
    """Return the pid, uid and gid of the process that has connected, or listens, at the other end."""
    pid, uid, gid = UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    return pid, uid, gid
