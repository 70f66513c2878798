"""WSGI workers: judged by the threads that have a request, and never for a client that is slow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from prefork._wire.scoreboard import Row
from prefork.client import Event
from scoreboards import attach
from support import PATIENCE, Start, until
from system.runs import Run, write
from system.test_hangs import asked, events_of, received

TIMEOUT = 2.0
THREADS = 3
PIECES, PIECE = 640, 65536

WSGI = f"""
import ctypes, os, threading, time
import prefork

lock = threading.Lock()
lock.acquire()
libc = ctypes.PyDLL(None)

def app(environ, start_response):
    match environ["PATH_INFO"]:
        case "/sleep":
            time.sleep(1000)
        case "/lock":
            lock.acquire()
        case "/gil":
            libc.sleep(1000)
        case "/beat":
            for _ in range(20):
                time.sleep({TIMEOUT} / 8)
                prefork.beat()
        case "/upload":
            while environ["wsgi.input"].read(10): pass
        case "/download":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (b"x" * {PIECE} for _ in range({PIECES}))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Wsgi(Run):
    """A daemon with one worker of THREADS threads."""

    def __init__(self, start: Start, server: str, threads: int = THREADS) -> None:
        self.start, self.server = start, server
        write(start, "app.py", WSGI)
        options = ("--threads", str(threads), "-w", "1", "--hang-timeout", str(TIMEOUT), "--drain-timeout", "5")
        super().__init__(start, "app:app", "--server", server, *options)
        self.ready()

    def row(self, pid: int) -> Row:
        board = attach(self.running.pid)
        try:
            return next(row for row in board.read().rows if row.pid == pid and row.state != "ended")
        finally:
            board.close()

    def clients_are_waited_for(self, pid: int, requests: int) -> None:
        """Wait until these requests have waited for their clients for longer than the timeout."""

        def waits() -> bool:
            row = self.row(pid)
            return row.waiting == requests and monotonic() - row.moved > 1.6 * TIMEOUT

        until(waits, "the requests wait for their clients for longer than the timeout")

    def events(self, pid: int, what: str) -> list[Event]:
        return [event for event in events_of(self.start, what) if event["pid"] == pid]


@pytest.fixture(scope="module", params=["granian", "waitress"])
def wsgi(module_start: Start, request: pytest.FixtureRequest) -> Iterator[Wsgi]:
    daemon = Wsgi(module_start, request.param)
    yield daemon
    assert daemon.stop() == 0


def test_worker_is_killed_when_all_threads_are_stuck(wsgi: Wsgi) -> None:
    for path, verdict in ("/lock", "deadlock"), ("/sleep", "sleeping"):
        pid, _ = wsgi.who()
        with ExitStack() as stuck:
            for _ in range(THREADS - 1):
                stuck.enter_context(asked(wsgi.port, path))
            stays = rf"\(pid {pid}, .*\): {verdict}: .*; not killed, since 1 other thread is free$"
            wsgi.running.expect(rf"^web/0: a request has made no progress for .* s {stays}", "err")
            wsgi.running.expect(rf"request: GET {path} \(the oldest of {THREADS - 1} in flight\)$", "err")
            assert wsgi.who()[0] == pid
            stuck.enter_context(asked(wsgi.port, path))
            wsgi.running.expect(rf"^web/0: hung for .* s \(pid {pid}, .*\): {verdict}: .*; killing it$", "err")
            wsgi.running.expect(rf"request: GET {path} \(the oldest of {THREADS} in flight\)$", "err")
            wsgi.running.expect(r'File ".*app\.py", line \d+ in app$', "err")
            wsgi.running.expect("^web/0: killed by the master: hung for", "err")
            assert wsgi.who()[0] != pid
        (found,) = wsgi.events(pid, "hung")
        assert found["seconds"] - found["excused"] <= 1.2 * TIMEOUT
        (reported,) = wsgi.events(pid, "stuck")
        assert (reported["verdict"], reported["doing"].partition(" (")[0]) == (verdict, f"GET {path}")


def test_held_gil_is_a_hang_beside_free_threads(wsgi: Wsgi) -> None:
    pid, _ = wsgi.who()
    with asked(wsgi.port, "/gil"):
        wsgi.running.expect(rf"^web/0: hung for .* s \(pid {pid}, .*\): gil_held: .*; killing it$", "err")
        wsgi.running.expect("request: GET /gil$", "err")
        wsgi.running.expect(r'File ".*app\.py", line \d+ in app$', "err")
        wsgi.running.expect("^web/0: killed by the master: hung for", "err")
    assert wsgi.who()[0] != pid
    assert wsgi.events(pid, "stuck") == []


def test_client_that_does_not_read_is_no_hang(wsgi: Wsgi) -> None:
    pid, _ = wsgi.who()
    with ExitStack() as clients:
        reading = [clients.enter_context(asked(wsgi.port, "/download")) for _ in range(THREADS)]
        wsgi.clients_are_waited_for(pid, THREADS)
        for client in reading:
            assert received_bytes(client) > PIECES * PIECE
    assert wsgi.who()[0] == pid
    assert wsgi.events(pid, "stuck") == []


def received_bytes(client: socket.socket) -> int:
    count = 0
    while data := client.recv(1 << 20):
        count += len(data)
    return count


def test_client_that_sends_slowly_is_no_hang(wsgi: Wsgi) -> None:
    if wsgi.server == "waitress":
        pytest.skip("it calls the application when the whole body is there")
    pid, _ = wsgi.who()
    with ExitStack() as clients:
        sending = []
        for _ in range(THREADS):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", wsgi.port), timeout=PATIENCE))
            head = "POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 20\r\n\r\n"
            client.sendall(head.encode() + b"x")
            sending.append(client)
        wsgi.clients_are_waited_for(pid, THREADS)
        for client in sending:
            client.sendall(b"x" * 19)
            assert received(client).endswith(str(pid).encode())
    assert wsgi.events(pid, "stuck") == wsgi.events(pid, "hung") == []


@pytest.mark.parametrize("server", ["granian", "waitress"])
def test_only_thread_that_beats_is_no_hang(start: Start, server: str) -> None:
    wsgi = Wsgi(start, server, threads=1)
    pid, _ = wsgi.who()
    with asked(wsgi.port, "/beat") as client:
        assert received(client).endswith(str(pid).encode())
    assert wsgi.events(pid, "hung") == wsgi.events(pid, "stuck") == []
    assert wsgi.stop() == 0
