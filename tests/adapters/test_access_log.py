"""The access log of each server: the same lines, whole ones, and none that is lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions
import websockets.sync.client

from adapters.served import ASGI, SERVERS
from load import Load
from support import PATIENCE, PROOF, Start, until
from system.daemons import root
from system.other_user import NOBODY, anywhere, as_nobody
from system.runs import Run, write

__all__ = ["anywhere"]  # A fixture.

PROGRAM = """
import asyncio, os, time

async def asgi(scope, receive, send):
    if scope["type"] == "websocket":
        await talk(scope, receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)

async def talk(scope, receive, send):
    await receive()
    if scope["path"] == "/refused":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})

async def answer(scope, receive, send):
    await receive()
    if scope["path"] == "/boom":
        raise RuntimeError("boom")
    if scope["path"] == "/late":
        os.write(1, b"begun\\n")
        await asyncio.sleep(0.2)
    identifier = dict(scope["headers"]).get(b"x-request-id", b"none")
    headers = [(b"content-length", b"10")] if scope["path"] == "/sized" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/sized":
        await sized(send)
        return
    if scope["path"] == "/stream":
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"0123456789", "more_body": True})
            await asyncio.sleep(0.1)
    if scope["path"] == "/endless":
        await send({"type": "http.response.body", "body": b"0123456789", "more_body": True})
        await receive()
        return
    await send({"type": "http.response.body", "body": identifier})

async def sized(send):
    await send({"type": "http.response.body", "body": b"0123456789", "more_body": True})
    await asyncio.sleep(0.2)
    await send({"type": "http.response.body", "body": b""})

def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/late":
        os.write(1, b"begun\\n")
        time.sleep(0.2)
    if environ["PATH_INFO"] == "/sized":
        start_response("200 OK", [("Content-Length", "10")])
        return pieces(1, b"")
    if environ["PATH_INFO"] == "/boom":
        raise RuntimeError("boom")
    start_response("200 OK", [("Content-Type", "text/plain")])
    identifier = environ.get("HTTP_X_REQUEST_ID", "none").encode()
    if environ["PATH_INFO"] in ("/stream", "/endless"):
        return pieces(3 if environ["PATH_INFO"] == "/stream" else 10**6, identifier)
    return [identifier]

def pieces(count, last):
    for _ in range(count):
        yield b"0123456789"
        time.sleep(0.1)
    yield last
