"""A closed-loop HTTP client that counts exactly: each thread makes a request at a time, on new or kept connections."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter

from asking import Asking
from support import PROOF

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
REFUSED = "refused"
_SLOWEST = 30.0
"""Seconds after which a request without an answer has failed."""


class Load(Asking):
    """Runs while it is entered. Each request ends as answered or, by its reason, in `failures`.

    With `keep`, each client keeps its connection until a response says that it closes; `closed` counts those. With
    `until_refused`, a client whose connection is refused has come too late, and goes home.
    Each waits `pause` seconds after a request.
    """

    def __init__(
        self,
        port: int,
        body: bytes,
        clients: int = 16,
        *,
        path: str = "/",
        keep: bool = False,
        until_refused: bool = False,
        pause: float = 0 if PROOF else 0.02,
    ) -> None:
        super().__init__(self._ask_on_and_on, clients, _SLOWEST + 5)
        self._port = port
        self._body = body
        self._path = path
        self._keep = keep
        self.clients = clients
        self._until_refused = until_refused
        self._pause = pause
        self.closed = 0
        self._news = threading.Condition()
        self.answered = 0
        self.failures: Counter[str] = Counter()

    def more(self, requests: int) -> None:
        """Wait until `requests` more requests have ended."""
        with self._news:
            goal = self.ended + requests
            assert self._news.wait_for(lambda: self.ended >= goal, 2 * _SLOWEST), f"{self.ended} ended, not {goal}"

    def wait(self) -> None:
        """Wait until all clients have gone home."""
        for thread in self._threads:
            thread.join(2 * _SLOWEST)
            assert not thread.is_alive()

    @property
    def ended(self) -> int:
        return self.answered + self.failures.total()

    def _ask_on_and_on(self, _number: int) -> None:
        kept = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_SLOWEST)
        while not self.stopping:
            reason = self._ask_again(kept) if self._keep else self._ask()
            if self._until_refused and reason == REFUSED:
                break
            with self._news:
                if reason is None:
                    self.answered += 1
                else:
                    self.failures[reason] += 1
                self._news.notify_all()
            if self._pause:
                time.sleep(self._pause)
        kept.close()

    def _ask_again(self, connection: http.client.HTTPConnection) -> str | None:
        """Make one request on a connection that is opened again after a response that closed it."""
        reused = "" if connection.sock is None else " on a kept connection"
        try:
            connection.request("GET", self._path)
            answer = connection.getresponse()
            body = answer.read()
        except ConnectionRefusedError:
            return REFUSED
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return f"{type(error).__name__}{reused}"
        if answer.headers.get("connection", "").lower() == "close":
            connection.close()
            with self._news:
                self.closed += 1
        if answer.status != 200 or body != self._body:
            return f"not the answer: {answer.status}, {body[:40]!r}"
        return None

    def _ask(self) -> str | None:
        """Make one request; return why it failed, or None."""
        answer = b""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=_SLOWEST) as connection:
                connection.sendall(_REQUEST.replace(b"/ ", f"{self._path} ".encode(), 1))
                while data := connection.recv(65536):
                    answer += data
        except ConnectionRefusedError:
            return REFUSED
        except OSError as error:
            return f"{type(error).__name__} after {len(answer)} bytes"
        head, separator, body = answer.partition(b"\r\n\r\n")
        if not separator or not head.startswith(b"HTTP/1.1 200 ") or body != self._body:
            return f"not the answer: {answer[:40]!r}, {len(answer)} bytes"
        return None
