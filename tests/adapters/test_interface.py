"""What the specifications of ASGI and WSGI promise an application, on each server."""

from __future__ import annotations

import http.client
import os
import socket

import pytest

from adapters.served import ASGI, WSGI
from support import PATIENCE, PROOF, Start
from system.runs import Run, write

OF_ASGI = """
import asyncio

async def app(scope, receive, send):
    assert scope["type"] == "http"
    if scope["path"] == "/nothing":
        return
    text = {"/client": repr(scope["client"]), "/loop": type(asyncio.get_running_loop()).__module__}[scope["path"]]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
"""

OF_WSGI = """
import sys

class One:
    def __iter__(self):
        yield b"four"

    def __len__(self):
        return 1

def app(environ, start_response):
    if environ["PATH_INFO"] == "/replaced":
        start_response("200 OK", [])
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("418 I'm a teapot", [("Content-Length", "3")], exc_info=sys.exc_info())
        return iter([b"pot"])
    start_response("200 OK", [])
    return One()
"""


def run(start: Start, source: str, server: str, *options: str) -> Run:
    write(start, "shop.py", source)
    running = Run(start, "shop", "-w", "1", "--server", server, *options)
    running.ready()
    return running


def get(running: Run, path: str) -> tuple[int, str, http.client.HTTPMessage]:
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    client.request("GET", path)
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    return answer.status, text, answer.headers


@pytest.mark.parametrize("server", [name for name, _ in ASGI])
def test_asgi_client_has_a_port_and_no_answer_is_a_500(start: Start, server: str) -> None:
    running = run(start, OF_ASGI, server, "--loop", "asyncio")
    host, port = eval(get(running, "/client")[1])
    assert (host, type(port)) == ("127.0.0.1", int)
    assert get(running, "/loop")[1] in ("asyncio.unix_events", "asyncio.selector_events")
    assert get(running, "/nothing")[0] == 500
    assert running.stop() == 0


@pytest.mark.parametrize("server", [name for name, _ in ASGI])
def test_chosen_loop_runs_or_is_refused(start: Start, server: str) -> None:
    pytest.importorskip("uvloop", reason="uvloop is not installed")
    running = run(start, OF_ASGI, server, "--loop", "uvloop")
    assert get(running, "/loop")[1].startswith("uvloop")
    assert running.stop() == 0


@pytest.mark.parametrize("server", [name for name, _ in WSGI])
def test_wsgi_response_is_replaced_and_a_length_is_known(start: Start, server: str) -> None:
    running = run(start, OF_WSGI, server)
    assert get(running, "/replaced")[:2] == (418, "pot")
    status, text, headers = get(running, "/")
    assert (status, text) == (200, "four")
    if server == "waitress":  # granian sends what comes in pieces in chunks.
        assert headers["Content-Length"] == "4"
    assert running.stop() == 0


@pytest.mark.parametrize(("server", "source"), [("waitress", OF_WSGI), ("granian", OF_WSGI), ("uvicorn", OF_ASGI)])
def test_one_application_listens_at_a_port_and_a_path(start: Start, server: str, source: str) -> None:
    path = "/loop" if source is OF_ASGI else "/"
    running = run(start, source, server, "-b", "unix:shop.sock")
    assert get(running, path)[0] == 200
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(start.directory / "shop.sock"))
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert client.makefile().readline().startswith("HTTP/1.")
    assert running.stop() == 0


OF_TYPES = """
def application(environ, start_response):
    start_response("200 OK", [])
    names = "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "PATH_INFO", "SCRIPT_NAME"
    return [" ".join(type(environ[name]).__name__ for name in names).encode()]
"""


@pytest.mark.parametrize("server", ["waitress", "granian"] if PROOF else ["waitress"])
def test_environ_of_an_abstract_socket_is_text(start: Start, server: str) -> None:
    name = f"test-of-prefork-{os.getpid()}"
    running = run(start, OF_TYPES, server, "-b", f"unix:@{name}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(f"\0{name}")
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.makefile().read().rpartition("\n")[2] == " ".join(["str"] * 5)
    assert running.stop() == 0
