"""Messages with descriptors, over AF_UNIX SOCK_SEQPACKET: the ends of molds, newborns and workers.

A packet is one byte that says where the message is, then the message: inline, or, where the master's would not fit a
socket's buffer, in a sealed memfd that travels as the first descriptor. Only the master sends descriptors, and what it
sends is trusted: its own end is `_master.channels.end`.
"""

from __future__ import annotations

import _socket
import array
import os
import socket
from collections.abc import Sequence

from .._errors import SystemFailure
from .._records.record import record
from .._wire.messages import Hello, MalformedMessage, Message, Order, Ready, decode, decode_order, encode, fitting
from . import memfd
from .credentials import UCRED

INLINE_LIMIT = 16 * 1024  # bytes; far below the smallest socket buffer, and cheap to allocate for each receive
INLINE, IN_MEMFD = b"=", b"@"

_HELLO, _READY = ((INLINE, encode(message)) for message in (Hello(), Ready()))
_MOST_DESCRIPTORS = 253  # SCM_MAX_FD: no packet can bring more, so a truncated control message is never the sender's
# Plain numbers: to combine the module's enumeration members makes new ones, which touches pages in every worker.
_UNIX, _SEQPACKET = int(socket.AF_UNIX), int(socket.SOCK_SEQPACKET)
_DONTWAIT, _NOSIGNAL, _CMSG_CLOEXEC = int(socket.MSG_DONTWAIT), int(socket.MSG_NOSIGNAL), int(socket.MSG_CMSG_CLOEXEC)
_CTRUNC = int(socket.MSG_CTRUNC)
_SOL_SOCKET, _SCM_RIGHTS, _SCM_CREDENTIALS = socket.SOL_SOCKET, socket.SCM_RIGHTS, socket.SCM_CREDENTIALS
_CONTROL_SPACE = socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS)


class DescriptorsLost(SystemFailure):
    """This process has no room for the descriptors that it was sent; what came with them is gone too."""


@record
class Received:
    """One message. The receiver owns `descriptors`; they are fewer than were sent where it had no room for all."""

    message: Message
    descriptors: tuple[int, ...]


class Channel:
    """One end. Every call blocks unless `wait` is false; all descriptors are close-on-exec.

    The socket is the interpreter's own, without the class of the `socket` module around it, which would cost each
    worker 100 KB of private memory.
    """

    def __init__(self, sock: _socket.socket) -> None:
        self._socket = sock

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return the two ends of a new channel. Raises OSError (descriptors exhausted)."""
        one, other = _socket.socketpair(_UNIX, _SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def from_descriptor(cls, descriptor: int) -> Channel:
        """Take over a descriptor that the master has passed."""
        sock = _socket.socket(fileno=descriptor)
        sock.setblocking(True)
        return cls(sock)

    def fileno(self) -> int:
        """Return the descriptor, to wait for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; calling it again does nothing."""
        self._socket.close()

    def send(self, message: Message, descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
        """Send one message with copies of `descriptors`; long texts are cut so that it fits a packet.

        Raises BlockingIOError where it would have to wait and must not, BrokenPipeError or
        ConnectionResetError when the peer has gone, and OSError when descriptors are exhausted.
        """
        self._send_packet([INLINE, fitting(message, INLINE_LIMIT)], descriptors, wait)

    def try_send(self, message: Message) -> bool:
        """Send one message; return False when the peer has closed its end. Otherwise raises as `send` does."""
        try:
            self.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def send_hello(self) -> None:
        """Send Hello with this process's pid, which the kernel verifies. Raises as `send` does."""
        # Attached here, so that the receiver's SO_PASSCRED need not be on before the message is sent.
        credentials = UCRED.pack(os.getpid(), os.geteuid(), os.getegid())
        self._socket.sendmsg(_HELLO, [(_SOL_SOCKET, _SCM_CREDENTIALS, credentials)], _NOSIGNAL)

    def send_ready(self) -> None:
        """Send Ready, unless the peer has closed its end. Otherwise raises as `send` does."""
        try:
            self._socket.sendmsg(_READY, (), _NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _send_packet(self, packet: Sequence[bytes], descriptors: Sequence[int], wait: bool) -> None:
        control = [(_SOL_SOCKET, _SCM_RIGHTS, array.array("i", descriptors).tobytes())] if descriptors else []
        self._socket.sendmsg(packet, control, _NOSIGNAL if wait else _NOSIGNAL | _DONTWAIT)

    def receive(self, *, wait: bool = True) -> Received | None:
        """Return the next message; None at end of file. Orders are read by `receive_order`.

        Raises BlockingIOError where it would have to wait and must not, and MalformedMessage.
        """
        data, descriptors, _ = self._receive_packet(_CMSG_CLOEXEC | (0 if wait else _DONTWAIT))
        return Received(decode(self._payload(data, descriptors)), tuple(descriptors)) if data else None

    def receive_order(self) -> tuple[Order, list[int]] | None:
        """Return a newborn's order with its descriptors; None at end of file. Raises DescriptorsLost."""
        data, descriptors, flags = self._receive_packet(_CMSG_CLOEXEC)
        if flags & _CTRUNC:
            raise DescriptorsLost("no descriptor left for what was sent to this process")
        return (decode_order(self._payload(data, descriptors)), descriptors) if data else None

    def _receive_packet(self, flags: int) -> tuple[bytes, list[int], int]:
        data, control, got = receive_packet(self._socket, _CONTROL_SPACE, flags)
        descriptors: list[int] = []
        for level, kind, numbers in control:
            if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
                descriptors += memoryview(numbers)[: len(numbers) // 4 * 4].cast("i").tolist()
        return data, descriptors, got

    @staticmethod
    def _payload(data: bytes, descriptors: list[int]) -> bytes:
        if data[:1] == INLINE:
            return data[1:]
        if data != IN_MEMFD or not descriptors:
            raise MalformedMessage("neither inline nor in a memfd")
        descriptor = descriptors.pop(0)
        try:
            return memfd.read(descriptor)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        finally:
            os.close(descriptor)


def receive_packet(sock: _socket.socket, room: int, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
    """Return the next packet, or a little more than any has, its control messages and its flags. Raises OSError."""
    while True:
        try:
            data, control, got, _ = sock.recvmsg(INLINE_LIMIT + 2, room, flags)
        except ConnectionResetError:
            # The peer closed with a message unread. The kernel reports that once, and before what the peer had
            # sent: the next call returns those messages, and then end of file.
            continue
        return data, control, got
