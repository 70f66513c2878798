"""The listeners of a master that was killed, with the descriptors of this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ...._records.members import replace
from ...._records.plain import Descriptor
from ...forks.privileges import acting_as
from ...kept.records import KeptListeners, KeptPort, KeptSocket
from ...listeners import bind
from ..what import NotAdoptable
from .order import UnknownOrder, in_order

if TYPE_CHECKING:
    from ..what import Left


class Sockets:
    """The listeners of the dead master with the descriptors of this process, as far as workers have handed them over.

    A shard of a slot that had no worker has died with the master, and so have its guards.
    """

    def __init__(self, kept: KeptListeners, at: Mapping[int, int | None], adopted: set[int], left: Left) -> None:
        self._kept, self._at, self._adopted = kept, at, adopted
        self._given, self._identity = left.given, left.identity

    def made(self) -> KeptListeners:
        """Return them. Raises NotAdoptable and UnknownOrder."""
        names = [listener.name for listener, _, _ in self._kept.records]
        self._given.adopt(names)
        places = []
        for address, name, place in self._kept.places:
            if isinstance(place, KeptPort):
                made: KeptPort | KeptSocket | None = self._port(place)
            else:
                made = self._single(place, [each[0].name for each in self._kept.records if each[1:] == (address, name)])
            if made is not None:
                places.append((address, name, made))
        there = {each[:2] for each in places}
        records = tuple([each for each in self._kept.records if each[1:] in there])
        return replace(
            self._kept, places=tuple(places), records=records, orphans_serve=False,
            given=(), given_names=dict(self._given._names), given_used=set(self._given._used),
        )  # fmt: skip

    def _port(self, port: KeptPort) -> KeptPort | None:
        if port.foreign:
            raise NotAdoptable("the master before had not yet taken over the ports of the one before it")
        there = [each for each in port.members if each.descriptor is not None and self._at.get(each.descriptor)]
        if not there:
            return None
        copies = [socket.socket(fileno=os.dup(self._at[each.descriptor] or 0)) for each in there]  # type: ignore[index]
        try:
            order = in_order(copies)
        except UnknownOrder:
            # A kernel may let only CAP_NET_ADMIN try it. If all that were noted still listen, none has moved.
            if not len(there) == len(port.members) == bind.count_listening(copies[0]):
                raise
            order = list(range(len(there)))
        finally:
            for copy in copies:
                copy.close()
        members = [
            replace(
                each,
                descriptor=Descriptor(self._at[each.descriptor] or 0),  # type: ignore[index]
                holders={pid: serves for pid, serves in each.holders.items() if pid in self._adopted},
            )
            for each in there
        ]
        return replace(port, first=None, members=tuple(members[place] for place in order))

    def _single(self, place: KeptSocket, names: list[str]) -> KeptSocket | None:
        number = self._at.get(place.descriptor)
        if not place.ours:
            for name in names:
                with suppress(OSError):
                    number = self._given.take(name).detach()
                    break
        if number is None:
            return None
        if place.path is None or self._adopted or bind.inode(place.path) == place.inode:
            return replace(place, descriptor=Descriptor(number))
        number = self._bound_again(place, place.path)
        return replace(place, descriptor=Descriptor(number), inode=bind.inode(place.path))

    def _bound_again(self, place: KeptSocket, path: str) -> int:
        """Return a socket at a path that was removed with the daemon, as a service manager does by default."""
        assert place.listener is not None
        try:
            with acting_as(self._identity if place.as_user else None):
                made = bind.open_path(place.listener, path, False)
            bind.listen(made, place.listener)
        except OSError as error:
            raise NotAdoptable(f"{path} was removed, and cannot be made again: {error.strerror}") from None
        return made.detach()
