"""An accepted socket that counts as open until it is closed, whichever code closes it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .activity import Activity


class Connection(socket.socket):
    """A connection that counts as open until it is closed, detached, or no longer referenced.

    A class of socket, since nothing else sees the end: an accept loop hands a connection to threads, tasks or a
    transport of asyncio's, and all of these close the socket object that they were given.
    """

    __slots__ = ("_counted",)

    def __init__(self, accepted: socket.socket, activity: Activity) -> None:
        """Take over `accepted`, which is detached."""
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._counted: _Counted | None = _Counted(activity)

    def close(self) -> None:
        """Close it; it counts as open while a file made of it is open."""
        super().close()
        if self.fileno() < 0:
            self._counted = None

    def detach(self) -> int:
        """Return the descriptor, as `socket.detach`; from then on it is not counted here."""
        self._counted = None
        return super().detach()


class _Counted:
    """Counts one connection while it is referenced: a socket that is dropped without a close ends it too."""

    __slots__ = ("_activity",)

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        activity.opened()

    def __del__(self) -> None:
        self._activity.closed()
