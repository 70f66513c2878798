"""What the scoreboard has of requests after a client has made some: the same with every server."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from adapters.served import BRIEF, REQUEST, SERVERS, Adapted, Shared, connect
from prefork.scoreboard import Board, Measures
from scoreboards import attach
from support import until

WORKED = 0.3
"""Seconds that `/work-on` works on after its response."""


class Measured:
    """What a daemon has measured since this was made."""

    def __init__(self, adapted: Adapted) -> None:
        self._board = Board(attach(adapted.running.pid))
        self._before = self._board.read().measures

    @property
    def now(self) -> Measures:
        return self._board.read().measures - self._before

    def until(self, condition: Callable[[Measures], bool], what: str) -> Measures:
        until(lambda: condition(self.now), what)
        return self.now


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_requests_are_measured(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted:
        measured = Measured(adapted)
        with adapted.connection() as client:
            client.request("GET", "/four", headers={"X-Request-Start": f"t={time.time() - 2:.3f}"})
            assert client.getresponse().read() == b"/four"
            client.request("POST", "/upload", body=b"x" * 100_000)
            assert client.getresponse().read() == b"100000"
            client.request("GET", "/work-on", headers={"X-Request-Start": "yesterday"})
            assert client.getresponse().read() == b"ok"
        assert adapted.get("/boom")[0] == 500
        found = measured.until(lambda now: now.latency.count == 4, "all four")
        assert found.responses == (0, 0, 3, 0, 0, 1)
        assert (found.sent, found.received) == (len("/four") + len("100000") + len("ok"), 100_000)
        assert WORKED <= found.latency.total < (found.latency.quantile(1.0) or 0) + WORKED
        assert (found.queue.count, found.disconnects, found.refused) == (1, 0, 0)
        assert 2 <= found.queue.total < 2 + WORKED + 1


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_a_client_that_goes_away_is_counted(shared: Shared, server: tuple[str, str]) -> None:
    path = b"/listen" if server[1] == "asgi" else b"/endless"
    with shared.use(server, **BRIEF) as adapted:
        measured = Measured(adapted)
        with connect(adapted.port) as client:
            client.sendall(REQUEST.replace(b"/", path, 1))
            assert client.recv(1000)
            assert measured.now.disconnects == 0
        found = measured.until(lambda now: now.disconnects > 0 and now.latency.count > 0, "the disconnect")
        assert (found.disconnects, found.latency.count, found.responses[2]) == (1, 1, 1)


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_a_response_that_breaks_off_is_no_disconnect(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted:
        measured = Measured(adapted)
        with connect(adapted.port) as client:
            client.sendall(REQUEST.replace(b"/", b"/broken", 1))
            while client.recv(1000):
                pass
        assert adapted.get("/four")[0] == 200
        found = measured.until(lambda now: now.latency.count == 2, "both")
        assert (found.disconnects, found.responses) == (0, (0, 0, 1, 0, 0, 1))
