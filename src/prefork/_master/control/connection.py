"""A client that is connected to the control socket, and which of them has to make room."""

from __future__ import annotations

import _socket as socket
import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence

from ..._records.members import field
from ..._records.record import entity
from ..channels import rights


@entity
class Connection:
    """A connected client."""

    socket: socket.socket
    pid: int
    uid: int
    member: bool  # of the control group: neither root nor the daemon's user
    reader: int = 0  # the number of the grant that it came of: it only reads
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)
    pieces: Iterator[bytes] | None = None  # what is left of a reply
    waits_for: int | None = None  # the command whose outcome it gets
    watches: bool = False
    follows: bool = False  # it will watch when it has the earlier events
    lost: int = 0  # events for which there was no room
    readable: bool = True  # the client has not closed its side
    passes: int | None = None  # a descriptor to send with the next bytes, and to close
    refuses: bool = True  # the kernel refuses descriptors for it
    closing: bool = False  # it is closed when the last byte is written
    events: int = 0  # that epoll waits for

    @property
    def client(self) -> str:
        """Its user and process, for the record."""
        return f"uid {self.uid} (pid {self.pid})"

    @property
    def busy(self) -> bool:
        """Whether a request is being served."""
        return bool(self.outgoing) or self.pieces is not None or self.waits_for is not None or self.watches

    def send(self) -> int:
        """Write what there is room for, with the descriptor to pass; return the number of bytes."""
        control = []
        if self.passes is not None:
            control.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", self.passes)))
        count = self.socket.sendmsg([self.outgoing], control, socket.MSG_NOSIGNAL)
        self.close_passed()
        return count

    def close(self) -> None:
        """Close it, without waiting for what the client has sent."""
        self.close_passed()
        if self.refuses:
            self.socket.close()
        else:
            rights.close(self.socket)

    def close_passed(self) -> None:
        """Close the descriptor to pass."""
        if self.passes is not None:
            os.close(self.passes)
            self.passes = None

    @property
    def more(self) -> bool:
        """Whether there is more to do once the client has read what waits."""
        return self.pieces is not None or (not self.busy and b"\n" in self.incoming)


def to_close(connections: Sequence[Connection]) -> Connection:
    """Return the one to close in favour of another: of the user who has the most, the first that is idle."""
    counts = Counter(each.uid for each in connections)
    most = max(counts.values())
    theirs = [each for each in connections if counts[each.uid] == most]
    return next((each for each in theirs if not each.busy), theirs[0])
