"""The open listeners, kept through an exec: the sockets themselves, with the place of each in its port's list."""

from __future__ import annotations

import socket
from functools import partial

from ..._linux.address import Address
from ..._records.members import replace
from ..._records.plain import Descriptor
from ..listeners.opened import Listeners, _SingleSocket
from ..listeners.port import Member, Port
from ..listeners.queues import Queue
from .records import KeptListeners, KeptMember, KeptPort, KeptSocket


def save(listeners: Listeners) -> KeptListeners:
    """Return the sockets and the records that name them. A copy that another process holds is not concerned."""
    given = listeners._options.given
    places = [(*at, _port(each) if isinstance(each, Port) else _single(each)) for at, each in listeners._places.items()]
    return KeptListeners(
        tuple(places),
        tuple([(listener, *at) for listener, at in listeners._records.items()]),
        listeners._orphans_serve,
        listeners._options.beside_orphans,
        tuple(map(Descriptor, sorted({*given._numbers, *given._names.values()}))),
        given._names,
        given._used,
    )


def _port(port: Port) -> KeptPort:
    first = None if port._first is None else Descriptor(port._first.fileno())
    members = tuple(map(_member, port._members))
    return KeptPort(port._identity is not None, first, members, port._foreign, port.orphans_serve, port._newest)


def _member(member: Member) -> KeptMember:
    descriptor = None if member.socket is None else Descriptor(member.socket.fileno())
    return KeptMember(member.use, descriptor, member.key, member.holders, member.abandoned, member.withdrawn)


def _single(one: _SingleSocket) -> KeptSocket:
    number = Descriptor(one._socket.fileno())
    return KeptSocket(one._identity is not None, number, one._listener, one._inode, one._path, one._ours)


def restore(listeners: Listeners, kept: KeptListeners) -> None:
    """Make these sockets those of this program."""
    for address, name, place in kept.places:
        at = address, name
        listeners._places[at] = (
            _made_port(listeners, place) if isinstance(place, KeptPort) else _made_single(listeners, address, place)
        )
    for listener, address, name in kept.records:
        listeners._records[listener] = address, name
    listeners._orphans_serve = kept.orphans_serve
    listeners._options = replace(listeners._options, beside_orphans=kept.beside_orphans)
    given = listeners._options.given
    given._names, given._used = dict(kept.given_names), set(kept.given_used)


def _made_port(listeners: Listeners, kept: KeptPort) -> Port:
    identity = listeners._options.identity if kept.as_user else None
    port = Port(_socket(kept.first), identity, 0, listeners._queues)  # type: ignore[arg-type]  # There may be none.
    port._foreign, port.orphans_serve, port._newest = kept.foreign, kept.orphans_serve, kept.newest
    for each in kept.members:
        # Not stalled: its queue is sampled as soon as something waits there, and steering is set then.
        member = Member(each.use, _socket(each.descriptor), each.key, each.holders, each.abandoned, each.withdrawn)
        port._members.append(member)
        if member.use == "shard" and member.socket is not None and port._queues is not None:
            port._queues.add(Queue(member.socket, member.holders, partial(port._stall, member)))
    port._steer()
    return port


def _made_single(listeners: Listeners, address: Address, kept: KeptSocket) -> _SingleSocket:
    sock = _socket(kept.descriptor)
    assert sock is not None
    one = _SingleSocket(address, sock, listeners._options.identity if kept.as_user else None, kept.listener)
    one._inode, one._path, one._ours = kept.inode, kept.path, kept.ours
    return one


def _socket(descriptor: int | None) -> socket.socket | None:
    return None if descriptor is None else socket.socket(fileno=descriptor)


def numbers(kept: KeptListeners, *, ours: bool = False) -> list[int]:
    """Return the descriptors of all sockets; `ours`: without those that the daemon was started with."""
    found: list[int | None] = []
    for _, _, place in kept.places:
        if isinstance(place, KeptPort):
            found += [place.first, *(member.descriptor for member in place.members)]
        elif place.ours or not ours:
            found.append(place.descriptor)
    return [number for number in found if number is not None]
