"""Which socket of several that share a port gets what is new: a classic BPF program on the group.

SO_ATTACH_REUSEPORT_CBPF (socket(7), Linux 4.5) needs no privilege, and a new program replaces the former at once. The
program returns the place of a socket in the group, in the order in which they began to listen. A place that no longer
exists means that the kernel chooses as if there were no program.
"""

from __future__ import annotations

import os
import socket
import struct
from array import array

_ATTACH = 51
"""SO_ATTACH_REUSEPORT_CBPF, from <asm-generic/socket.h>; Python's socket module has no name for it."""
_RETURN = 0x06
"""BPF_RET | BPF_K: return the constant."""
_LISTENING = "0A"
"""TCP_LISTEN, as /proc/net/tcp prints it."""


def take_all_that_is_new(sock: socket.socket) -> None:
    """Have this socket, the newest of its group, get every connection that begins from now on.

    Does nothing where the kernel cannot do that, or where it is the only one. Raises nothing: without it, the sockets
    go on sharing.
    """
    try:
        place = _others(sock)
        if place:
            program = array("B", struct.pack("HBBI", _RETURN, 0, 0, place))
            sock.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("@HP", 1, program.buffer_info()[0]))
    except OSError:
        pass  # No /proc, or a kernel without it.


def _others(sock: socket.socket) -> int:
    """Count the other sockets that listen at the same address: those that were there before it."""
    table = "/proc/self/net/tcp6" if sock.family == socket.AF_INET6 else "/proc/self/net/tcp"
    with open(table, encoding="ascii") as file:
        lines = [line.split() for line in file]
    listening = {line[9]: line[1] for line in lines[1:] if line[3] == _LISTENING}
    address = listening.get(str(os.fstat(sock.fileno()).st_ino))
    return sum(1 for other in listening.values() if other == address) - 1
