"""All sockets of the master at one port, and which gets new connections.

A *shared* socket is one queue for all workers. A *shard* is the queue of one slot: only the master and the processes of
that slot hold it, so that the successor of a dead worker accepts what waits there.

The kernel lists the sockets of one address in the order in which they began to listen, and steering selects them by
that place (`steering`). When a socket leaves, the last one moves into its place. This module keeps the same list, and
removes a TCP socket by shutdown(2), which works at once even if other processes hold a copy. New connections always go
to a socket that a ready worker serves or, if there is none yet, to one that a worker will serve.

Sockets of orphans, workers of a dead master, come before ours in the list. They get new connections until a worker of
ours is ready, so that a start that fails, or is stopped, loses none. The master learns too late when they leave. So as
many *guards* follow ours and get no connections: a guard moves into the place that an orphan leaves, and ours keep
theirs. Nothing is removed before all orphans have gone.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from typing import Literal

from ..._core.plan import Listener
from ..._linux import steering
from ..._records.members import field
from ..._records.record import entity
from ..._wire.launch import Identity
from ..forks.privileges import acting_as
from . import bind
from .queues import Queue, Queues

Use = Literal["shared", "shard", "guard", "foreign"]

_READY = 2
"""The least rank of a socket with a ready worker."""


@entity
class Member:
    """One place in the kernel's list; `holders`: the pids that hold the socket, and whether each accepts from it."""

    use: Use
    socket: socket.socket | None
    key: str = ""
    holders: dict[int, bool] = field(default_factory=dict)
    abandoned: bool = False
    """Its holders are the last: no successor follows."""
    withdrawn: bool = False
    """No listener asks for it: it gets no new connections, and is closed when no process holds it."""
    stalled: bool = False
    """Its workers accept nothing from the queue."""

    def rank(self) -> int:
        """Return how soon a new connection is accepted: 3 at once, 2 when the stall ends, 1 by a successor, 0 never."""
        if any(self.holders.values()):
            return 2 if self.stalled else 3
        return int(bool(self.key or self.holders) and not self.abandoned)


