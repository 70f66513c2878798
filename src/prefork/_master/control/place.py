"""The control socket's file: made for the daemon's user alone, or for a group too."""

from __future__ import annotations

import _socket as socket
import os

from ..._errors import SystemFailure
from ..._records.record import record
from ..._wire.places import SOCKET
from ..channels import rights

_BACKLOG = 128


@record
class Place:
    """The runtime directory, and the socket that listens in it."""

    directory: int
    listener: socket.socket


def opened(directory: str, group: int | None) -> Place:
    """Listen in this directory. Raises SystemFailure, OSError."""
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Place(place, listen(place, group))
    except SystemFailure:
        os.close(place)
        raise


def listen(place: int, group: int | None) -> socket.socket:
    """Return the listening socket, in the directory `place`. Raises SystemFailure."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    rights.refuse(listener)  # Before the first client: connections are made with it.
    path = f"/proc/self/fd/{place}/{SOCKET}"  # For a directory of any length: a socket's path has at most 107 bytes.
    mask = os.umask(0o177)
    try:
        if os.path.lexists(path):  # Left by a master that was killed; this one holds the lock.
            os.unlink(path)
        listener.bind(path)
        if group is not None:
            admit(place, group)
    except OSError as error:
        listener.close()
        raise SystemFailure(f"the control socket cannot be made: {error.strerror}") from None
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    return listener


def admit(place: int, group: int | None) -> None:
    """Give a group access to the directory `place` and the socket in it; None for no group."""
    owner = os.getegid() if group is None else group
    for path, modes in (f"/proc/self/fd/{place}/{SOCKET}", (0o600, 0o660)), (f"/proc/self/fd/{place}", (0o700, 0o710)):
        os.chown(path, -1, owner)
        os.chmod(path, modes[group is not None])
