"""Messages with descriptors and verified senders, over AF_UNIX SOCK_SEQPACKET.

A packet is one byte that says where the message is, then the message: inline, or, where it would not fit a socket's
buffer, in a sealed memfd that travels as the first descriptor. The peer may be hostile: anything but exactly one honest
message raises MalformedMessage, and no descriptor that came with it stays open.
"""

from __future__ import annotations

import _socket
import array
import os
import socket
import sys
from collections.abc import Sequence
from typing import NamedTuple

from .._errors import SystemFailure
from .._wire.messages import (
    ChildAnnounced,
    Hello,
    MalformedMessage,
    Message,
    Order,
    Ready,
    decode,
    decode_order,
    descriptor_count,
    encode,
)
from . import memfd
from .credentials import UCRED

INLINE_LIMIT = 16 * 1024  # bytes; far below the smallest socket buffer, and cheap to allocate for each receive

_INLINE, _IN_MEMFD = b"=", b"@"
_ANNOUNCED, _HELLO, _READY = ((_INLINE, encode(message)) for message in (ChildAnnounced(), Hello(), Ready()))
_MOST_DESCRIPTORS = 253  # SCM_MAX_FD: no packet can bring more, so a truncated control message is never the sender's
# Plain numbers: to combine the module's enumeration members makes new ones, which touches pages in every worker.
_UNIX, _SEQPACKET = int(socket.AF_UNIX), int(socket.SOCK_SEQPACKET)
_DONTWAIT, _NOSIGNAL, _CMSG_CLOEXEC = int(socket.MSG_DONTWAIT), int(socket.MSG_NOSIGNAL), int(socket.MSG_CMSG_CLOEXEC)
_CTRUNC, _TRUNC = int(socket.MSG_CTRUNC), int(socket.MSG_TRUNC)
_SOL_SOCKET, _SCM_RIGHTS, _SCM_CREDENTIALS = socket.SOL_SOCKET, socket.SCM_RIGHTS, socket.SCM_CREDENTIALS
_CONTROL_SPACE = socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS) + socket.CMSG_SPACE(UCRED.size)


class DescriptorsLost(SystemFailure):
    """This process has no room for the descriptors that it was sent; what came with them is gone too."""


