"""What clients see of a worker that drains: nothing lost, and `Connection: close`."""

from __future__ import annotations

import os
import re
import select
import signal
from pathlib import Path

import pytest

from adapters.served import REQUEST, SERVERS, SILENCE, Adapted, connect, fetch, read_all, term
from support import Start, gone, state, until


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_a_connection_that_has_asked_nothing_yet_is_answered(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, keepalive_window=10)
    pid = adapted.ready()["web/0"]
    clients = [connect(adapted.port) for _ in range(20)]
    # One that has been answered shows that those before it have been accepted, since there is one worker and one queue.
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
    assert adapted.stop() == 0


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_kept_connection_is_told_that_it_closes(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, keepalive_window=10)
    pid = adapted.ready()["web/0"]
    with adapted.connection() as client:
        assert fetch(client, "/")[1] == f"{pid}\n"
        term(pid)
        answers = [fetch(client, "/")]
        while answers[-1][2].get("connection") != "close":
            answers.append(fetch(client, "/"))
        assert {text for _, text, _ in answers} == {f"{pid}\n"}
        assert gone(pid)
        assert fetch(client, "/")[1] == f"{adapted.ready()['web/0']}\n"
    assert adapted.stop() == 0


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_a_silent_client_is_let_go_after_the_window(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, keepalive_window=0.1)
    pid = adapted.ready()["web/0"]
    with adapted.connection() as client, connect(adapted.port) as silent:
        assert fetch(client, "/")[1] == f"{pid}\n"
        term(pid)
        assert gone(pid)
        assert silent.recv(1) == b""
    assert adapted.stop() == 0


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_what_is_in_flight_is_finished(start: Start, server: tuple[str, str]) -> None:
    adapted = Adapted(start, server, keepalive_window=0.1)
    pid = adapted.ready()["web/0"]
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
    assert adapted.stop() == 0


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
@pytest.mark.parametrize("sharing", ["shared", "sharded"])
def test_queue_without_a_successor_is_answered(start: Start, server: tuple[str, str], sharing: str) -> None:
    adapted = Adapted(start, server, keepalive_window=0.1, sharing=sharing)
    pid = adapted.ready()["web/0"]
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == "T", "it is stopped")
    clients = [connect(adapted.port) for _ in range(20)]
    for client in clients:
        client.sendall(REQUEST)
    adapted.running.send(signal.SIGTERM)
    until(lambda: told(pid), "the master has told it to end")
    os.kill(pid, signal.SIGCONT)
    answers = [read_all(client) for client in clients]
    assert [answer.startswith(b"HTTP/1.1 200 ") for answer in answers] == [True] * 20
    for client in clients:
        client.close()
    assert adapted.running.wait() == 0


def told(pid: int) -> bool:
    """Whether TERM waits for it, or has been taken."""
    status = Path(f"/proc/{pid}/status").read_text()
    pending = re.findall(r"^(?:SigPnd|ShdPnd):\s+([0-9a-f]+)$", status, re.MULTILINE)
    return state(pid) != "T" or any(int(mask, 16) & 1 << signal.SIGTERM - 1 for mask in pending)
