"""How long a connection without a request stays open, on every server, and that no request is lost by its end."""

from __future__ import annotations

import http.client
import time
from contextlib import ExitStack
from typing import Any

import pytest

from adapters.served import ASGI, BRIEF, REQUEST, SERVERS, Adapted, Shared, connect

KEEP_ALIVE = 1.0
KEPT: dict[str, Any] = BRIEF | {"keep_alive": KEEP_ALIVE}
CLOSED = KEEP_ALIVE + 1
"""Seconds after which a worker closes: a proxy that keeps a connection for as long closes first."""
LATE = 4.0
"""Seconds that a busy machine may take to close a connection."""


def post(client: http.client.HTTPConnection) -> int:
    client.request("POST", "/upload", b"x" * 100)
    answer = client.getresponse()
    assert answer.read() == b"100"
    return answer.status


def pause_until(moment: float) -> None:
    """Let a client be silent up to a moment of the monotonic clock."""
    time.sleep(max(0.0, moment - time.monotonic()))


def kept(adapted: Adapted, stack: ExitStack) -> http.client.HTTPConnection:
    client = stack.enter_context(adapted.connection())
    assert post(client) == 200
    return client


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_idle_connection_is_kept_for_its_time_and_closed(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **KEPT) as adapted, ExitStack() as stack:
        begun = time.monotonic()
        silent = stack.enter_context(connect(adapted.port))
        clients = [(time.monotonic(), kept(adapted, stack)) for _ in range(10)]
        for number, (since, client) in enumerate(clients):
            pause_until(begun + number * CLOSED * 0.08)
            last = time.monotonic()
            try:
                assert post(client) == 200
            except ConnectionError:  # A busy machine let this client ask too late.
                assert time.monotonic() - since > CLOSED * 0.95
        idle = [(last, client.sock)] if client.sock else []
        if server[0] != "granian":  # Which waits for ever for the first byte, since that tells the version.
            idle = [(begun, silent), *idle]
        for since, sock in idle:
            assert sock.recv(1) == b""
            assert time.monotonic() - since > CLOSED * 0.95
        assert time.monotonic() - last < CLOSED + LATE


@pytest.mark.parametrize("server", ASGI, ids="-".join)
def test_request_that_has_come_is_answered_though_overdue(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **KEPT) as adapted, ExitStack() as stack:
        client = kept(adapted, stack)
        with connect(adapted.port) as blocking:
            blocking.sendall(REQUEST.replace(b"/ ", b"/block "))
            adapted.running.expect("^begun /block$")
            assert post(client) == 200
            assert blocking.recv(65536)
