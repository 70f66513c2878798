"""All sockets of the master at one port, and which gets new connections.

A *shared* socket is one queue for every worker. A *shard* is the queue of one slot: only the master and the processes
of that slot hold it, so that what waits there when a worker dies is taken by its successor.

The kernel counts the sockets of one address in the order in which they began to listen, and steering names them by
that place (`steering`). Where a socket goes, the last one moves into its place; so this module keeps the same list, and
removes a TCP socket by shutdown(2), which takes effect at once and whoever else still holds a copy. What new
connections are sent to is always a socket that some worker has said it serves, or, where there is none such yet, one
that a worker will serve.

Sockets of orphans, workers of a dead master, are in the list before ours and leave it at moments that we do not learn.
Behind ours stand as many *guards* then, which get nothing: each of them moves into a place that an orphan leaves, and
ours keep theirs. Nothing is removed before all of those have gone.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from ..._core.plan import Listener
from ..._linux import steering
from ..privileges import Identity, acting_as
from . import bind
from .queues import Queue, Queues

Use = Literal["shared", "shard", "guard", "foreign"]


@dataclass(eq=False, slots=True)
class Member:
    """One place in the kernel's list. `holders`: the processes that have the socket, and whether each serves it."""

    use: Use
    socket: socket.socket | None
    key: str = ""
    holders: dict[int, bool] = field(default_factory=dict)
    abandoned: bool = False
    """Whoever holds it is the last to do so."""
    withdrawn: bool = False
    """No record asks for it: nothing new begins here, and it is closed when nobody holds it any more."""
    stalled: bool = False
    """Its workers take nothing from the queue."""

    def rank(self) -> int:
        """How good a place it is for what is new: it is taken at once, some time, by who comes next, or by nobody."""
        if any(self.holders.values()):
            return 2 if self.stalled else 3
        return int(bool(self.key or self.holders) and not self.abandoned)


