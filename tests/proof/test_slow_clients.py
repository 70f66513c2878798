"""Slow clients at default settings, three minutes of them: no healthy worker is killed, on any server.

Every server runs at once, since all of it is waiting: an upload and a download of three minutes each, a WSGI report of
90 s on a worker that has nothing else to do, a hundred WebSockets that say nothing.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import ExitStack

import pytest
import websockets.sync.client

from adapters.served import ASGI, SERVERS, connect
from support import Start
from system.runs import Run, write

LASTS = 180.0
REPORT = 90
PIECES = 90
"""Pieces of an upload, with a pause after each; the pause in the middle is longer than `hang_timeout`."""
LARGE = 40_000_000
"""Bytes of a download: more than the kernel's buffers take."""
SOCKETS = 100

APPLICATION = f"""
import os, time

async def upload(receive):
    length = 0
    while (message := await receive()).get("more_body"):
        length += len(message["body"])
    return b"%d" % (length + len(message["body"]))

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (kind := (await receive())["type"]) and await send({{"type": f"{{kind}}.complete"}}) is None:
            if kind == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({{"type": "websocket.accept"}})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({{"type": "websocket.send", "text": message["text"]}})
        return
    body = await upload(receive) if scope["path"] == "/upload" else b"x" * {LARGE}
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    for begin in range(0, len(body), 65536):
        await send({{"type": "http.response.body", "body": body[begin : begin + 65536], "more_body": True}})
    await send({{"type": "http.response.body", "body": b""}})

def wsgi(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/upload":
        return [b"%d" % sum(map(len, iter(lambda: environ["wsgi.input"].read(1000), b"")))]
    if environ["PATH_INFO"] == "/report":
        time.sleep({REPORT})
        return [b"report"]
    return (b"x" * 65536 for _ in range({LARGE} // 65536))
"""


class Clients:
    """Slow clients of one server, each in a thread, and what they have to complain of."""

    def __init__(self, name: str, port: int) -> None:
        self._name, self._port = name, port
        self.complaints: list[str] = []
        self.threads: list[threading.Thread] = []

    def start(self, *clients: str) -> None:
        self.threads += [threading.Thread(target=self._run, args=[client], daemon=True) for client in clients]
        for thread in self.threads:
            thread.start()

    def _run(self, client: str) -> None:
        try:
            answer = getattr(self, client)()
        except Exception as error:
            answer = repr(error)
        if answer is not None:
            self.complaints.append(f"{self._name}: {client}: {answer}")

    def upload(self) -> str | None:
        with connect(self._port) as sock:
            sock.settimeout(60)
            head = f"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {PIECES * 100}\r\n\r\n"
            sock.sendall(head.encode())
            for number in range(PIECES):
                sock.sendall(b"x" * 100)
                time.sleep(45 if number == PIECES // 2 else (LASTS - 45) / PIECES)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        return None if re.search(rb"^HTTP/1.1 200 .*%d" % (PIECES * 100), answer, re.DOTALL) else repr(answer)

    def download(self) -> str | None:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.settimeout(60)
            sock.connect(("127.0.0.1", self._port))
            sock.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            received, end = len(sock.recv(65536)), time.monotonic() + LASTS
            time.sleep(45)  # Longer than `hang_timeout`.
            while time.monotonic() < end:
                received += len(sock.recv(65536))
                time.sleep(1)
            received += sum(map(len, iter(lambda: sock.recv(1 << 20), b"")))
        return None if received > LARGE // 65536 * 65536 else f"{received} bytes"

    def report(self) -> str | None:
        with connect(self._port) as sock:
            sock.settimeout(REPORT + 60)
            sock.sendall(b"GET /report HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        return None if b"report" in answer else repr(answer)

    def sockets(self) -> str | None:
        with ExitStack() as stack:
            url = f"ws://127.0.0.1:{self._port}/ws"
            clients = [
                stack.enter_context(websockets.sync.client.connect(url, ping_interval=None)) for _ in range(SOCKETS)
            ]
            time.sleep(LASTS)
            for number, client in enumerate(clients):
                client.send(str(number))
                if client.recv(60) != str(number):
                    return "another answer"
        return None


@pytest.mark.timeout(900)
def test_slow_clients_have_no_healthy_worker_killed(start: Start) -> None:
    write(start, "slow.py", APPLICATION)
    runs, every = [], []
    for number, server in enumerate(SERVERS):
        interface = server[1]
        kinds = {"loads": ("upload", "download", "upload", "download"), "sockets": ("sockets",), "report": ("report",)}
        kinds.pop("report" if server in ASGI else "sockets")
        for kind, names in kinds.items():
            name = f"{kind}{number}"
            own = {"RUNTIME_DIRECTORY": str(start.directory / name)}
            run = Run(start, f"slow:{interface}", "-w", "1", "--server", server[0], "--name", name, env=own)
            run.ready()
            clients = Clients("-".join(server), run.port)
            clients.start(*names)
            runs.append(run)
            every.append(clients)
    for clients in every:
        for thread in clients.threads:
            thread.join()
    complaints = [complaint for clients in every for complaint in clients.complaints]
    complaints += [line for run in runs for line in run.running.err if re.search("killed|hung|hang", line)]
    print(f"{sum(len(clients.threads) for clients in every)} clients of {len(runs)} daemons, {LASTS:.0f} s each")
    assert complaints == []
    assert all(run.stop() == 0 for run in runs)
