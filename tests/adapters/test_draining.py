"""What clients see of a worker that drains: nothing lost, and `Connection: close`."""

from __future__ import annotations

import select
import socket

import pytest

from adapters.served import BRIEF, REQUEST, SERVERS, SILENCE, SLOW, Shared, connect, fetch, read_all, term
from support import PATIENCE, gone


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_a_connection_that_has_asked_nothing_yet_is_answered(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted:
        pid = adapted.pid
        clients = [connect(adapted.port) for _ in range(20)]
        # One that has been answered shows that those before it have been accepted: there is one worker and one queue.
        assert adapted.get("/")[1] == f"{pid}\n"
        term(pid)
        select.select([], [], [], SILENCE)
        for client in clients:
            client.sendall(REQUEST)
        answers = [read_all(client) for client in clients]
        assert [answer.startswith(b"HTTP/1.1 200 ") for answer in answers] == [True] * 20
        assert all(b"\r\nconnection: close\r\n" in answer.lower() for answer in answers)
        assert {answer.rpartition(b"\r\n\r\n")[2] for answer in answers} == {f"{pid}\n".encode()}
        for client in clients:
            client.close()
        assert gone(pid)
        adapted.ready()


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_kept_connection_is_told_that_it_closes(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **SLOW) as adapted, adapted.connection() as client:
        pid = adapted.pid
        assert fetch(client, "/")[1] == f"{pid}\n"
        term(pid)
        answers = [fetch(client, "/")]
        while answers[-1][2].get("connection") != "close":
            answers.append(fetch(client, "/"))
        assert {text for _, text, _ in answers} == {f"{pid}\n"}
        assert gone(pid)
        assert fetch(client, "/")[1] == f"{adapted.ready()['web/0']}\n"


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_unix_socket_is_drained_too(shared: Shared, server: tuple[str, str]) -> None:
    with (
        shared.use(server, **SLOW) as adapted,
        socket.socket(socket.AF_UNIX) as asked,
        socket.socket(socket.AF_UNIX) as silent,
    ):
        pid = adapted.pid
        for client in silent, asked:
            client.settimeout(PATIENCE)
            client.connect(str(adapted.directory / "http.sock"))
        asked.sendall(REQUEST)
        answer = b""
        while not answer.endswith(f"\r\n\r\n{pid}\n".encode()):
            answer += asked.recv(65536)
        term(pid)
        select.select([], [], [], SILENCE)
        for client in silent, asked:
            client.sendall(REQUEST)
            answer = read_all(client)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nconnection: close\r\n" in answer.lower()
        assert gone(pid)
        adapted.ready()


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_a_silent_client_is_let_go_after_the_window(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted:
        with adapted.connection() as client, connect(adapted.port) as silent:
            assert fetch(client, "/")[1] == f"{adapted.pid}\n"
            term(adapted.pid)
            assert gone(adapted.pid)
            assert silent.recv(1) == b""
        adapted.ready()


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_what_is_in_flight_is_finished(shared: Shared, server: tuple[str, str]) -> None:
    with shared.use(server, **BRIEF) as adapted:
        pid = adapted.pid
        with connect(adapted.port) as held, connect(adapted.port) as events:
            held.sendall(REQUEST.replace(b"/ ", b"/held "))
            events.sendall(REQUEST.replace(b"/ ", b"/events "))
            adapted.running.expect_each(["^begun /held$", "^begun /events$"])
            started = b""
            while b"data: first\n\n" not in started:
                started += events.recv(65536)
            term(pid)
            assert not gone(pid, 0.5), "its window is over, and it has two requests in flight"
            adapted.release()
            assert read_all(held).endswith(b"/held")
            assert b"data: second\n\n" in read_all(events)
        assert gone(pid)
        adapted.ready()
        adapted.hold()
