"""Sockets that the program was started with: by whoever ran it (`fd://3`), or by socket activation (`fd://http`).

They are found in the process that a person or a service manager has started, pass through the exec that makes it the
master, and are the only ones that a plan can name by number: a descriptor of the master's own is none of them.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

_FIRST = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""


def collect(environ: dict[str, str]) -> dict[str, Any]:
    """Return what this process was given, as plain data; take the variables of socket activation out of `environ`.

    They are for the process that they name and for nobody that it starts.
    """
    names = _activation(environ)
    return {"numbers": [number for number in _open_descriptors() if _is_given(number)], "names": names}


def _activation(environ: dict[str, str]) -> dict[str, list[int]]:
    pid, count, names = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdecimal()):
        return {}  # Said to another process, which has not taken them out of its environment.
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
    """Whether it was inherited (Python makes what it opens close-on-exec) and is a socket that others can reach.

    A connected one is somebody's leak, and not kept open by us.
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


class Given:
    """The master's side: which socket is whose."""

    def __init__(self, numbers: Sequence[int] = (), names: Mapping[str, Sequence[int]] | None = None) -> None:
        self._numbers = frozenset(numbers)
        self._names = {name: list(found) for name, found in (names or {}).items()}
        self._taken: set[int] = set()
        for number in self._numbers:
            os.set_inheritable(number, False)

    def adopt(self, listeners: Sequence[str]) -> None:
        """Settle whose the activated sockets are, when the first listeners are opened.

        One socket and one listener belong together whatever they are called: service managers name a socket after its
        unit unless told otherwise.
        """
        if len(listeners) == 1 and len(self._names) == 1:
            self._names |= dict(zip(listeners, self._names.values(), strict=True))

    def unclaimed(self) -> list[str]:
        """Return the names of activated sockets that nobody has taken."""
        return [name for name, found in self._names.items() if not self._taken.intersection(found)]

    def has(self, name: str) -> bool:
        """Whether socket activation brought a socket of this name."""
        return name in self._names

    def take(self, which: str) -> socket.socket:
        """Return a copy of the socket of this number or name, which stays given. Raises OSError where there is none."""
        found = self._names.get(which, [])
        if len(found) > 1:
            raise OSError(errno.EINVAL, f"there are {len(found)} activated sockets of this name: give each its own")
        if not found and which.isascii() and which.isdecimal() and int(which) in self._numbers:
            found = [int(which)]
        if not found:
            known = ", ".join([*map(str, sorted(self._numbers)), *self._names]) or "none"
            raise OSError(errno.EBADF, f"the program was not started with such a listening socket (it has {known})")
        self._taken.add(found[0])
        return socket.socket(fileno=os.dup(found[0]))
