"""The other end of a socket or pipe of this process: which one it is, and whether another process holds it."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Mapping

from ..._records.record import record

_SOCK_DIAG, _BY_FAMILY, _SHOW_PEER, _PEER = 4, 20, 4, 2
"""NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, UDIAG_SHOW_PEER and UNIX_DIAG_PEER of <linux/unix_diag.h>."""


@record
class OtherEnd:
    """Where a descriptor leads to. `name`: for people; `datagrams`: each write arrives whole, or not at all."""

    name: str
    datagrams: bool = False


def links() -> dict[int, str]:
    """Return what each open descriptor of this process is: `socket:[4711]`, `pipe:[4712]`, a path."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass  # ENOENT: the descriptor through which the directory was listed.
    return found


def other_end(descriptor: int, opened: Mapping[int, str]) -> OtherEnd | None:
    """Return the other end that another process holds; None where there is none, or only this process holds it.

    `opened` is what `links` returned. Raises OSError if the descriptor is closed meanwhile.
    """
    link = opened[descriptor]
    if link.startswith("pipe:"):
        return _of_pipe(descriptor, link, opened)
    if not link.startswith("socket:"):
        return None
    with socket.socket(fileno=os.dup(descriptor)) as found:
        try:
            peer = found.getpeername()
        except OSError:
            return None  # It listens, or is not connected.
        datagrams = found.type == socket.SOCK_DGRAM
        if found.family in (socket.AF_INET, socket.AF_INET6):
            host = f"[{peer[0]}]" if ":" in peer[0] else peer[0]
            return OtherEnd(f"{host}:{peer[1]}", datagrams)
        if found.family != socket.AF_UNIX:
            return None  # Netlink and the like lead to the kernel.
        if name := _text(peer):
            return OtherEnd(name, datagrams)
        inode = _unix_peer(os.fstat(descriptor).st_ino)
        # 0: the kernel did not answer. A pair of which this process has both ends is much more frequent.
        return OtherEnd("another process", datagrams) if inode and f"socket:[{inode}]" not in opened.values() else None


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else "@" + name[1:].decode(errors="replace")


def _of_pipe(descriptor: int, link: str, opened: Mapping[int, str]) -> OtherEnd | None:
    """Return the end for writing of a pipe that this process reads. What it writes itself arrives whole, line by line.

    A pipe without a writer has only an end of file left.
    """
    if _mode(descriptor) != os.O_RDONLY:
        return None
    if any(each == link and number != descriptor and _mode(number) != os.O_RDONLY for number, each in opened.items()):
        return None
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    ended = any(events & select.POLLHUP for _, events in waiting.poll(0))
    return None if ended else OtherEnd("a pipe of another process")


def _mode(descriptor: int) -> int:
    """Return how a descriptor was opened: O_RDONLY, O_WRONLY or O_RDWR."""
    with open(f"/proc/self/fdinfo/{descriptor}") as file:
        flags = next(line for line in file if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE


def holds_sqlite(descriptor: int, link: str) -> bool:
    """Return whether it is a database of SQLite that is open for writing; it is read through this very descriptor.

    Another one, once closed, would take the process's locks on the file with it (fcntl_locking(2)).
    """
    if not link.startswith("/") or not os.path.isfile(link) or _mode(descriptor) != os.O_RDWR:
        return False
    return os.pread(descriptor, 16, 0) == b"SQLite format 3\0"


def _unix_peer(inode: int) -> int:
    """Return the inode of the other end of a Unix socket; 0 where the kernel does not say (sock_diag(7))."""
    body = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 2**32 - 1, inode, _SHOW_PEER, 2**32 - 1, 2**32 - 1)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as asked:
            asked.settimeout(1)
            asked.send(struct.pack("=IHHII", 16 + len(body), _BY_FAMILY, 1, 1, 0) + body)
            answer = asked.recv(4096)
    except OSError:
        return 0
    length, kind = struct.unpack_from("=IH", answer)
    place = 32  # After the headers of netlink and of struct unix_diag_msg.
    while kind == _BY_FAMILY and place + 8 <= length:
        size, attribute, value = struct.unpack_from("=HHI", answer, place)
        if attribute == _PEER:
            return int(value)
        place += (size + 3) & ~3
    return 0
