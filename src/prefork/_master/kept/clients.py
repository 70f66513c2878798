"""The control socket with all its connections, and the journal, kept through an exec."""

from __future__ import annotations

import _socket as socket
from collections import deque
from functools import partial

from ..._records.plain import Descriptor
from ..._report.journal import ALL, Journal, _Worker
from ..control.connection import Connection
from ..control.replies import Replies
from ..control.server import Control
from .records import KeptConnection, KeptControl, KeptJournal


def save(control: Control, replies: Replies) -> KeptControl:
    """Return the socket and every connection; the rest of a reply that is made in pieces is made now.

    Besides the client that has asked, all others stay connected: an agent has no other way to the master.
    """
    connections = tuple([_connection(each) for each in control._connections.values()])
    place, listener = Descriptor(control._place), Descriptor(control._listener.fileno())
    return KeptControl(place, listener, control._group, control._grants, replies._commands, connections)


def _connection(each: Connection) -> KeptConnection:
    if each.pieces is not None:
        each.outgoing += b"".join(each.pieces)
        each.pieces, each.watches = None, each.follows
    return KeptConnection(
        descriptor=Descriptor(each.socket.fileno()),
        pid=each.pid,
        uid=each.uid,
        member=each.member,
        reader=each.reader,
        incoming=bytes(each.incoming),
        outgoing=bytes(each.outgoing),
        waits_for=each.waits_for,
        watches=each.watches,
        lost=each.lost,
        readable=each.readable,
        passes=None if each.passes is None else Descriptor(each.passes),
        refuses=each.refuses,
        closing=each.closing,
    )


def restore(control: Control, replies: Replies, kept: KeptControl) -> None:
    """Serve these connections, from the next turn of the loop on."""
    control._grants, replies._commands = kept.grants, kept.commands
    for each in kept.connections:
        connection = Connection(
            socket.socket(fileno=each.descriptor),
            each.pid,
            each.uid,
            each.member,
            each.reader,
            bytearray(each.incoming),
            bytearray(each.outgoing),
        )
        connection.socket.setblocking(False)
        connection.watches, connection.lost = each.watches, each.lost
        connection.readable, connection.passes = each.readable, each.passes
        connection.refuses, connection.closing = each.refuses, each.closing
        control._connections[each.descriptor] = connection
        if each.waits_for is not None:
            connection.waits_for = each.waits_for
            replies._waiting[each.waits_for] = partial(control._answer, connection)
        control._epoll_of(connection).register(connection.socket, 0)
        control._listen_for(connection)


def listener(kept: KeptControl) -> socket.socket:
    """Return the listening socket."""
    return socket.socket(fileno=kept.listener)


def journal(kept: Journal) -> KeptJournal:
    """Return the records, and how often what was counted."""
    workers = {pid: (each.key, each.generation, each.since) for pid, each in kept.workers.items()}
    return KeptJournal(kept.number, kept.kept, kept.recent, kept.slots, workers, kept.limit, kept.report, kept.tally)


def made_journal(kept: KeptJournal) -> Journal:
    """Return the journal again."""
    workers = {pid: _Worker(*each) for pid, each in kept.workers.items()}
    recent = deque(kept.recent, maxlen=ALL)
    return Journal(kept.number, kept.kept, recent, kept.slots, workers, kept.limit, kept.report, kept.tally)
