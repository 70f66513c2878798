"""Listening sockets that the daemon was started with, and their listeners."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping, Sequence


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
