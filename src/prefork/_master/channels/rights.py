"""Descriptors that a peer sends (SCM_RIGHTS, unix(7)): how a process that must never wait takes none.

A descriptor that has reached a process is closed there, and that can take as long as its sender likes: a socket with
unsent data and SO_LINGER, a file of a file system in user space. It makes no difference whether the program closes it
or the kernel discards it, because there was no room for it or because the socket is closed: both happen in the process
that receives. So the kernel is told to refuse them at the sender (SO_PASSRIGHTS, Linux 6.16). Where it cannot, each
packet is looked at first and one with descriptors never taken; the socket is closed in a child, whose exit is the one
close that does not wait.
"""

from __future__ import annotations

import _socket as socket
import os

from ..._linux.credentials import UCRED
from ..forks.child import forked

_PASSRIGHTS = 83  # <asm-generic/socket.h>; the socket module does not name it
_LOOK = int(socket.MSG_PEEK) | int(socket.MSG_DONTWAIT)
_SIZE = 65536
CREDENTIALS = socket.CMSG_LEN(UCRED.size)
"""The room for the sender's credentials, and for no descriptor."""


def refuse(sock: socket.socket) -> bool:
    """Have the kernel refuse descriptors for this socket, and for those that it accepts; return whether it can."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _PASSRIGHTS, 0)
    except OSError:
        return False
    return True


def offered(sock: socket.socket, size: int) -> bool:
    """Return whether descriptors come with what the next receive of `size` bytes takes. Raises OSError."""
    flags: int = sock.recvmsg(size, 0, _LOOK)[2]
    return bool(flags & socket.MSG_CTRUNC)


def close(sock: socket.socket) -> None:
    """Close a socket at which descriptors may wait: here if none does, else in a child of this process."""
    try:
        sock.shutdown(socket.SHUT_RDWR)  # Nothing can be sent to it from here on.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # Tells an empty packet from the end.
        while True:
            data, control, flags, _ = sock.recvmsg(_SIZE, CREDENTIALS, _LOOK)
            if flags & socket.MSG_CTRUNC:
                _close_in_child(sock)
                return
            if not data and (sock.type == socket.SOCK_STREAM or not control):
                break
            sock.recv(_SIZE, socket.MSG_DONTWAIT)
    except OSError:
        pass  # Nothing waits there; or it has no peer any more.
    sock.close()


def _close_in_child(sock: socket.socket) -> None:
    numbers: tuple[int, ...] = ()
    try:
        reader, writer = numbers = os.pipe()
        forked(lambda: _wait(reader, writer))
    except OSError:
        sock.detach()  # Left open: better a descriptor less than a master that sleeps.
    else:
        sock.close()
    for number in numbers:
        os.close(number)


def _wait(reader: int, writer: int) -> None:
    """Be the child: end when its copy of the socket is the last one."""
    os.close(writer)
    os.read(reader, 1)
