"""What every server does when its worker drains: our count decides, and what is cut ends in order."""

from __future__ import annotations

import re
import select
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import websockets.sync.client

from adapters.served import (
    ASGI,
    BRIEF,
    REQUEST,
    SERVERS,
    SLOW,
    STREAMS,
    WSGI,
    Adapted,
    Shared,
    connect,
    fetch,
    read_all,
    term,
)
from support import PATIENCE, gone

SHORT = BRIEF | {"kind": {"drain_timeout": 5}}
CUT = 3.75
"""Seconds after which such a drain is cut: the last quarter of it is for the application's end."""
SOON = 3
"""Seconds, more than any drain takes in which nothing is in flight, and much less than `drain_timeout` of BRIEF."""


def ask(adapted: Adapted, path: str, stack: ExitStack) -> socket.socket:
    """Send a request on a connection of its own, and wait until the application has it."""
    client = stack.enter_context(connect(adapted.port))
    client.sendall(REQUEST.replace(b"/ ", path.encode() + b" "))
    adapted.running.expect(f"^begun {path}$")
    return client


def drained(adapted: Adapted, server: tuple[str, str]) -> None:
    """Wait until the worker has ended in order, and for its successor."""
    pid = adapted.pid
    assert gone(pid)
    lines = adapted.running.out
    if server in ASGI:
        adapted.running.expect(f"^lifespan over in {pid}$")
        assert not any(re.match("work|finally", line) for line in lines[lines.index(f"lifespan over in {pid}") :])
    if server in SERVERS:
        adapted.running.expect(f"^exit handlers ran in {pid}$")
    adapted.running.expect(rf"web/0: exited 0 after .*\(pid {pid},", "err")
    adapted.ready()
    assert not any("panicked" in line for line in adapted.running.err)


