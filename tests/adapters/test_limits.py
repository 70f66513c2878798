"""Limits of requests, connections and WebSockets: the same answers on every server."""

from __future__ import annotations

import json
import re
import socket
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import websockets.exceptions
import websockets.sync.client

from adapters.served import ASGI, BRIEF, SERVERS, Adapted, Shared, connect
from prefork.scoreboard import Board
from scoreboards import attach
from support import PATIENCE, Start, until
from system.runs import ASGI as ASGI_APPLICATION
from system.runs import Run, write

LIMITED: dict[str, Any] = BRIEF | {
    "limit_request_line": 1000,
    "limit_request_headers": 20_000,
    "limit_request_body": 5000,
}
FEW: dict[str, Any] = BRIEF | {"limit_concurrency": 2, "websocket_max_size": 2000, "websocket_ping_interval": 0.2}


def head(client: socket.socket) -> bytes:
    """Read an answer up to the end of its headers, with what has come of its body."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = client.recv(65536)
        assert data, answer
        answer += data
    return answer


def whole_answer(client: socket.socket) -> int:
    """Read an answer that says its length; return its status."""
    headers, _, body = head(client).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", headers.lower())
    assert length is not None, headers
    while len(body) < int(length[1]):
        body += client.recv(65536)
    return int(headers.split()[1])


def status(adapted: Adapted, request: bytes) -> int:
    with connect(adapted.port) as client:
        client.sendall(request)
        return int(head(client).split()[1])


def request(path: str = "/", headers: int = 0, length: str = "") -> bytes:
    """Return a request with this number of bytes in headers beside the usual ones."""
    lines = [f"GET {path} HTTP/1.1", "Host: h", *([f"X-Long: {'x' * headers}"] if headers else [])]
    return "\r\n".join([*lines, *([length] if length else []), "", ""]).encode()


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_line_and_headers_above_the_limit_are_refused(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **LIMITED) as adapted:
        board = Board(attach(adapted.running.pid))
        refused = board.read().measures.refused
        assert status(adapted, request("/" + "x" * 900, headers=19_000)) == 200
        assert status(adapted, request("/" + "x" * 1000)) == 414
        adapted.running.expect(r"^web/0: request refused with \d+ \(.*(limit is|max)", "err")
        assert status(adapted, request(headers=20_000)) == 431
        assert status(adapted, request()) == 200
        assert board.read().measures.refused - refused == 2


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_header_without_an_end_is_not_gathered(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **LIMITED) as adapted, connect(adapted.port) as client:
        client.sendall(request(headers=100_000)[:-4])
        assert int(head(client).split()[1]) == 431
        assert status(adapted, request()) == 200


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_later_header_without_an_end_is_not_gathered(shared: Shared, server: tuple[str, str]) -> None:
    """After one that came in two pieces, which count no more."""
    with shared.use(server, **LIMITED) as adapted, connect(adapted.port) as client:
        whole = request(headers=15_000)
        client.sendall(whole[:14_000])
        assert status(adapted, request()) == 200  # By then the first piece has been read.
        client.sendall(whole[14_000:])
        assert whole_answer(client) == 200
        client.sendall(whole)
        assert whole_answer(client) == 200
        with suppress(ConnectionError):  # It may be closed before all is sent.
            client.sendall(request(headers=200_000)[:-4])
        assert int(head(client).split()[1]) == 431
        assert status(adapted, request()) == 200


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_many_requests_in_one_piece_are_no_long_header(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **LIMITED) as adapted, connect(adapted.port) as client:
        many, line = 700, request()
        client.sendall(line * many + line[:-4])
        answers = b""
        while (found := answers.count(b"HTTP/1.1 ")) <= many:
            if found == many and line:
                client.sendall(line[-4:])
                line = b""
            data = client.recv(65536)
            assert data, answers[-1000:]
            answers += data
        assert answers.count(b"HTTP/1.1 200 ") == many + 1


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_body_above_the_limit_is_not_read(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **LIMITED) as adapted:
        whole = request("/upload", length="Content-Length: 5000") + b"x" * 5000
        assert status(adapted, whole) == 200
        with connect(adapted.port) as client:
            client.sendall(request("/upload", length="Content-Length: 5001"))
            answer = head(client).lower()
            assert int(answer.split()[1]) == 413
            assert b"connection: close" in answer
        if server[0] != "hypercorn":  # It sends 100 by itself.
            assert status(adapted, request("/upload", length="Content-Length: 5001\r\nExpect: 100-continue")) == 413
        piece = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        chunked = request("/upload", length="Transfer-Encoding: chunked")
        assert status(adapted, chunked + piece * 4 + b"0\r\n\r\n") == 200
        with connect(adapted.port) as client:
            client.sendall(chunked + piece * 6)
            assert int(head(client).split()[1]) == 413
        until(lambda: json.loads(adapted.get("/counts")[1])["in_flight"] == 1, "only the request for the counts")


@pytest.mark.parametrize("server", ASGI, ids="-".join)
def test_requests_above_the_limit_are_told_to_come_again(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **FEW) as adapted, ExitStack() as stack:
        waiting = [stack.enter_context(connect(adapted.port)) for _ in range(2)]
        errors = json.loads(adapted.get("/counts")[1])["errors"]
        for client in waiting:
            client.sendall(request("/held"))
            adapted.running.expect("^begun /held$")
        with connect(adapted.port) as client:
            client.sendall(request())
            answer = head(client).lower()
            assert answer.startswith(b"http/1.1 503 ")
            assert b"retry-after: 1\r\n" in answer
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            websockets.sync.client.connect(f"ws://127.0.0.1:{adapted.port}/ws")
        assert refused.value.response.status_code == 503
        adapted.release()
        for client in waiting:
            assert head(client).startswith(b"HTTP/1.1 200 ")
        adapted.hold()
        assert json.loads(adapted.get("/counts")[1])["errors"] == errors + 2


@pytest.mark.parametrize("server", [("uvicorn", "asgi"), ("hypercorn", "asgi")], ids="-".join)
def test_websocket_is_pinged_and_bounded(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **FEW) as adapted, connect(adapted.port) as client:
        client.sendall(
            request(
                "/ws",
                length="Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
                "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
        )
        rest = head(client).partition(b"\r\n\r\n")[2]
        assert (rest or client.recv(1))[:1] == b"\x89", "a ping"
        with websockets.sync.client.connect(f"ws://127.0.0.1:{adapted.port}/ws") as websocket:
            websocket.send("x" * 2000)
            assert str(websocket.recv(PATIENCE)).startswith("x" * 2000)
            websocket.send("x" * 2001)
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                websocket.recv(PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009


def test_what_a_server_cannot_do_is_refused_at_the_start(start: Start) -> None:
    write(start, "shop.py", ASGI_APPLICATION)
    run = Run(start, "shop:app", "--server", "granian", "--websocket-ping-interval", "5")
    reason = "--websocket-ping-interval: granian sends no pings; leave it out, or choose another server"
    run.running.expect(re.escape(reason), "err")
    assert run.running.wait() == 1
