"""What the process that becomes the master inherited: sockets, and a service manager's variables.

The sockets come from the parent process (`fd://3`) or from socket activation (`fd://http`). They pass through the exec
that makes it the master. A plan can name only these by number, not the master's own descriptors.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import MutableMapping

from .._wire.launch import Sockets

_MANAGER = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Variables of a service manager, for the process that it starts only."""

_FIRST = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def sockets(environ: dict[str, str]) -> Sockets:
    """Return the sockets that this process inherited; remove the variables of socket activation from `environ`.

    They are for the process that they name, not for those that it starts.
    """
    names = _activation(environ)
    numbers = tuple(number for number in _open_descriptors() if _is_given(number))
    return Sockets(numbers, {name: tuple(found) for name, found in names.items()})


def _activation(environ: dict[str, str]) -> dict[str, list[int]]:
    pid, count, names = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdecimal()):
        return {}  # For another process, which has not removed them from its environment.
    found: dict[str, list[int]] = {}
    words = names.split(":") if names else []
    for place in range(int(count)):
        name = words[place] if place < len(words) and words[place] else "unknown"
        if _is_given(_FIRST + place):
            found.setdefault(name, []).append(_FIRST + place)
    return found


def _open_descriptors() -> list[int]:
    return sorted(number for number in map(int, os.listdir("/proc/self/fd")) if number >= _FIRST)


def _is_given(number: int) -> bool:
    """Whether it was inherited (Python opens files close-on-exec) and is a socket that clients can reach.

    A connected one has leaked from the parent process, and is not kept open.
    """
    try:
        if not os.get_inheritable(number):
            return False
        with socket.socket(fileno=os.dup(number)) as sock:
            if sock.type not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                return False
            sock.getpeername()
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def manager(environ: MutableMapping[str, str]) -> dict[str, str]:
    """Remove a service manager's variables from the environment, and return them."""
    return {name: environ.pop(name) for name in _MANAGER if name in environ}
