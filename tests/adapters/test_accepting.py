"""How uvicorn's workers take connections: as many as each other, no more than they can hold, and behind proxies."""

from __future__ import annotations

import re
import resource
import select
import selectors
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from adapters.served import REQUEST, Adapted, connect, fetch
from scoreboards import attach
from support import PATIENCE, Start, until

UVICORN = ("uvicorn", "asgi")
MANY = 200
WHOLE = re.compile(rb"\r\n\r\n(\d+)\n$")


@pytest.mark.alone
def test_long_connections_are_spread_evenly(start: Start) -> None:
    adapted = Adapted(start, UVICORN, workers=4, keepalive_window=0.1)
    adapted.ready(*(f"web/{number}" for number in range(4)))
    board = attach(adapted.running.pid)
    until(lambda: all(row.state == "ready" for row in board.read().rows), "all are ready")
    shares: list[float] = []
    # A worker that has no processor for 10 ms is taken for hung, and for that this machine need only be busy enough.
    while not shares or (shares[-1] > 1.10 and len(shares) < 4):
        answered = opened_at_once(adapted, MANY)
        shares.append(max(answered.values()) / (MANY / 4))
        until(lambda: not any(row.open for row in board.read().rows), "the end of all connections")
    assert shares[-1] <= 1.10, shares
    assert adapted.stop() == 0


def opened_at_once(adapted: Adapted, count: int) -> Counter[bytes]:
    """Whose answers came on connections of which none was closed before all were there."""
    answered = Counter[bytes]()
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(count):
            client = stack.enter_context(connect(adapted.port))
            client.sendall(REQUEST)
            selector.register(client, selectors.EVENT_READ, (client, bytearray()))
        while answered.total() < count:
            ready = selector.select(PATIENCE)
            assert ready, f"{answered} and no more"
            for key, _ in ready:
                client, answer = key.data
                answer += client.recv(4096)
                if whole := WHOLE.search(answer):
                    answered[bytes(whole[1])] += 1
                    selector.unregister(client)
    return answered


@contextmanager
def few_descriptors(count: int) -> Iterator[None]:
    """Limit the descriptors of what is started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_finds_no_room_waits_for_it(start: Start) -> None:
    with few_descriptors(160):
        adapted = Adapted(start, UVICORN, keepalive_window=0.1)
    pid = adapted.ready()["web/0"]
    clients = [connect(adapted.port) for _ in range(200)]
    for client in clients:
        client.sendall(REQUEST)
    taken, waiting = clients[:90], clients[100:]
    assert all(client.recv(4096).startswith(b"HTTP/1.1 200 ") for client in taken)
    assert not select.select(waiting, [], [], 0.5)[0], "some have been answered, or turned away"
    for client in clients[:100]:
        client.close()
    assert all(client.recv(4096).startswith(b"HTTP/1.1 200 ") for client in waiting)
    for client in clients:
        client.close()
    assert adapted.get("/")[1] == f"{pid}\n"
    assert adapted.stop() == 0


def test_client_address_is_forwarded_and_head_is_sent_at_once(start: Start) -> None:
    adapted = Adapted(start, UVICORN)
    pid = adapted.ready()["web/0"]
    with adapted.connection() as proxy:
        assert fetch(proxy, "/client")[1] == "127.0.0.1 by http"
        forwarded = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        assert fetch(proxy, "/client", **forwarded)[1] == "192.0.2.7 by https"
        assert fetch(proxy, "/client")[1] == "127.0.0.1 by http"
    with connect(adapted.port) as client:
        for _ in range(5):
            client.sendall(REQUEST)
            assert client.recv(4096).endswith(f"\r\n\r\n{pid}\n".encode())
        client.sendall(REQUEST.replace(b"/ ", b"/head "))
        assert client.recv(4096).endswith(b"\r\n\r\n")
        adapted.release()
        assert client.recv(4096) == b"8\r\nand body\r\n0\r\n\r\n"
    assert adapted.stop() == 0
