"""The socket at which an orphan waits for a master that adopts it.

It exists while the process is an orphan: a worker with a master has no descriptor for this. Its address is abstract,
since a worker may not have the right to make files where the master looks. Any local user may connect to it: only root
and the user of this process are answered, and the kernel says which one a peer is.
"""

from __future__ import annotations

import _socket
import os
import select
from collections.abc import Collection

from ..._linux.channel import Channel
from ..._linux.credentials import peer_of
from ..._wire.messages import Adopt, HandedOver, HandOver, MalformedMessage
from ..._wire.places import orphan_address

_PATIENCE = 2000
"""Milliseconds that a master has for its message, once it has connected."""

_MOST = 250
"""Descriptors in one packet (SCM_MAX_FD is 253)."""


class Adoption:
    """Where this process can be adopted; nowhere if it has no socket for it."""

    def __init__(self, listening: _socket.socket | None) -> None:
        self._listening = listening

    @classmethod
    def at(cls, lifeline: int) -> Adoption:
        """Listen at the address that belongs to this lifeline and this process."""
        listening = None
        try:
            listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            listening.setblocking(False)
            listening.bind(orphan_address(os.fstat(lifeline).st_ino, os.getpid()))
            listening.listen()
        except OSError:  # No descriptor is left, or another process has the address.
            if listening is not None:
                listening.close()
            listening = None
        return cls(listening)

    def __enter__(self) -> Adoption:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more; calling it again does nothing."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    def wait(self, other: int, seconds: float) -> bool:
        """Wait until a process connects (True), another descriptor is readable, or the time has passed."""
        waiting = select.poll()
        waiting.register(other, select.POLLIN)
        if self._listening is not None:
            waiting.register(self._listening, select.POLLIN)
        found = [descriptor for descriptor, _ in waiting.poll(seconds * 1000)]
        return self._listening is not None and self._listening.fileno() in found

    def answer(self) -> Channel | None:
        """Answer one connection; return it if its process adopts this one."""
        assert self._listening is not None
        try:
            descriptor, _ = self._listening._accept()  # type: ignore[attr-defined] # As `socket.accept` does.
        except OSError:
            return None  # It has gone, or no descriptor is left.
        connection = _socket.socket(fileno=descriptor)
        channel = Channel(connection)
        connection.setblocking(True)
        adopted = False
        try:
            adopted = peer_of(connection)[1] in (0, os.geteuid()) and self._answered(channel)
        except (OSError, MalformedMessage):
            pass  # It has gone, or is no master.
        finally:
            if not adopted:
                channel.close()
        return channel if adopted else None

    @staticmethod
    def _answered(channel: Channel) -> bool:
        waiting = select.poll()
        waiting.register(channel, select.POLLIN)
        if not waiting.poll(_PATIENCE):
            return False
        received = channel.receive(wait=False)
        for descriptor in () if received is None else received.descriptors:
            os.close(descriptor)
        match None if received is None else received.message:
            case HandOver(wanted):
                found = held(wanted)
                channel.send(HandedOver(tuple(found)), tuple(found.values()), wait=False)
            case Adopt():
                return True
        return False


def held(wanted: Collection[str]) -> dict[str, int]:
    """Return the descriptors of this process that are wanted (`DEVICE:INODE`), by these names."""
    found: dict[str, int] = {}
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            status = os.fstat(number)
        except OSError:
            continue  # The descriptor through which the directory was listed, or one that another thread has closed.
        name = f"{status.st_dev}:{status.st_ino}"
        if name in wanted and len(found) < _MOST:
            found.setdefault(name, number)
    return found
