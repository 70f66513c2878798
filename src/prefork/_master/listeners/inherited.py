"""Listening sockets that the daemon was started with, and their listeners."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Mapping, Sequence


class Given:
    """The inherited sockets, by number and by the name that socket activation gave them."""

    def __init__(self, numbers: Sequence[int] = (), names: Mapping[str, Sequence[int]] | None = None) -> None:
        self._numbers = frozenset(numbers)
        self._units = len(names or {})
        self._names = _told_apart(names or {})
        self._used: set[int] = set()
        for number in self._numbers:
            os.set_inheritable(number, False)

    def adopt(self, listeners: Sequence[str]) -> None:
        """Match the activated sockets with the first listeners.

        As many sockets of one unit as there are listeners match in their order, whatever their names are: by default a
        service manager names all sockets of a unit after it.
        """
        if self._units == 1 and len(listeners) == len(self._names) and not self._names.keys() & set(listeners):
            self._names |= dict(zip(listeners, self._names.values(), strict=True))

    def unclaimed(self) -> list[str]:
        """Return the names of activated sockets that no listener uses."""
        return [name for name, found in self._names.items() if found not in self._used]

    def has(self, name: str) -> bool:
        """Return whether socket activation passed a socket of this name."""
        return name in self._names

    def take(self, which: str) -> socket.socket:
        """Return a copy of the socket of this number or name. Raises OSError if there is none."""
        found = self._names.get(which)
        if found is None and which.isascii() and which.isdecimal() and int(which) in self._numbers:
            found = int(which)
        if found is None:
            known = ", ".join([*map(str, sorted(self._numbers)), *self._names]) or "none"
            raise OSError(errno.EBADF, f"the program was not started with this listening socket (it has {known})")
        self._used.add(found)
        return socket.socket(fileno=os.dup(found))


def _told_apart(names: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return the number of each socket by its name; of one name, as those of one unit, the second is `NAME-2`."""
    found = {name: numbers[0] for name, numbers in names.items()}
    for name, numbers in names.items():
        places = (place for place in itertools.count(2) if f"{name}-{place}" not in found)
        found |= {f"{name}-{place}": number for number, place in zip(numbers[1:], places, strict=False)}
    return found
