"""How workers take connections: as many as each other, no more than they can hold, and behind proxies."""

from __future__ import annotations

import re
import selectors
from collections import Counter
from contextlib import ExitStack

import pytest

from adapters.served import REQUEST, SERVERS, Adapted, connect
from prefork._linux.listening.backlogs import backlogs
from scoreboards import attach
from support import PATIENCE, Start, until
from system.runs import ASGI, WSGI, Run, write

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


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_connections_wait_where_no_descriptor_is_left(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, keepalive_window=0.1, descriptors=64)
    pid = adapted.ready()["web/0"]
    clients = [connect(adapted.port) for _ in range(80)]
    for client in clients:
        client.sendall(REQUEST)
    line = "web/0: no descriptor is left for a connection; connections wait in the queue until one is free"
    adapted.running.expect(f"^{line}$", "err")
    for client in clients:
        with client:
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert adapted.get("/")[1] == f"{pid}\n"
    assert [each for each in adapted.running.err if "descriptor" in each or "open files" in each] == [line]
    assert adapted.stop() == 0


def test_head_is_sent_at_once_and_all_else_in_one_write(start: Start) -> None:
    adapted = Adapted(start, UVICORN)
    pid = adapted.ready()["web/0"]
    with connect(adapted.port) as client:
        for _ in range(5):
            client.sendall(REQUEST)
            assert client.recv(4096).endswith(f"\r\n\r\n{pid}\n".encode())
        client.sendall(REQUEST.replace(b"/ ", b"/head "))
        assert client.recv(4096).endswith(b"\r\n\r\n")
        adapted.release()
        assert client.recv(4096) == b"8\r\nand body\r\n0\r\n\r\n"
    assert adapted.stop() == 0


@pytest.mark.parametrize("server", ["uvicorn", "granian", "hypercorn", "waitress"])
def test_backlog_reaches_the_kernel_and_stays(start: Start, server: str) -> None:
    write(start, "shop.py", WSGI if server == "waitress" else ASGI)
    run = Run(start, "shop:app", "-w", "1", "--server", server, "--backlog", "7", "-b", "unix:http.sock")
    run.ready()
    run.who()
    found = backlogs()
    places = (f"tcp://127.0.0.1:{run.port}", f"unix://{start.directory}/http.sock")
    assert [found[place].limit for place in places] == [7, 7]
    assert run.stop() == 0
