"""An accepted socket that tells when it is closed, so that open connections are counted whoever closes them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .activity import Activity


class Connection(socket.socket):
    """A connection that counts as open until it is closed, detached, or given up.

    A socket of its own kind, since nothing else knows the end of it: an accept loop hands a connection to threads,
    tasks or a transport of asyncio's, and all of these close the socket object that they were given.
    """

    __slots__ = ("_counted",)

    def __init__(self, accepted: socket.socket, activity: Activity) -> None:
        """Take over `accepted`, which is closed for whoever still has it."""
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._counted: _Counted | None = _Counted(activity)

    def close(self) -> None:
        """Close it; it counts as open while a file made of it is."""
        super().close()
        if self.fileno() < 0:
            self._counted = None

    def detach(self) -> int:
        """As `socket.detach`: whoever takes the descriptor counts it, or nobody does."""
        self._counted = None
        return super().detach()


class _Counted:
    """Counts one connection for as long as somebody holds it: a socket that is only dropped ends it too."""

    __slots__ = ("_activity",)

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        activity.opened()

    def __del__(self) -> None:
        self._activity.closed()
