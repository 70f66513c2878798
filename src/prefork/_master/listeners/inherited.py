"""Listening sockets that the daemon was started with, and their listeners."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, Sequence


class Given:
    """The inherited sockets, by number and by the name that socket activation gave them."""

    def __init__(self, numbers: Sequence[int] = (), names: Mapping[str, Sequence[int]] | None = None) -> None:
        self._numbers = frozenset(numbers)
        self._names = {name: list(found) for name, found in (names or {}).items()}
        self._used: set[int] = set()
        for number in self._numbers:
            os.set_inheritable(number, False)

    def adopt(self, listeners: Sequence[str]) -> None:
        """Match the activated sockets with the first listeners.

        One socket and one listener match whatever their names are: by default a service manager names a socket after
        its unit.
        """
        if len(listeners) == 1 and len(self._names) == 1:
            self._names |= dict(zip(listeners, self._names.values(), strict=True))

    def unclaimed(self) -> list[str]:
        """Return the names of activated sockets that no listener uses."""
        return [name for name, found in self._names.items() if not self._used.intersection(found)]

    def has(self, name: str) -> bool:
        """Return whether socket activation passed a socket of this name."""
        return name in self._names

    def take(self, which: str) -> socket.socket:
        """Return a copy of the socket of this number or name. Raises OSError if there is none."""
        found = self._names.get(which, [])
        if len(found) > 1:
            raise OSError(errno.EINVAL, f"there are {len(found)} activated sockets of this name: name them apart")
        if not found and which.isascii() and which.isdecimal() and int(which) in self._numbers:
            found = [int(which)]
        if not found:
            known = ", ".join([*map(str, sorted(self._numbers)), *self._names]) or "none"
            raise OSError(errno.EBADF, f"the program was not started with this listening socket (it has {known})")
        self._used.add(found[0])
        return socket.socket(fileno=os.dup(found[0]))
