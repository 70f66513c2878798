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
from support import PATIENCE, Start, gone, until

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


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_reload_ends_events_and_websockets_reconnect(app: Example, server: str) -> None:
    app.run(RUN, "--server", server)
    with httpx.Client(base_url=f"http://127.0.0.1:{app.port}", timeout=PATIENCE) as client, websocket(app) as socket:
        assert client.get("/").json()["hello"] == "world"
        old = echo(socket, "hello")
        with client.stream("GET", "/events?count=8&every=0.2") as answer:
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
    assert gone(teller)
    with websocket(app) as again:
        new = echo(again, "here again")
    assert new != old
    assert new in app.workers("web").values()
    assert app.stop() == 0


def test_events_that_never_end_are_cut_at_the_drain_timeout(app: Example) -> None:
    app.run(RUN, "--drain-timeout", "1s")
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
    assert app.stop() == 0


def test_reloads_under_load_lose_nothing(app: Example) -> None:
    app.edit("app.py", '"from": request.state.opened_by', '"from": "anybody"')
    app.run(RUN, "--keepalive-window", "10")  # clients are no slower than that, whatever else the machine does
    body = b'{"hello":"world","from":"anybody"}'
    new, kept = Load(app.port, body, 3), Load(app.port, body, 3, keep=True)
    with new, kept:
        for _ in range(2):
            new.more(50)
            kept.more(50)
            app.reload()
    assert not new.failures + kept.failures
    assert app.stop() == 0


def test_a_mistake_is_shown_and_the_old_workers_serve_on(app: Example) -> None:
    app.run(RUN)
    app.edit("app.py", "import asyncio", "import asyncioo")
    app.running.send(signal.SIGHUP)
    app.running.expect("^ModuleNotFoundError: No module named 'asyncioo'", "err")
    assert httpx.get(f"http://127.0.0.1:{app.port}/", timeout=PATIENCE).status_code == 200
    assert app.stop() == 0


def test_terminated_worker_answers_its_slow_request(app: Example) -> None:
    app.run(RUN)
    with websocket(app) as socket:
        pid = echo(socket, "who is it?")
        os.kill(pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE)
    until(lambda: len(app.workers("web")) == 4 and pid not in app.workers("web").values(), "another one in its place")
    assert httpx.get(f"http://127.0.0.1:{app.port}/slow?seconds=0.1", timeout=PATIENCE).json() == {"slept": 0.1}
    assert app.stop() == 0
