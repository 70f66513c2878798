"""What each server does while nothing goes wrong."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
import websockets.exceptions
import websockets.sync.client

from adapters.served import ASGI, REQUEST, SERVERS, SLOW, WSGI, Adapted, Shared, connect, fetch, term
from support import PATIENCE, Start, gone, until


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_it_answers_again_and_again_on_one_connection(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        pid = adapted.pid
        with adapted.connection() as client:
            for _ in range(3):
                status, text, headers = fetch(client, "/")
                assert (status, text) == (200, f"{pid}\n")
                assert headers.get("connection", "keep-alive") == "keep-alive"
                assert "date" in headers


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_connection_that_its_client_closes_ends_at_once(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        adapted.get("/")
        most = sockets(adapted.pid) + 1  # granian opens one of its own with the first connections.
        for wait in True, False:  # until the connection is idle; or the end comes with the answer
            clients = [connect(adapted.port) for _ in range(10)]
            for client in clients:
                client.sendall(REQUEST)
                client.recv(4096)
                if wait:
                    adapted.get("/")
                client.close()
            until(lambda: sockets(adapted.pid) <= most, "all have ended")


def sockets(pid: int) -> int:
    """Return how many sockets a process has open."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # It is closed at this moment.
            found += os.readlink(each).startswith("socket:")
    return found


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_it_counts(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        before = json.loads(adapted.get("/counts")[1])
        assert adapted.get("/")[0] == 200
        assert adapted.get("/boom")[0] == 500
        counts = json.loads(adapted.get("/counts")[1])
        assert counts.pop("open") < 4
        assert counts.pop("requests") == before["requests"] + 3, "with the first for the counts"
        assert counts.pop("errors") == before["errors"] + 1
        assert counts == {"in_flight": 1, "label": "GET /counts"}


@pytest.mark.parametrize("server", WSGI, ids="-".join)
def test_wsgi_environ_holds_nothing_of_the_process(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        status, text = adapted.get("/environ?a=b")
        assert status == 200
        environ = json.loads(text)
        told = {name: environ[name] for name in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD")}
        assert told == {"SCRIPT_NAME": "", "PATH_INFO": "/environ", "QUERY_STRING": "a=b", "REQUEST_METHOD": "GET"}
        assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == (True, True)
        assert "SETTINGS" not in environ, "the environment of the process"


@pytest.mark.parametrize("server", WSGI, ids="-".join)
def test_wsgi_generator_must_start_its_response(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        before = json.loads(adapted.get("/counts")[1])["requests"]
        with adapted.connection() as client:
            status, text, headers = fetch(client, "/lazy")
            assert (status, text, headers["content-type"]) == (201, "one, two", "text/x-lazy")
            assert fetch(client, "/mute")[0] == 500
        counts = json.loads(adapted.get("/counts")[1])
        assert (counts["requests"], counts["in_flight"]) == (before + 3, 1)


@pytest.mark.parametrize("server", WSGI, ids="-".join)
def test_wsgi_head_can_be_replaced_after_an_error(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        assert adapted.get("/replaced") == (503, "later")


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_an_answer_is_sent_while_it_is_made(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        with adapted.connection() as client:
            client.request("GET", "/events")
            events = client.getresponse()
            assert events.headers["content-type"] == "text/event-stream"
            assert events.readline() == b"data: first\n"
            assert json.loads(adapted.get("/counts")[1])["in_flight"] == 2
            adapted.release()
            assert events.read() == b"\ndata: second\n\n"
        until(lambda: json.loads(adapted.get("/counts")[1])["in_flight"] == 1, "only the request for the counts")
        adapted.hold()


@pytest.mark.parametrize("server", [("granian", "asgi"), ("granian", "wsgi")], ids="-".join)
def test_granians_threads_do_not_preempt_each_other(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        adapted.get("/")
        tasks = [int(task.name) for task in Path(f"/proc/{adapted.pid}/task").iterdir()]
        assert len(tasks) > 2, "with granian's own threads"
        assert {os.sched_getscheduler(task) for task in tasks} == {os.SCHED_BATCH}


@pytest.mark.parametrize("server", ASGI, ids="-".join)
def test_lifespan_spans_the_requests_and_its_state_is_theirs(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        assert adapted.get("/state") == (200, "at startup")
        term(adapted.pid)
        adapted.running.expect(f"^lifespan over in {adapted.pid}$")
        assert gone(adapted.pid)
        adapted.ready()


@pytest.mark.parametrize("server", ASGI, ids="-".join)
def test_websocket_counts_as_one_request_and_is_closed(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        pid = adapted.pid
        before = json.loads(adapted.get("/counts")[1])
        expected = {"in_flight": 0, "requests": before["requests"] + 2, "errors": before["errors"]}
        with websockets.sync.client.connect(f"ws://127.0.0.1:{adapted.port}/ws") as client:
            for number in range(3):
                client.send(f"hello {number}")
                text, counts = str(client.recv(PATIENCE)).split("{")
                assert text == f"hello {number}"
                assert json.loads("{" + counts).items() >= expected.items()
            term(pid)
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                client.recv(PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        adapted.running.expect("^websocket 1012$")
        assert gone(pid)
        adapted.ready()


def test_a_preferred_granian_worker_stays_so(start: Start) -> None:
    adapted = Adapted(start, ("granian", "asgi"), kind={"nice": -1})
    pid = adapted.ready()["web/0"]
    if os.getpriority(os.PRIO_PROCESS, pid) == -1:  # The daemon says so where it has no right to it.
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER
    else:
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    assert adapted.stop() == 0