@pytest.mark.parametrize("server", SERVERS + STREAMS, ids="-".join)
def test_work_after_the_response_is_waited_for(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted, ExitStack() as stack:
        client = ask(adapted, "/work", stack)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        client.close()
        term(adapted.pid)
        assert not gone(adapted.pid, 0.5)
        adapted.release()
        adapted.running.expect("^work ended$")
        drained(adapted, server)
        adapted.hold()


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_thread_that_a_request_has_started_is_waited_for(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted:
        assert adapted.get("/thread") == (200, "ok")
        adapted.running.expect("^work begun$")
        term(adapted.pid)
        assert not gone(adapted.pid, 0.5)
        adapted.release()
        adapted.running.expect("^work ended$")
        assert gone(adapted.pid)
        adapted.ready()
        adapted.hold()


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_exit_in_a_request_is_answered_and_holds_up_no_drain(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted, ExitStack() as stack:
        pid = adapted.pid
        assert adapted.get("/exit")[0] == 500
        if server in WSGI:
            read_all(ask(adapted, "/exit-late", stack))  # granian may drop the first piece
        assert adapted.get("/")[1] == f"{pid}\n", "its worker serves on"
        begun = time.monotonic()
        term(pid)
        assert gone(pid, SOON), time.monotonic() - begun
        drained(adapted, server)


@pytest.mark.parametrize("server", SERVERS + STREAMS, ids="-".join)
def test_response_broken_off_holds_up_no_drain(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted, ExitStack() as stack:
        client = stack.enter_context(connect(adapted.port))
        client.sendall(REQUEST.replace(b"/ ", b"/broken ") + REQUEST)
        read_all(client)
        half = stack.enter_context(connect(adapted.port))
        half.sendall(REQUEST[:-2])
        assert adapted.get("/")[0] == 200
        term(adapted.pid)
        assert gone(adapted.pid, SOON)
        drained(adapted, server)


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_pipelined_requests_are_answered_in_order(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted, ExitStack() as stack:
        client = stack.enter_context(connect(adapted.port))
        last = REQUEST.replace(b"/ ", b"/last ").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        client.sendall(REQUEST.replace(b"/ ", b"/first ") + REQUEST.replace(b"/ ", b"/second ") + last)
        assert re.findall(rb"\r\n\r\n(/[a-z]+)", read_all(client)) == [b"/first", b"/second", b"/last"]


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_upload_in_progress_is_finished_and_answered(shared: Shared, server: tuple[str, str]) -> None:
    # For waitress it is no request until it is whole, so it may pause for the window only: longer than a busy machine.
    with shared.use(server, **(SLOW if server[0] == "waitress" else BRIEF)) as adapted, ExitStack() as stack:
        client = stack.enter_context(connect(adapted.port))
        head = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n"
        client.sendall(head + b"x" * 100_000)
        if server[0] == "waitress":  # It reads the body before the application is called.
            assert adapted.get("/")[0] == 200
        else:
            adapted.running.expect("^begun /upload$")
        term(adapted.pid)
        for _ in range(10):
            select.select([], [], [], BRIEF["keepalive_window"] / 2)
            client.sendall(b"x" * 10_000)
        answer = read_all(client)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"200000")
        drained(adapted, server)


@pytest.mark.parametrize("server", [*ASGI, ("waitress", "wsgi")], ids="-".join)
def test_slow_uploads_and_downloads_keep_no_other_client_waiting(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted, ExitStack() as stack:
        for _ in range(16):
            uploading = stack.enter_context(connect(adapted.port))
            uploading.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\nx")
            ask(adapted, "/large", stack)
        assert adapted.get("/")[0] == 200


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_stream_learns_that_its_worker_drains(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted, ExitStack() as stack:
        clients = [ask(adapted, "/until-drain", stack) for _ in range(2)]
        assert adapted.get("/")[0] == 200
        term(adapted.pid)
        for client in clients:
            assert b" and bye" in read_all(client)
        assert gone(adapted.pid, SOON)
        drained(adapted, server)


@pytest.mark.parametrize("server", SERVERS + STREAMS, ids="-".join)
def test_what_is_in_flight_at_the_end_is_cut_in_order(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SHORT) as adapted, ExitStack() as stack:
        pid = adapted.pid
        paths = ["/endless", "/flood"]
        if server in ASGI:
            paths += ["/listen", "/forever"]
        clients = [ask(adapted, path, stack) for path in [*paths, "/endless"]]
        uploading = stack.enter_context(connect(adapted.port))
        uploading.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\nx")
        if server in SERVERS and server[0] != "waitress":
            adapted.running.expect("^begun /upload$")
        term(pid)
        begun = time.monotonic()
        assert b"data: more" in read_all(clients[0])
        assert gone(pid)
        assert CUT - 0.1 < time.monotonic() - begun < SHORT["kind"]["drain_timeout"]
        line = adapted.running.expect(
            r"^web/0: requests cut after [34]\.\d s of draining \(.* the worker ends$", "err"
        )[0]
        assert server in STREAMS or ("GET /endless (2 times)" in line and "GET /flood" in line), line
        ends = {f"^{'disconnected' if path == '/listen' else 'finally'} {path}$" for path in paths}
        adapted.running.expect_each(ends)
        drained(adapted, server)
        lines = adapted.running.out
        assert lines[lines.index(f"ready web/0 g1 pid {pid}") :].count("finally /endless") == 2


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_client_that_reads_late_gets_its_whole_response(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted, ExitStack() as stack:
        client = stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", adapted.port))
        client.sendall(REQUEST.replace(b"/ ", b"/large "))
        adapted.running.expect("^begun /large$")
        term(adapted.pid)
        assert not gone(adapted.pid, 0.5)
        assert len(read_all(client).partition(b"\r\n\r\n")[2]) == 8_000_000
        drained(adapted, server)


@pytest.mark.parametrize("server", ASGI, ids="-".join)
def test_websocket_whose_application_goes_on_is_cut(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SHORT) as adapted:
        pid = adapted.pid
        with websockets.sync.client.connect(f"ws://127.0.0.1:{adapted.port}/forever") as client:
            client.send("hello")
            assert client.recv(PATIENCE) == "hello"
            term(pid)
            adapted.running.expect(r"in flight: WebSocket /forever\)", "err")
        adapted.running.expect("^finally WebSocket$")
        drained(adapted, server)


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_idle_kept_connections_close_while_a_request_goes_on(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted, adapted.connection() as idle, ExitStack() as stack:
        assert fetch(idle, "/")[0] == 200
        held = ask(adapted, "/held", stack)
        term(adapted.pid)
        assert idle.sock.recv(1) == b""
        adapted.release()
        assert read_all(held).endswith(b"/held")
        drained(adapted, server)
        adapted.hold()


def test_clients_of_one_large_body_get_no_copy_each(shared: Shared) -> None:
    with shared.use(ASGI[0], **BRIEF) as adapted, ExitStack() as stack:
        assert len(adapted.get("/blob")[1]) == 20_000_000
        before = private(adapted.pid)
        for _ in range(20):
            ask(adapted, "/blob", stack)
        assert adapted.get("/")[0] == 200
        assert private(adapted.pid) - before < 30_000_000


def private(pid: int) -> int:
    """Return the bytes of memory that only this process has."""
    rows = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(row[1]) << 10 for row in rows if row[0] in ("Private_Clean:", "Private_Dirty:"))
