"""Clients in a closed loop: one request per connection, the next one after the answer or the timeout."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from peers import request

CLIENTS = 16


@dataclass
class Answers:
    """When each answer came, in seconds from the start, and from which worker; the number of failed requests."""

    given: list[tuple[float, int]] = field(default_factory=list)
    given_up: int = 0
    failed: int = 0


class ClosedLoop:
    """N clients of one server, in one thread."""

    def __init__(self, port: int, patience: float) -> None:
        self._port = port
        self._patience = patience
        self._readable = select.epoll()
        self._waiting: dict[int, tuple[socket.socket, float]] = {}
        self._read: dict[int, bytes] = {}
        self._begun = time.monotonic()
        self.answers = Answers()

    def run(self, seconds: float, at: float = 0.0, act: Callable[[], object] | None = None) -> Answers:
        """Send requests for some seconds; call `act` after `at` seconds."""
        for _ in range(CLIENTS):
            self._ask()
        while (now := time.monotonic() - self._begun) < seconds:
            if act is not None and now >= at:
                act()
                act = None
            for number, _ in self._readable.poll(0.01):
                self._hear(number)
            for number in [number for number, (_, end) in self._waiting.items() if end < time.monotonic()]:
                self.answers.given_up += 1
                self._leave(number)
            while len(self._waiting) < CLIENTS:
                self._ask()
        for number in list(self._waiting):
            self._leave(number)
        self._readable.close()
        return self.answers

    def _ask(self) -> None:
        client = socket.socket()
        client.settimeout(self._patience)
        try:
            client.connect(("127.0.0.1", self._port))
            client.sendall(request("/"))
        except OSError:
            self.answers.failed += 1
            client.close()
            time.sleep(0.001)
            return
        self._readable.register(client, select.EPOLLIN)
        self._waiting[client.fileno()] = client, time.monotonic() + self._patience
        self._read[client.fileno()] = b""

    def _hear(self, number: int) -> None:
        try:
            data = self._waiting[number][0].recv(4096)
        except OSError:
            data = b""
        if data:
            self._read[number] += data
            return
        pid = self._read[number].rpartition(b"\r\n")[2]
        if pid:
            self.answers.given.append((time.monotonic() - self._begun, int(pid)))
        else:
            self.answers.failed += 1
        self._leave(number)

    def _leave(self, number: int) -> None:
        self._waiting.pop(number)[0].close()
        del self._read[number]
