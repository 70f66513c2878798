"""Load on a server in a test: requests at a steady rate, and what has become of each."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from threading import Event, Lock, Thread
from time import monotonic
from types import TracebackType

from ..failures import DeadlineError

_SLOWEST = 2.0
"""Requests a second of one client, at least: a draining worker closes a connection that is idle for a second."""
_MOST_CLIENTS = 8
_SHOWN = 5


@dataclass(frozen=True)
class Place:
    """Where requests go: host and port, or the path of a Unix socket; and the path of the URL."""

    address: tuple[str, int] | str
    path: str = "/"
    tls: bool = False


@dataclass
class Outcomes:
    """What has become of the requests so far. `failures` are in words, the first ones first; times in seconds."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


class Load:
    """Sends requests while its block runs; at the end it waits for the answers to all.

    Half of the clients keep their connections, the others open one for each request. Nothing is sent twice. `rate`:
    requests a second of all clients together; None: each client sends the next one when it has the answer. `most`:
    requests, at most. `ask`: called for each request in place of an HTTP request; it fails by raising.
    """

    def __init__(
        self,
        place: Place,
        *,
        rate: float | None = None,
        most: int | None = None,
        timeout: float = 30.0,
        ask: Callable[[], object] | None = None,
    ) -> None:
        self._place, self._rate, self._timeout, self._ask = place, rate, timeout, ask
        self._most = most
        self._turns, self._lock, self._over = count(), Lock(), Event()
        self._outcomes = Outcomes()
        clients = _MOST_CLIENTS if rate is None else max(1, min(_MOST_CLIENTS, int(rate / _SLOWEST)))
        self._threads = [Thread(target=self._run, args=(number % 2 == 0,), daemon=True) for number in range(clients)]

    def __enter__(self) -> Load:
        self._begun = monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self._over.set()
        self.join()

    def join(self) -> None:
        """Wait for the answers to all requests that were sent. Raises DeadlineError."""
        end = monotonic() + self._timeout + 5
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))
            if thread.is_alive():
                raise DeadlineError(f"a client of the load still waits for its answer: {self!r}")

    @property
    def sent(self) -> int:
        """Requests that were sent."""
        return self._outcomes.sent

    @property
    def failed(self) -> int:
        """Requests without a whole answer, and answers of 500 and above."""
        return len(self._outcomes.failures)

    @property
    def failures(self) -> list[str]:
        """What has failed, in words, with the second of the load."""
        return list(self._outcomes.failures)

    @property
    def statuses(self) -> dict[int, int]:
        """Answers by their status."""
        return dict(self._outcomes.statuses)

    def latency(self, share: float) -> float:
        """Return the seconds within which this share (0 to 1) of the requests was answered; 0 without any."""
        found = sorted(self._outcomes.latencies)
        return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0

    def __repr__(self) -> str:
        shown = "; ".join(self._outcomes.failures[:_SHOWN])
        return f"<Load sent={self.sent} failed={self.failed} statuses={self.statuses}{': ' * bool(shown)}{shown}>"

    def _run(self, keeps: bool) -> None:
        """Be one client."""
        client = _Client(self._place, self._timeout, keeps)
        for turn in self._due():
            at = monotonic()
            try:
                status = client.get() if self._ask is None else self._asked(self._ask)
                failure = f"status {status}" if status >= 500 else ""
            except Exception as error:  # Of the user's own function, too.
                status, failure = 0, f"{type(error).__name__}: {error}"
            with self._lock:
                found = self._outcomes
                found.sent += 1
                found.latencies.append(monotonic() - at)
                found.statuses.update([status] if status else [])
                if failure:
                    found.failures.append(f"request {turn} at {at - self._begun:.3f} s: {failure}")
        client.close()

    def _due(self) -> Iterator[int]:
        """Yield the numbers of requests when they are due; one at least, however short the block is."""
        while True:
            with self._lock:
                turn = next(self._turns)
            if self._most is not None and turn >= self._most:
                return
            if self._rate is not None:
                self._over.wait(self._begun + turn / self._rate - monotonic())
            if self._over.is_set() and turn >= len(self._threads):
                return
            yield turn

    @staticmethod
    def _asked(ask: Callable[[], object]) -> int:
        ask()
        return 200


class _Client:
    """A client of HTTP/1.1. It opens a connection where it has none, or the server has closed it."""

    def __init__(self, place: Place, timeout: float, keeps: bool) -> None:
        self._place, self._timeout, self._keeps = place, timeout, keeps
        self._connection: http.client.HTTPConnection | None = None

    def get(self) -> int:
        """Return the status of the answer, which is read to its end. Raises what http.client raises."""
        if self._connection is None or _is_closed(self._connection):
            self.close()
            self._connection = self._connected()
        try:
            self._connection.request("GET", self._place.path, headers={} if self._keeps else {"Connection": "close"})
            answer = self._connection.getresponse()
            answer.read()
        except BaseException:
            self.close()
            raise
        if answer.will_close or not self._keeps:
            self.close()
        return answer.status

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        address = self._place.address
        made = http.client.HTTPConnection("localhost" if isinstance(address, str) else address[0])
        if isinstance(address, str):
            made.sock = socket.socket(socket.AF_UNIX)
            made.sock.settimeout(self._timeout)
            made.sock.connect(address)
        else:
            made.sock = socket.create_connection(address, self._timeout)
        if self._place.tls:
            made.sock = _UNCHECKED.wrap_socket(made.sock, server_hostname="localhost")
        return made


_UNCHECKED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A test's certificate is signed by no authority that this machine trusts."""
_UNCHECKED.check_hostname = False
_UNCHECKED.verify_mode = ssl.CERT_NONE


def _is_closed(connection: http.client.HTTPConnection) -> bool:
    """Return whether the server has closed an idle connection: then no request is lost with it."""
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return bool(waiting.poll(0))
