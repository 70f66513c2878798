"""Connections of a master to orphans, each at the address where the orphan waits for one."""

from __future__ import annotations

import _socket

from ..._linux.credentials import peer_of
from ..._wire.messages import Adopt
from ..._wire.places import orphan_address
from ..channels.end import MasterEnd


def connected(pid: int, lifeline: int) -> _socket.socket:
    """Return a connection to an orphan. Raises OSError: it does not listen (yet), or another process does."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return _connect(sock, pid, lifeline)


def adopt(pid: int, lifeline: int) -> MasterEnd:
    """Adopt an orphan; return the channel to it. Raises OSError as `connected`."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    end = MasterEnd(sock)  # First: no descriptor can be sent to it before the kernel refuses them.
    try:
        _connect(sock, pid, lifeline)
        end.send(Adopt(), wait=False)
    except OSError:
        sock.close()
        raise
    return end


def _connect(sock: _socket.socket, pid: int, lifeline: int) -> _socket.socket:
    try:
        sock.setblocking(False)
        sock.connect(orphan_address(lifeline, pid))
        if peer_of(sock)[0] != pid:
            raise ConnectionRefusedError("another process listens at its address")
        sock.setblocking(True)
    except OSError:
        sock.close()
        raise
    return sock