"""

FORMAT = '%(h)s %(u)s "%(r)s" %(s)s %(B)s "%(a)s" %(L)s %(worker)s %(request_id)s'
LONG = "/long?" + "x" * 8000


def started(start: Start, server: tuple[str, str], *options: str, **more: Any) -> Run:
    write(start, "program.py", PROGRAM)
    run = Run(start, f"program:{server[1]}", "--server", server[0], *options, **more)
    run.ready()
    return run


def ask(run: Run, path: str, method: str = "GET", more: str = "") -> bytes:
    """Return the body of an answer to a request that may have anything in it."""
    with socket.create_connection(("127.0.0.1", run.port), timeout=PATIENCE) as client:
        client.sendall(f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n".encode("latin-1"))
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := client.recv(65536):
                answer += data
    return answer.partition(b"\r\n\r\n")[2]


def leave(run: Run, path: str, after: bytes) -> None:
    """Go away, by a reset, when this part of an answer has come, or the request has begun where it is empty."""
    with socket.create_connection(("127.0.0.1", run.port), timeout=PATIENCE) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        answer = b""
        while after not in answer:
            answer += client.recv(1024)
        if not after:
            run.running.expect("^begun$")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def found(log: Path, path: str) -> re.Match[str]:
    """Wait for the line about a path, of at most a second; return its status, bytes, agent, seconds and identifier."""
    pattern = rf'^127\.0\.0\.1 (\S+) "[A-Z]+ {re.escape(path)} HTTP/1\.1" (\d+) (\d+) "(.*)" ([\d.]+) web/0 (\S+)$'
    matches: list[re.Match[str]] = []

    def is_there() -> bool:
        matches.extend(re.finditer(pattern, log.read_text(), re.MULTILINE))
        return bool(matches)

    until(is_there, f"a line about {path}")
    return matches[0]


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_line_of_each_server_says_how_a_request_ended(start: Start, server: tuple[str, str]) -> None:
    run = started(start, server, "-w", "1", "--access-log", "access.log", "--access-log-format", FORMAT)
    log = start.directory / "access.log"
    assert b"abc" in ask(run, "/taken", more='X-Request-ID: abc\r\nUser-Agent: a"b\r\nAuthorization: Basic YTpi\r\n')
    assert found(log, "/taken").groups()[:4] == ("a", "200", "3", r"a\x22b")
    assert found(log, "/taken")[6] == "abc"
    body = ask(run, "/made")
    assert re.fullmatch("[0-9a-f]{32}", found(log, "/made")[6])
    assert found(log, "/made")[6].encode() in body
    ask(run, "/head", "HEAD")
    assert found(log, "/head").groups()[1:3] == ("200", "0")
    ask(run, "/stream?head", "HEAD")
    assert found(log, "/stream?head").groups()[1:3] == ("200", "0")
    ask(run, "/boom")
    assert found(log, "/boom").groups()[1:3] == ("500", "0")
    ask(run, "/stream")
    assert found(log, "/stream").groups()[1:3] == ("200", "62")
    assert float(found(log, "/stream")[5]) >= 0.3
    leave(run, "/endless", b"0123456789")
    assert found(log, "/endless")[2] == "499"
    leave(run, "/sized", b"0123456789")
    assert found(log, "/sized").groups()[1:3] == ("200", "10"), "it had all"
    leave(run, "/late", b"")
    assert found(log, "/late")[2] == ("499" if server[0] in ("uvicorn", "hypercorn") else "200")
    leave_open = socket.create_connection(("127.0.0.1", run.port), timeout=PATIENCE)
    leave_open.sendall(b"GET /stream?at=stop HTTP/1.1\r\nHost: h\r\n\r\n")
    assert leave_open.recv(1024)
    assert run.stop() == 0
    leave_open.close()
    assert found(log, "/stream?at=stop").groups()[1:3] == ("200", "62")
    assert log.read_text().count("\n") == 10


@pytest.mark.parametrize("server", [("uvicorn", "asgi"), ("waitress", "wsgi")], ids="-".join)
def test_path_is_logged_as_it_was_sent(start: Start, server: tuple[str, str]) -> None:
    below = "--root-path", "/shop", "--limit-request-body", "10"
    run = started(start, server, "-w", "1", *below, "--access-log", "access.log", "--access-log-format", FORMAT)
    for path in "/cart", "/shop/cart?again":
        ask(run, path)
        assert found(start.directory / "access.log", path)[2] == "200"
    assert run.stop() == 0


@pytest.mark.parametrize("server", ASGI if PROOF else ASGI[:1], ids="-".join)
def test_line_of_a_websocket_comes_at_its_end(start: Start, server: tuple[str, str]) -> None:
    run = started(start, server, "-w", "1", "--access-log", "access.log", "--access-log-format", FORMAT)
    log, base = start.directory / "access.log", f"ws://127.0.0.1:{run.port}"
    with websockets.sync.client.connect(f"{base}/open") as client:
        client.send("ten bytes.")
        assert client.recv(PATIENCE) == "ten bytes."
        assert "/open" not in log.read_text()
    assert found(log, "/open").groups()[1:3] == ("101", "10")
    with pytest.raises(websockets.exceptions.InvalidStatus):
        websockets.sync.client.connect(f"{base}/refused")
    assert found(log, "/refused")[2] == "403"
    with websockets.sync.client.connect(f"{base}/at-stop") as client:
        client.send("x")
        client.recv(PATIENCE)
        assert run.stop() == 0
    assert found(log, "/at-stop")[2] == "101"


@pytest.mark.parametrize("server", [("uvicorn", "asgi"), ("waitress", "wsgi")], ids="-".join)
def test_no_line_is_lost_or_torn_while_the_file_rotates(start: Start, server: tuple[str, str]) -> None:
    format_ = "%(r)s|%(s)s|%(worker)s"
    run = started(start, server, "-w", "4", "--access-log", "access.log", "--access-log-format", format_)
    log, parts = start.directory / "access.log", []
    with Load(run.port, b"none", path=LONG, keep=True, pause=0.001) as load:
        for number in range(2):
            load.more(100)
            parts.append(start.directory / f"access.log.{number}")
            log.rename(parts[-1])
            run.running.send(signal.SIGUSR1)
            until(log.exists, "a worker has opened the file again")
            load.more(100)
    assert run.stop() == 0
    lines = "".join(part.read_text() for part in [*parts, log]).splitlines()
    assert not load.failures
    assert len(lines) == load.answered
    assert set(lines) <= {f"GET {LONG} HTTP/1.1|200|web/{number}" for number in range(4)}
    assert all(part.stat().st_size for part in [*parts, log])


def test_standard_output_gets_whole_lines_by_capture_too(start: Start) -> None:
    options = ("--access-log", "-", "--access-log-format", "json")
    run = started(start, ("uvicorn", "asgi"), "-w", "2", *options)
    ask(run, "/json")
    line = json.loads(run.running.expect(r'"path":"/json"').string)
    assert (line["status"], line["bytes"], line["worker"][:4]) == (200, 32, "web/")
    ask(run, LONG)
    assert json.loads(run.running.expect(r'"path":"/long"').string)["query"].endswith("x...")
    assert run.stop() == 0
    run = started(start, ("uvicorn", "asgi"), "-w", "1", *options, "--capture")
    ask(run, "/json")
    assert json.loads(run.running.expect(r"^web/0 g1 \d+ \| (.*/json.*)$")[1])["worker"] == "web/0"
    assert run.stop() == 0


@pytest.mark.parametrize("server", [("uvicorn", "asgi"), ("waitress", "wsgi")], ids="-".join)
def test_full_disk_and_closed_pipe_fail_no_request(start: Start, server: tuple[str, str]) -> None:
    run = started(start, server, "-w", "1", "--access-log", "/dev/full")
    for _ in range(3):
        assert b"none" in ask(run, "/")
    run.running.expect(r"^web/0: access log: cannot be written: No space left on device; requests go on", "err")
    assert run.stop() == 0
    assert sum("access log" in line for line in run.running.err) == 2
    run.running.expect(r"^web/0: access log: 3 lines were lost$", "err")


@pytest.mark.parametrize("server", [("uvicorn", "asgi"), ("waitress", "wsgi")], ids="-".join)
def test_stalled_reader_of_the_log_delays_no_request(start: Start, server: tuple[str, str]) -> None:
    reader, writer = os.pipe()
    run = started(start, server, "-w", "1", "--access-log", "-", stdout=writer)
    os.close(writer)
    with Load(run.port, b"none", path=LONG, keep=True, pause=0) as load:
        load.more(1000)
    got = b""
    while got.count(b"\n") < load.answered:
        got += os.read(reader, 1 << 20)
    assert not load.failures
    assert all(re.fullmatch(rb'[\d.]+ - - \[.*\] "GET /long\?x+\.\.\." 200 4 .*', line) for line in got.splitlines())
    os.close(reader)
    run.stop()


def test_wrong_file_or_format_is_one_line_at_the_start(start: Start) -> None:
    write(start, "program.py", PROGRAM)
    run = Run(start, "program:asgi", "--access-log", "missing/access.log")
    where = re.escape(f"{start.directory}/missing/access.log")
    run.running.expect(rf"cannot open the access log {where} for writing as uid \d+: No such file or directory", "err")
    assert run.running.wait() == 1
    assert not any("Traceback" in line for line in run.running.err)
    run = Run(start, "program:asgi", "--access-log", "-", "--access-log-format", "%(x)s")
    run.running.expect(r"'%\(x\)s' is no field: there are %\(h\)s, .*%\(request_id\)s", "err")
    assert run.running.wait() == 2


@pytest.mark.skipif(not root(), reason="only root can become another user")
def test_workers_of_another_user_rotate_their_file(anywhere: Start) -> None:
    served = as_nobody(anywhere, PROGRAM.replace("await receive()\n    if scope", "if scope") + "\n# THEIRS")
    served.command = "run program:asgi -w 2"
    log = anywhere.directory / "theirs" / "access.log"
    served.begin("-b", f"127.0.0.1:{served.port}", "--access-log", str(log), "--access-log-format", "'%(r)s %(s)s'")
    served.running.expect("ready", "err")
    ask_port(served.port, "/one")
    until(lambda: "/one" in log.read_text(), "the first line")
    assert log.stat().st_uid == NOBODY
    log.rename(log.with_suffix(".1"))
    served.signal(signal.SIGUSR1)
    until(lambda: ask_port(served.port, "/two") and log.exists(), "a line in another file")
    assert set(log.read_text().splitlines()) == {"GET /two HTTP/1.1 200"}
    assert served.stop() == 0


def ask_port(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        return client.recv(1024)
