"""The PROXY protocol before HTTP and WebSocket, from a balancer that is trusted and from a stranger."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import websockets.sync.client

from adapters.served import BRIEF, Adapted, Shared
from support import PATIENCE, Start
from system.runs import ASGI, Run, write
from test_proxy_header import V1, V2

UVICORN = ("uvicorn", "asgi")
BALANCER, STRANGER = "127.0.0.2", "127.0.0.1"
PLAIN: dict[str, Any] = BRIEF | {"proxy_protocol": True, "forwarded_allow_ips": [BALANCER]}
ASK = b"GET /peer HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"


@contextmanager
def connected(adapted: Adapted, source: str = BALANCER) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", adapted.port), PATIENCE, source_address=(source, 0)) as client:
        yield client


def peer(client: socket.socket) -> dict[str, Any]:
    """Return what the application saw, from an answer in one piece or several."""
    answer = b""
    while not answer.endswith(b"}"):
        data = client.recv(65536)
        assert data, answer
        answer += data
    found: dict[str, Any] = json.loads(answer[answer.index(b"{") :])
    return found


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_balancer_names_the_client_of_each_connection(shared: Shared, loop: str) -> None:
    with shared.use(UVICORN, **PLAIN, loop=loop) as adapted:
        for header in V1, V2:
            with connected(adapted) as client:
                client.sendall(header[:7])
                client.sendall(header[7:] + ASK)
                for _ in range(2):
                    found = peer(client)
                    assert (found["host"], found["port"], found["server"]) == ("203.0.113.9", 4711, 443)
                    client.sendall(ASK)
        with connected(adapted) as client:
            client.sendall(b"PROXY UNKNOWN\r\n" + ASK.replace(b"X-Forwarded-For", b"X-Other"))
            assert peer(client)["host"] == BALANCER


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_websocket_has_the_client_that_the_balancer_names(shared: Shared, loop: str) -> None:
    with shared.use(UVICORN, **PLAIN, loop=loop) as adapted, connected(adapted) as client:
        client.sendall(V1)
        uri = f"ws://127.0.0.1:{adapted.port}/peer"
        with websockets.sync.client.connect(uri, sock=client) as websocket:
            websocket.send("who am I?")
            assert json.loads(websocket.recv(PATIENCE))["host"] == "203.0.113.9"


def test_stranger_cannot_name_a_client(shared: Shared) -> None:
    with shared.use(UVICORN, **PLAIN, loop="uvloop") as adapted:
        with connected(adapted, STRANGER) as client:
            client.sendall(ASK)
            assert peer(client)["host"] == STRANGER
        with connected(adapted, STRANGER) as client:
            client.sendall(V1 + ASK)
            assert client.recv(65536).startswith(b"HTTP/1.1 400 ")
        with connected(adapted) as client:
            client.sendall(ASK)
            assert client.recv(65536) == b""
        adapted.running.expect(r"^web/0: connection from 127\.0\.0\.2 closed: it sends no PROXY header", "err")


@pytest.mark.parametrize("server", ["granian", "hypercorn"])
def test_other_servers_refuse_the_proxy_protocol(start: Start, server: str) -> None:
    write(start, "shop.py", ASGI)
    run = Run(start, "shop:app", "--server", server, "--proxy-protocol")
    reason = "--proxy-protocol: only uvicorn takes a connection whose first bytes are read; leave it out"
    run.running.expect(re.escape(reason), "err")
    assert run.running.wait() == 1