class Port:
    """The sockets at one address.

    `first` is bound there and unused yet; further ones are bound with the rights of `identity`, as that one was.
    `foreign`: number of orphans' sockets that listen there. `queues`: finds the stalled shards.
    """

    def __init__(
        self, first: socket.socket, identity: Identity | None, foreign: int = 0, queues: Queues | None = None
    ) -> None:
        self._first: socket.socket | None = first
        self._identity = identity
        self._foreign = foreign
        self.orphans_serve = False
        """Whether orphans get all new connections until a worker of ours is ready."""
        self._queues = queues
        self._members = [Member("foreign", None) for _ in range(foreign)]
        self._steered: list[int] = []
        self._best: tuple[int, bool] | None = None
        """Of the places that are steered to: their rank, and whether they are of the newest use."""
        self._newest = ""

    @property
    def gone(self) -> bool:
        """Whether no socket of ours is left here."""
        return self._first is None and not self._members

    def template(self) -> socket.socket:
        """Return one of the sockets, to read the address from."""
        return self._first or next(member.socket for member in self._members if member.socket is not None)

    # Desired sockets.

    def open(self, listener: Listener) -> None:
        """Open a socket for this listener, or change the options of the open ones. Raises OSError."""
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
        """Stop new connections to the sockets of this sharing; their holders still accept what waits."""
        use = "shared" if sharing == "shared" else "shard"
        withdrawn = [member for member in self._members if member.use == use]
        for member in withdrawn:
            member.withdrawn = True
            _refuse_new(member.socket)
        for member in withdrawn:
            self._remove_if_unused(member)
        self._steer()

    def close(self) -> None:
        """Close all sockets here. Workers with a copy go on with it."""
        for member in self._members:
            if member.socket is not None:
                self._stop_sampling(member)
                member.socket.close()
        if self._first is not None:
            self._first.close()
        self._members, self._first = [], None

    # Holders.

    def give(self, listener: Listener, key: str, pid: int) -> socket.socket:
        """Return the socket for this process, a worker of slot `key`. Raises OSError if none can be opened."""
        member = self._shard(listener, key) if listener.sharing == "sharded" else self._shared()
        member.holders[pid] = False
        member.abandoned = False
        self._steer_after(member)
        assert member.socket is not None
        return member.socket

    def serves(self, pid: int, whether: bool, abandons: bool = False) -> None:
        """Note whether a process accepts from its socket; `abandons`: no successor follows it."""
        for member in self._members:
            if pid in member.holders:
                member.holders[pid] = whether
                member.abandoned |= abandons and member.use == "shard"
                self._steer_after(member)

    def ended(self, pid: int) -> None:
        """Note that a process has exited, and its copy is closed."""
        for member in list(self._members):
            if member.holders.pop(pid, None) is not None:
                member.stalled = False
                self._remove_if_unused(member)
                self._steer()

    def forget(self, key: str) -> None:
        """Note that a slot is removed: its shard is closed, or kept for the next slot."""
        for member in list(self._members):
            if member.key == key:
                member.key = ""
                self._remove_if_unused(member)
                self._steer()

    def orphan_ended(self) -> None:
        """Note that an orphan has ended, and others have not."""
        if self._foreign > 1:  # Not known which place it has left. One socket is shared: the others hold it.
            self.orphans_drain()

    def orphans_drain(self) -> None:
        """Note that the orphans accept no further connections."""
        self.orphans_serve = False
        self._steer()

    def admit_again(self) -> None:
        """Admit new connections at each socket that is wanted: a process that holds a copy may have refused them."""
        for member in self._members if not self._foreign else ():  # A guard, which there is beside theirs, never does.
            (_refuse_new if member.withdrawn else _admit_new)(member.socket)

    def count_again(self) -> None:
        """Count the sockets of orphans that are left."""
        ours = sum(1 for member in self._members if member.socket is not None)
        left = bind.count_listening(self.template()) - ours
        if left < 0:
            return  # /proc is not available.
        for _ in range(self._foreign - left):
            # It does not matter which one left: a guard, the last in the list, takes its place.
            place = next(place for place, member in enumerate(self._members) if member.use == "foreign")
            self._members[place] = self._members.pop()
            self._foreign -= 1
        if not self._foreign:
            for member in list(self._members):
                self._remove_if_unused(member)
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
        """Append a socket; beside orphans several shards at once, to need fewer guards, which come last."""
        if self._foreign and self._first is None:
            self.count_again()
        added = [self._append(use, listener)]
        if self._foreign:
            self._steer()
            added += [self._append(use, listener) for _ in range(self._foreign - 1 if use == "shard" else 0)]
            for _ in range(self._foreign):
                self._append("guard", listener)
            for member in added:
                _admit_new(member.socket)
        return added[0]

    def _append(self, use: Use, listener: Listener) -> Member:
        sock, self._first = self._first, None
        if sock is None:
            with acting_as(self._identity):
                sock = bind.open_beside(self.template())
        try:
            if self._foreign:  # The kernel may choose it before the program does; a guard must never be chosen.
                _refuse_new(sock)
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
        """Send new connections elsewhere while a queue is stalled; those that wait there wait for its worker."""
        member.stalled = stalled
        self._steer()

    def _stop_sampling(self, member: Member) -> None:
        if member.socket is not None and self._queues is not None:
            self._queues.remove(member.socket)

    def _remove_if_unused(self, member: Member) -> None:
        """Close a socket that no process holds or will get, if the list stays correct without it."""
        queues = [one for one in self._members if one.use in ("shared", "shard")]
        if not self._foreign and all(one.withdrawn and not one.holders for one in queues):
            self.close()
            return
        moved = len(self._members) - 1
        if member not in queues or member.holders or self._foreign:
            return
        if not member.withdrawn:
            alone = all(one.withdrawn for one in queues if one is not member)
            if member.use == "shared" or member.key or alone or self._steered == [moved]:
                return  # Kept for the next slot; meanwhile it gets no new connections.
        if moved in self._steered and len(self._steered) > 1:
            self._attach([one for one in self._steered if one != moved])
        self._members[self._members.index(member)] = self._members[-1]
        self._members.pop()
        self._stop_sampling(member)
        _discard(member.socket)

    # Steering.

    def _steer_after(self, member: Member) -> None:
        """Steer after a change of one socket: of hundreds that start, each is worse than the best, or one of them."""
        mine, place = (member.rank(), member.use == self._newest), self._members.index(member)
        best = None if self._foreign or member.withdrawn or not self._steered else self._best
        if best is None or mine > best or (mine < best and place in self._steered):
            self._steer()
        elif mine == best and place not in self._steered:
            self._attach(sorted([*self._steered, place]))

    def _steer(self) -> None:
        """Send new connections to the sockets of the best rank, or to those of orphans while no worker is ready."""
        places = [
            (member.rank(), member.use == self._newest, place)
            for place, member in enumerate(self._members)
            if member.use in ("shared", "shard") and not member.withdrawn
        ]
        # While one sharing replaces the other, the newer gets all as soon as a worker serves there.
        self._best = best = max((each[:2] for each in places), default=None)
        chosen = [place for *rank, place in places if tuple(rank) == best]
        if self._foreign and self.orphans_serve and (best is None or best[0] < _READY):
            chosen = list(range(self._foreign))
        elif self._foreign and best is None:  # Ours refuse new connections; an orphan that hangs does not.
            chosen = [place for place, member in enumerate(self._members) if member.withdrawn]
        if chosen and chosen != self._steered:
            self._attach(chosen)

    def _attach(self, places: list[int]) -> None:
        if len(self._members) == 1:
            self._steered = []
            return  # Nothing to choose from, and perhaps no reuseport group yet.
        self._steered = places
        with suppress(OSError):  # Not supported by this kernel, which then distributes by its own hash.
            steering.choose(self.template(), places)


def _refuse_new(sock: socket.socket | None) -> None:
    """Refuse new connections at a socket, if the kernel supports it; established ones are not affected."""
    if sock is not None and sock.type == socket.SOCK_STREAM:
        with suppress(OSError):  # EPERM, see `turn_away`: the last connections are lost, as with any server.
            steering.turn_away(sock)


def _admit_new(sock: socket.socket | None) -> None:
    """Admit new connections again."""
    if sock is not None and sock.type == socket.SOCK_STREAM:
        with suppress(OSError):  # ENOENT: refusing them is not supported by this kernel.
            steering.admit(sock)


def _discard(sock: socket.socket | None) -> None:
    """Remove a socket from its group now, even if copies exist (a UDP socket leaves with its last copy).

    It refuses connections first. The kernel takes a socket out of its group, then off the list of listening ones, and
    only then closes it: a SYN in between is not steered, begins at this socket, and is reset when its ACK arrives.
    """
    if sock is not None:
        _refuse_new(sock)
        with suppress(OSError):  # ENOTCONN: a worker has already shut it down.
            if sock.type == socket.SOCK_STREAM:
                sock.shutdown(socket.SHUT_RDWR)
        sock.close()