class Received(NamedTuple):
    """One message. The receiver owns `descriptors`; `pid` is the sender's (`verify_sender`), None where not sent."""

    message: Message
    descriptors: tuple[int, ...]
    pid: int | None


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
        """Take over a descriptor. For no such socket it is closed, and MalformedMessage raised."""
        try:
            sock = _socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise MalformedMessage("the descriptor is no socket") from None
        if (sock.family, sock.type) != (_UNIX, _SEQPACKET):
            sock.close()
            raise MalformedMessage("the descriptor is another kind of socket")
        sock.setblocking(True)
        return cls(sock)

    def fileno(self) -> int:
        """Return the descriptor, to wait for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; calling it again does nothing."""
        self._socket.close()

    def close_sending(self) -> None:
        """Let the peer read end of file; receiving goes on."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # ENOTCONN: the peer has closed its end

    def verify_sender(self, wanted: bool) -> None:
        """Set whether `receive` returns the sender's pid. While it is on, a send gives the end an abstract name."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, int(wanted))

    def send(self, message: Message, descriptors: Sequence[int] = (), *, wait: bool = True) -> None:
        """Send one message with copies of `descriptors`.

        Raises BlockingIOError where it would have to wait and must not, BrokenPipeError or
        ConnectionResetError when the peer has gone, and OSError when descriptors are exhausted.
        """
        self._send(message, descriptors, [], 0 if wait else _DONTWAIT)

    def try_send(self, message: Message) -> bool:
        """Send one message; return False when the peer has closed its end. Otherwise raises as `send` does."""
        try:
            self.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def announce_child(self, child: Channel) -> None:
        """Send ChildAnnounced with a copy of that end. Raises as `send` does.

        Done between two forks, so every page that it touches is private memory of one newborn: hence few objects.
        """
        descriptor = child.fileno().to_bytes(4, sys.byteorder)
        self._socket.sendmsg(_ANNOUNCED, [(_SOL_SOCKET, _SCM_RIGHTS, descriptor)], _NOSIGNAL)

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

    def _send(
        self, message: Message, descriptors: Sequence[int], control: list[tuple[int, int, bytes]], flags: int
    ) -> None:
        data = encode(message)
        large = len(data) > INLINE_LIMIT
        passed = list(descriptors)
        if large:
            passed.insert(0, memfd.write("prefork-message", data))
        try:
            if passed:
                control.append((_SOL_SOCKET, _SCM_RIGHTS, array.array("i", passed).tobytes()))
            packet = [_IN_MEMFD] if large else [_INLINE, data]
            self._socket.sendmsg(packet, control, flags | _NOSIGNAL)
        finally:
            if large:
                os.close(passed[0])

    def receive(self, *, wait: bool = True) -> Received | None:
        """Return the next message; None at end of file. Orders are read by `receive_order`.

        Raises BlockingIOError where it would have to wait and must not, DescriptorsLost, and MalformedMessage.
        """
        data, control, flags = self._receive_packet(_CMSG_CLOEXEC | (0 if wait else _DONTWAIT))
        descriptors, pid = _take_apart(control)
        try:
            if flags & _CTRUNC:
                raise DescriptorsLost("no descriptor left for what was sent to this process")
            if not data and not descriptors:
                return None
            if flags & _TRUNC:
                raise MalformedMessage("a packet longer than any message")
            message = decode(self._payload(data, descriptors))
            if len(descriptors) != descriptor_count(message):
                raise MalformedMessage(f"{type(message).__name__} with {len(descriptors)} descriptors")
        except BaseException:
            for each in descriptors:
                os.close(each)
            raise
        return Received(message, tuple(descriptors), pid)

    def receive_order(self) -> tuple[Order, list[int]] | None:
        """Return a newborn's order with its descriptors; None at end of file. Raises as `receive` does.

        The sender is trusted: fewer checks and objects than in `receive` save each worker 15 pages.
        """
        data, control, flags = self._receive_packet(_CMSG_CLOEXEC)
        descriptors, _ = _take_apart(control)
        if flags & _CTRUNC:
            raise DescriptorsLost("no descriptor left for what was sent to this process")
        return (decode_order(self._payload(data, descriptors)), descriptors) if data else None

    def _receive_packet(self, flags: int) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
        while True:
            try:
                data, control, got, _ = self._socket.recvmsg(INLINE_LIMIT + 1, _CONTROL_SPACE, flags)
            except ConnectionResetError:
                # The peer closed with a message unread. The kernel reports that once, and before what the peer had
                # sent: the next call returns those messages, and then end of file.
                continue
            return data, control, got

    @staticmethod
    def _payload(data: bytes, descriptors: list[int]) -> bytes:
        if data[:1] == _INLINE:
            return data[1:]
        if data != _IN_MEMFD or not descriptors:
            raise MalformedMessage("neither inline nor in a memfd")
        descriptor = descriptors.pop(0)
        try:
            return memfd.read(descriptor)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        finally:
            os.close(descriptor)


def _take_apart(control: list[tuple[int, int, bytes]]) -> tuple[list[int], int | None]:
    """Return the descriptors and the sender's pid among the control messages of one packet."""
    descriptors: list[int] = []
    pid = None
    for level, kind, data in control:
        if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
            descriptors += memoryview(data)[: len(data) // 4 * 4].cast("i").tolist()
        elif level == _SOL_SOCKET and kind == _SCM_CREDENTIALS and len(data) == UCRED.size:
            pid = UCRED.unpack(data)[0]
    return descriptors, pid
