"""A client of the daemon over the connection that the master has passed: it reads, and commands nothing."""

from __future__ import annotations

import os
import socket
from threading import Lock

from .._client.connection import PATIENCE, Connection
from ..client import Client


class GrantedClient(Client):
    """The client. Each call has a connection of its own, which the master makes on request. For any thread."""

    def __init__(self, descriptor: int) -> None:
        super().__init__("the runtime directory of this daemon")
        self._root = socket.socket(fileno=descriptor)
        self._asking = Lock()
        self._asked = False  # A request whose answer came too late is still to be answered.

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
