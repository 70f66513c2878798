"""Servers of the standard library in a worker."""

from __future__ import annotations

import http.client

import pytest

from adapters.served import connect, fetch, read_all, term
from support import PATIENCE, Start, gone
from system.daemons import HEAD, RUN, Served

SHOUT = """
import http.server, socketserver, threading
import prefork.adapters.socketserver

class Shout(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line == b"fail\\n":
                raise RuntimeError("cannot shout")
            self.wfile.write(line.upper())
        self.wfile.write(b"BYE")

class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        text = f"{self.server.server_port} {os.getpid()}".encode()
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass

daemon = prefork.Daemon("shout", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
def web(worker):
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    prefork.adapters.socketserver.serve(worker, "http", SERVER, HANDLER, window=0.1)
    say("counted", worker.activity.requests, worker.activity.errors, worker.activity.open)
"""
LINES = ["socketserver.ThreadingTCPServer", "socketserver.ForkingTCPServer", "socketserver.TCPServer"]


def launch(start: Start, server: str, handler: str = "Shout") -> tuple[Served, int]:
    source = (HEAD + SHOUT + RUN).replace("SERVER", server).replace("HANDLER", handler)
    served = Served(start, "shout", source).launch()
    return served, served.ready("web/0")["web/0"]


@pytest.mark.parametrize("server", LINES)
def test_connections_are_handled_and_a_failure_closes_one(start: Start, server: str) -> None:
    served, _ = launch(start, server)
    for text in b"hello\n", b"again\n":
        with connect(served.port) as client:
            client.sendall(text)
            assert client.recv(100) == text.upper()
    with connect(served.port) as client:
        client.sendall(b"fail\n")
        assert client.recv(1) == b""
    served.running.expect("RuntimeError: cannot shout", "err")
    assert served.stop() == 0


def test_silent_clients_are_closed_after_the_window(start: Start) -> None:
    served, pid = launch(start, LINES[0])
    with connect(served.port) as silent, connect(served.port) as talker:
        talker.sendall(b"hello\n")
        assert talker.recv(100) == b"HELLO\n"
        term(pid)
        assert read_all(silent) == b"BYE"
        assert read_all(talker) == b"BYE"
    served.running.expect("^counted 2 0 0$")
    assert gone(pid)
    assert served.stop() == 0


def test_http_server_knows_its_port_and_drains(start: Start) -> None:
    served, pid = launch(start, "http.server.ThreadingHTTPServer", "Page")
    client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    for _ in range(2):
        assert fetch(client, "/")[1] == f"{served.port} {pid}"
    term(pid)
    assert gone(pid), "though a client keeps its connection"
    client.close()
    assert served.stop() == 0
