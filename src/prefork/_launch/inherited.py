"""What the process that becomes the master inherited: sockets, and what a service manager has stored and says.

The sockets come from the parent process (`fd://3`) or from socket activation (`fd://http`). They pass through the exec
that makes it the master. A plan can name only these by number, not the master's own descriptors.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, MutableMapping

from .._wire.launch import Sockets
from .._wire.stored import is_ours

_MANAGER = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE")
"""Variables of a service manager, for the process that it starts only. FDSTORE: how many descriptors it stores."""

_FIRST = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def sockets(environ: dict[str, str]) -> Sockets:
    """Return the sockets that this process inherited; remove the variables of socket activation from `environ`.

    They are for the process that they name, not for those that it starts.
    """
    names = _activation(environ)
    stored = {number for name in names if is_ours(name) for number in names[name]}
    numbers = tuple(number for number in _open_descriptors() if number not in stored and _is_given(number))
    given = {name: tuple(filter(_is_given, found)) for name, found in names.items() if not is_ours(name)}
    return Sockets(numbers, {name: found for name, found in given.items() if found})


def stored(environ: Mapping[str, str]) -> dict[str, int]:
    """Return what a service manager's store holds for this daemon, by name."""
    opened = _open_descriptors()
    found = {name: numbers[0] for name, numbers in _activation(dict(environ)).items() if is_ours(name)}
    return {name: number for name, number in found.items() if number in opened}


def _activation(environ: dict[str, str]) -> dict[str, list[int]]:
    pid, count, names = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdecimal()):
        return {}  # For another process, which has not removed them from its environment.
    found: dict[str, list[int]] = {}
    words = names.split(":") if names else []
    for place in range(int(count)):
        name = words[place] if place < len(words) and words[place] else "unknown"
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
