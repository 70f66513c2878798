"""The master's end of a channel: it sends descriptors and takes none, and believes only the kernel.

The peer may be hostile, and without the privileges that the master still has. It can send one thing: a message that
fits a packet. For anything else MalformedMessage is raised, and the end is to be closed.
"""

from __future__ import annotations

import _socket
import os
import socket
from collections.abc import Sequence

from ..._linux import memfd
from ..._linux.channel import IN_MEMFD, INLINE, INLINE_LIMIT, Channel, receive_packet
from ..._linux.credentials import UCRED
from ..._records.record import record
from ..._wire.messages import MalformedMessage, Message, decode, encode
from . import rights
from .cleaned import cleaned


@record
class Told:
    """One message, its texts printable. `pid` is the sender's (`verify_sender`), None where it is not asked for."""

    message: Message
    pid: int | None


class MasterEnd(Channel):
    """The master's end. Every call blocks unless `wait` is false."""

    def __init__(self, sock: _socket.socket) -> None:
        super().__init__(sock)
        self._refused = rights.refuse(sock)
        self._room = 0

    @classmethod
    def made(cls) -> tuple[MasterEnd, Channel]:
        """Return the master's end of a new channel, and the one to give away. Raises OSError."""
        one, other = _socket.socketpair(int(socket.AF_UNIX), int(socket.SOCK_SEQPACKET))
        return cls(one), Channel(other)

    def close(self) -> None:
        """See `Channel`. What waits here may be a descriptor that takes for ever to close."""
        if self._refused or self._socket.fileno() < 0:
            self._socket.close()
        else:
            rights.close(self._socket)

    def close_sending(self) -> None:
        """Let the peer read end of file; receiving goes on."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # ENOTCONN: the peer has closed its end.

    def verify_sender(self, wanted: bool) -> None:
        """Set whether `hear` returns the sender's pid. While it is on, a send gives the end an abstract name."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, int(wanted))
        self._room = rights.CREDENTIALS if wanted else 0

    def send(self, message: Message, descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
        """See `Channel`; here a message may have any size."""
        data = encode(message)
        if len(data) <= INLINE_LIMIT:
            self._send_packet([INLINE, data], descriptors, wait)
            return
        large = memfd.write("prefork-message", data)
        try:
            self._send_packet([IN_MEMFD], [large, *descriptors], wait)
        finally:
            os.close(large)

    def hear(self, *, wait: bool = True) -> Told | None:
        """Return the next message; None at end of file.

        Raises BlockingIOError where it would have to wait and must not, and MalformedMessage.
        """
        dontwait = 0 if wait else int(socket.MSG_DONTWAIT)
        if not self._refused:  # Look, before it is taken.
            _, _, flags = receive_packet(self._socket, self._room, dontwait | int(socket.MSG_PEEK))
            if flags & socket.MSG_CTRUNC:
                raise MalformedMessage("a packet with descriptors")
        data, control, flags = receive_packet(self._socket, self._room, dontwait)
        if not data and not control:
            return None
        if flags & socket.MSG_TRUNC or data[:1] != INLINE:
            raise MalformedMessage("a packet that is no message, or longer than any is")
        return Told(cleaned(decode(data[1:])), _sender(control))


def _sender(control: Sequence[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in control:
        if (level, kind, len(data)) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, UCRED.size):
            return int(UCRED.unpack(data)[0]) or None
    return None
