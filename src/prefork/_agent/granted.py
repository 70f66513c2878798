"""A client of the daemon over the connection that the master has passed: it reads, and commands nothing."""

from __future__ import annotations

import os
import socket
from threading import Lock
from typing import Any

from .._client.connection import PATIENCE, Connection
from .._errors import SystemFailure
from ..client import Client


class GrantedClient(Client):
    """The client, for any thread. The master makes further connections for it on request.

    Short requests have one in common, which is kept: a flood of clients that leaves no descriptor cuts the agent off
    from nothing.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__("its runtime directory")
        self._root = socket.socket(fileno=descriptor)
        self._asking = Lock()
        self._asked = False  # A request whose answer came too late is still to be answered.
        self._talking = Lock()
        self._kept: Connection | None = None

    def _ask(self, request: str, timeout: float | None = PATIENCE, **more: object) -> dict[str, Any]:
        with self._talking:
            if self._kept is None:
                self._kept = self._connection(timeout).__enter__()
            try:
                self._kept.send(request, **more)
                return self._kept.outcome(self._kept.receive())
            except SystemFailure:  # An answer that comes late would be taken for that of the next request.
                self._kept.__exit__(None, None, None)
                self._kept = None
                raise

    def _connection(self, timeout: float | None) -> Connection:
        return Connection(self.directory, timeout, self._another)

    def _another(self, _directory: str) -> socket.socket:
        """Return another connection. Raises SystemFailure if the master has ended, or does not answer."""
        with self._asking, Connection(self.directory, PATIENCE, lambda _directory: self._root.dup()) as root:
            if not self._asked:
                root.send("connection")
                self._asked = True
            with root.receive_descriptor() as received:
                self._asked = False
                return socket.socket(fileno=os.dup(received.fileno()))
