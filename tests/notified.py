"""A service manager's end of the socket on which daemons tell it how they are."""

from __future__ import annotations

import select
import socket
import struct
from time import monotonic

from support import PATIENCE

_CREDENTIALS = struct.Struct("=iII")


class NotifySocket:
    """The socket, at a path or at an abstract name (`@...`)."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.senders = set[int]()
        self.all = list[dict[str, str]]()

    def close(self) -> None:
        self._socket.close()

    def read(self, timeout: float = PATIENCE) -> dict[str, str] | None:
        """Return the next message, as the assignments that it is made of; None where none comes in time."""
        if not select.select([self._socket], [], [], max(0.0, timeout))[0]:
            return None
        data, control, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(_CREDENTIALS.size))
        self.senders.add(_CREDENTIALS.unpack(control[0][2])[0])
        message = dict(line.split("=", 1) for line in data.decode().split("\n"))
        self.all.append(message)
        return message

    def expect(self, **assignments: str) -> dict[str, str]:
        """Return the next message that holds all of these; those before it are passed over."""
        deadline = monotonic() + PATIENCE
        while (message := self.read(deadline - monotonic())) is not None:
            if assignments.items() <= message.items():
                return message
        raise AssertionError(f"{assignments} never came: {self.all}")
