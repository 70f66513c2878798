"""FastAPI, unchanged: requests, events and a WebSocket, through reloads."""

from __future__ import annotations

import os
import signal

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from examples.example import Example
from load import Load
from support import PATIENCE, PROOF, Start, gone, until

RUN = "prefork run app:app -w 4 -b 127.0.0.1:8000"


@pytest.fixture
def app(start: Start) -> Example:
    return Example(start, "fastapi")


def websocket(app: Example) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{app.port}/echo", open_timeout=PATIENCE)


def echo(client: ClientConnection, text: str) -> int:
    """Send a text and return the pid of who sent it back."""
    client.send(text)
    said, _, pid = str(client.recv(PATIENCE)).partition(" from ")
    assert said == text
    return int(pid)


@pytest.mark.parametrize("server", ["uvicorn", "granian"] if PROOF else ["uvicorn"])
def test_reload_ends_events_and_websockets_and_loses_nothing(app: Example, server: str) -> None:
    app.edit("app.py", '"from": request.state.opened_by', '"from": "anybody"')
    app.run(RUN, "--server", server, "--keepalive-window", "10")  # no client is slower, whatever the machine does
    body = b'{"hello":"world","from":"anybody"}'
    each = 3 if PROOF else 1
    new, kept = Load(app.port, body, each), Load(app.port, body, each, keep=True)
    with websocket(app) as socket, new, kept:
        old = echo(socket, "hello")
        with httpx.stream("GET", f"http://127.0.0.1:{app.port}/events?count=8&every=0.2", timeout=PATIENCE) as answer:
            lines = answer.iter_lines()
            first = [next(lines), next(lines)]
            teller = int(first[1].rpartition(" ")[2])
            app.running.send(signal.SIGHUP)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            told = [line for line in [*first, *lines] if line.startswith("data: ")]
        assert told == [f"data: {number} from {teller}" for number in range(8)], "to the end, by one worker"
        app.running.expect(r"reload: done \(generation 2\)", "err")
        new.more(10)
        kept.more(10)
    assert not new.failures + kept.failures
    assert gone(teller)
    with websocket(app) as again:
        pid = echo(again, "here again")
    assert pid != old
    assert pid in app.workers("web").values()
    assert app.stop() == 0


def test_end_of_a_worker_a_drain_timeout_and_a_mistake(app: Example) -> None:
    app.run(RUN, "--drain-timeout", "1s")
    a_terminated_worker_is_replaced(app)
    events_that_never_end_are_cut(app)
    app.edit("app.py", "import asyncio", "import asyncioo")
    app.running.send(signal.SIGHUP)
    app.running.expect("^    ModuleNotFoundError: No module named 'asyncioo'", "err")
    assert httpx.get(f"http://127.0.0.1:{app.port}/", timeout=PATIENCE).status_code == 200
    assert app.stop() in (0, 4), "one second to drain is little on a busy machine"


def a_terminated_worker_is_replaced(app: Example) -> None:
    with websocket(app) as socket:
        pid = echo(socket, "who is it?")
        os.kill(pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE)
    until(lambda: len(app.workers("web")) == 4 and pid not in app.workers("web").values(), "another one in its place")
    assert httpx.get(f"http://127.0.0.1:{app.port}/slow?seconds=0.1", timeout=PATIENCE).json() == {"slept": 0.1}


def events_that_never_end_are_cut(app: Example) -> None:
    """At the drain timeout."""
    with httpx.Client(base_url=f"http://127.0.0.1:{app.port}", timeout=PATIENCE) as client:
        with client.stream("GET", "/events?count=1000&every=0.1") as answer:
            lines = answer.iter_lines()
            next(lines)
            app.running.send(signal.SIGHUP)
            with pytest.raises(httpx.RemoteProtocolError):  # which an EventSource answers by asking again
                list(lines)
        app.running.expect(r"reload: done \(generation 2\)", "err")
        with client.stream("GET", "/events?count=1") as answer:
            assert next(answer.iter_lines()) == "id: 0"