class Port:
    """The sockets at one address.

    `first` is bound there, and nobody's yet; further ones are bound with the rights of `identity`, as that one was.
    `foreign`: how many sockets of orphans listen there. `queues`: who finds out which shards stand still.
    """

    def __init__(
        self, first: socket.socket, identity: Identity | None, foreign: int = 0, queues: Queues | None = None
    ) -> None:
        self._first: socket.socket | None = first
        self._identity = identity
        self._foreign = foreign
        self._queues = queues
        self._members = [Member("foreign", None) for _ in range(foreign)]
        self._steered: list[int] = []
        self._newest = ""

    @property
    def gone(self) -> bool:
        """Whether nothing of ours is left here."""
        return self._first is None and not self._members

    def template(self) -> socket.socket:
        """Return one of the sockets, to read the address from."""
        return self._first or next(member.socket for member in self._members if member.socket is not None)

    # What the plan asks for.

    def open(self, listener: Listener) -> None:
        """Have a socket that serves this record. Raises OSError."""
        use: Use = "shared" if listener.sharing == "shared" else "shard"
        found = [member for member in self._members if member.use == use and not member.withdrawn]
        for member in found:  # An option was changed.
            assert member.socket is not None
            bind.listen(member.socket, listener)
        if not found:
            self._add(use, listener)
        self._newest = use
        self._steer()

    def withdraw(self, sharing: str) -> None:
        """No record of this sharing is left; what waits in its queues is still taken by those who have them."""
        use = "shared" if sharing == "shared" else "shard"
        withdrawn = [member for member in self._members if member.use == use]
        for member in withdrawn:
            member.withdrawn = True
            _turn_away(member.socket)
        for member in withdrawn:
            self._perhaps_remove(member)
        self._steer()

    def close(self) -> None:
        """Close all of them here. Whoever has a copy goes on with it."""
        for member in self._members:
            if member.socket is not None:
                self._watch_no_longer(member)
                member.socket.close()
        if self._first is not None:
            self._first.close()
        self._members, self._first = [], None

    # Who has which socket.

    def give(self, listener: Listener, key: str, pid: int) -> socket.socket:
        """Return the socket for this process, a worker of slot `key`. Raises OSError where there is no room."""
        member = self._shard(listener, key) if listener.sharing == "sharded" else self._shared()
        member.holders[pid] = False
        member.abandoned = False
        self._steer()
        assert member.socket is not None
        return member.socket

    def serves(self, pid: int, whether: bool, abandons: bool = False) -> None:
        """Note that a process takes what comes to its socket, or will not any more and is perhaps the last one."""
        for member in self._members:
            if pid in member.holders:
                member.holders[pid] = whether
                member.abandoned |= abandons and member.use == "shard"
                self._steer()

    def ended(self, pid: int) -> None:
        """A process is gone, and with it its copy."""
        for member in list(self._members):
            if member.holders.pop(pid, None) is not None:
                member.stalled = False
                self._perhaps_remove(member)
                self._steer()

    def forget(self, key: str) -> None:
        """This slot is no more: its shard goes, or waits for the next slot."""
        for member in list(self._members):
            if member.key == key:
                member.key = ""
                self._perhaps_remove(member)
                self._steer()

    def count_again(self) -> None:
        """See how many foreign sockets are left."""
        ours = sum(1 for member in self._members if member.socket is not None)
        left = bind.count_listening(self.template()) - ours
        if left < 0:
            return  # There is no /proc to tell.
        for _ in range(self._foreign - left):
            # Which of them it was that left does not matter: it is a guard, the last in the list, that takes its place.
            place = next(place for place, member in enumerate(self._members) if member.use == "foreign")
            self._members[place] = self._members.pop()
            self._foreign -= 1
        if not self._foreign:
            for member in list(self._members):
                self._perhaps_remove(member)
            self._steer()

    # The list.

    def _shared(self) -> Member:
        return next(member for member in self._members if member.use == "shared" and not member.withdrawn)

    def _shard(self, listener: Listener, key: str) -> Member:
        shards = [member for member in self._members if member.use == "shard" and not member.withdrawn]
        found = [shard for shard in shards if shard.key == key]
        found = found or [shard for shard in shards if not shard.key and not shard.holders]
        shard = found[0] if found else self._add("shard", listener)
        shard.key = key
        return shard

    def _add(self, use: Use, listener: Listener) -> Member:
        """Append a socket; beside orphans several shards at once, so that they need fewer guards, which come last."""
        if self._foreign and self._first is None:
            self.count_again()
        added = self._append(use, listener)
        if self._foreign:
            self._steer()
            for _ in range(self._foreign - 1 if use == "shard" else 0):
                self._append(use, listener)
            for _ in range(self._foreign):
                self._append("guard", listener)
        return added

    def _append(self, use: Use, listener: Listener) -> Member:
        sock, self._first = self._first, None
        if sock is None:
            with acting_as(self._identity):
                sock = bind.open_beside(self.template())
        try:
            bind.listen(sock, listener)
            if listener.reuseport:
                bind.share_port(sock)
        except BaseException:
            sock.close()
            raise
        member = Member(use, sock)
        self._members.append(member)
        if use == "shard" and self._queues is not None:
            self._queues.add(Queue(sock, member.holders, partial(self._stall, member)))
        return member

    def _stall(self, member: Member, stalled: bool) -> None:
        """What is new goes elsewhere for as long as a queue stands still; what waits there waits for its worker."""
        member.stalled = stalled
        self._steer()

    def _watch_no_longer(self, member: Member) -> None:
        if member.socket is not None and self._queues is not None:
            self._queues.remove(member.socket)

    def _perhaps_remove(self, member: Member) -> None:
        """Remove a socket that nobody has and nobody will be given, where the list stays right without it."""
        queues = [one for one in self._members if one.use in ("shared", "shard")]
        if all(one.withdrawn and not one.holders for one in queues):
            self.close()
            return
        moved = len(self._members) - 1
        if member not in queues or member.holders or self._foreign:
            return
        if not member.withdrawn:
            alone = all(one.withdrawn for one in queues if one is not member)
            if member.use == "shared" or member.key or alone or self._steered == [moved]:
                return  # It is the next slot's to have. Meanwhile it gets nothing new.
        if moved in self._steered and len(self._steered) > 1:
            self._attach([one for one in self._steered if one != moved])
        self._members[self._members.index(member)] = self._members[-1]
        self._members.pop()
        self._watch_no_longer(member)
        _discard(member.socket)

    # Steering.

    def _steer(self) -> None:
        """Send what is new to the best places."""
        places = [
            (member.rank(), member.use == self._newest, place)
            for place, member in enumerate(self._members)
            if member.use in ("shared", "shard") and not member.withdrawn
        ]
        # While one kind takes over from the other, the newer has all as soon as somebody serves there.
        best = max((each[:2] for each in places), default=None)
        chosen = [place for *rank, place in places if tuple(rank) == best]
        if chosen and chosen != self._steered:
            self._attach(chosen)

    def _attach(self, places: list[int]) -> None:
        if len(self._members) == 1:
            self._steered = []
            return  # There is nothing to choose, and perhaps no group yet.
        self._steered = places
        try:
            steering.choose(self.template(), places)
        except OSError:
            pass  # A kernel without it: it chooses by its own hash, as it would for any such group.


def _turn_away(sock: socket.socket | None) -> None:
    """Let nothing new begin at a socket, where that can be had; what has begun is not dirty_slots."""
    if sock is not None and sock.type == socket.SOCK_STREAM:
        try:
            steering.turn_away(sock)
        except OSError:
            pass  # A kernel without it: the last moment's connections are lost, as they are with any other server.


def _discard(sock: socket.socket | None) -> None:
    """Have a socket leave its group now, whatever copies of it there are. (A UDP socket leaves with the last one.)"""
    if sock is not None:
        try:
            if sock.type == socket.SOCK_STREAM:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # ENOTCONN: a worker has done so before us.
        sock.close()
