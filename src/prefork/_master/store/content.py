"""What is in the store: written of a daemon, and found again by the next master.

The next master believes what it finds as it believes its runtime directory: only the main process of the unit may store
(NotifyAccess=main), and the files must be those of this user alone. All else counts with its mark only, which is in
these files.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ..._wire import stored
from ..._wire.places import WORKERS
from ..adoption.marks import mark
from ..kept import sockets

if TYPE_CHECKING:
    from ..adoption.marks import Mark
    from ..adoption.records import KeptDaemon

_FILES = ("roster", *WORKERS)
"""Files of the runtime directory, which the manager may remove with the service."""

_MOST = 64 * 1024 * 1024


def content_of(kept: KeptDaemon, directory: str) -> dict[str, int | str]:
    """Return what is to be stored of a daemon: descriptors, and paths, by name.

    Of the lifeline it is the read end: the write end would keep workers from learning that the master is dead. Sockets
    that the manager has passed are held by it already.
    """
    found: dict[str, int | str] = {}
    for number in (*kept.shared, *sockets.numbers(kept.listeners, ours=True)):
        if one := kept.marks.get(number):
            found[stored.name_of(one.kind, _inode(one))] = int(number)
    for name in _FILES:
        path = f"{directory}/{name}"
        with suppress(OSError):  # It is made again in a moment.
            found[stored.name_of(name, os.stat(path, follow_symlinks=False).st_ino)] = path
    return found


def _inode(one: Mark) -> int:
    return int(one.name.rpartition(":")[2])


class Stored:
    """What a master was started with from the store: descriptors of this process, by name."""

    def __init__(self, given: Mapping[str, int]) -> None:
        self._open = dict(given)
        self.names = tuple(given)
        for number in given.values():
            os.set_inheritable(number, False)

    def put_back(self, directory: str) -> None:
        """Write the files of a runtime directory that was removed; those that are there stay.

        Without one of them, or with half of it, nothing can be adopted, and the start goes on as any other.
        """
        for name in self.names:
            if (what := stored.what_is(name)) in _FILES:
                number = self._open.pop(name)
                with suppress(OSError):
                    if _is_own_file(number):
                        _copy(number, f"{directory}/{what}")
                os.close(number)

    def marked(self, marks: Iterable[Mark], alone: bool) -> dict[str, int]:
        """Return the descriptors that have one of these marks, by the names of the marks; the others are closed.

        `alone`: no worker has survived. Then sockets that the note does not name are closed for the manager, too, at
        once: what the kernel still lists would get connections.
        """
        wanted = {one.name: one for one in marks}
        found: dict[str, int] = {}
        for name, number in list(self._open.items()):
            try:
                one = mark(number)
            except (OSError, ValueError):
                continue
            if wanted.get(one.name) == one and one.name not in found and _is_open(number):
                found[one.name] = self._open.pop(name)
        self.close(shut=alone)
        return found

    def close(self, shut: bool = False) -> None:
        """Close all that is left; `shut`: sockets that listen end for every process that has them."""
        for number in self._open.values():
            if shut and _is_socket(number):
                with socket.socket(fileno=number) as sock, suppress(OSError):  # ENOTCONN: it does not listen.
                    sock.shutdown(socket.SHUT_RDWR)
            else:
                os.close(number)
        self._open.clear()


def _is_own_file(number: int) -> bool:
    """Return whether this is a file that no other user could write or make."""
    status = os.fstat(number)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _copy(number: int, path: str) -> None:
    """Write what a file has to another one that is empty or not there. Raises OSError."""
    data = os.pread(number, _MOST, 0)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(target, "wb", buffering=0) as file:
        if not os.fstat(target).st_size:
            file.write(data)


def _is_socket(number: int) -> bool:
    return stat.S_ISSOCK(os.fstat(number).st_mode)


def _is_open(number: int) -> bool:
    """Return whether a socket still listens, if it is one of a stream: its master may have shut it down."""
    if not _is_socket(number):
        return True
    with socket.socket(fileno=os.dup(number)) as sock:
        return sock.type != socket.SOCK_STREAM or bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
