"""UDP echo: one client, one worker; and nothing lost when workers come and go."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from examples.example import Example
from support import PATIENCE, PROOF, Start, gone, state, until
from system.daemons import title


@pytest.fixture
def echo(start: Start) -> Example:
    echo = Example(start, "udp_echo", ECHO_ADDRESS="udp://127.0.0.1:PORT").run("python echo.py")
    # All of them: whose turn a client is changes with each worker that begins to serve.
    until(lambda: title(echo.running.pid).endswith("[4/4 ready]"), "four workers serve")
    return echo


def client(echo: Example) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE)
    made.connect(("127.0.0.1", echo.port))
    return made


def ask(echo: Example, text: bytes) -> str:
    """Return who answers; an empty text where nothing listens yet."""
    with client(echo) as asking:
        try:
            asking.send(text)
            who, _, said = asking.recv(100).partition(b": ")
        except ConnectionRefusedError:
            return ""
        assert said == text
        return who.decode()


def test_clients_are_shared_out_and_reloads_lose_no_datagram(echo: Example) -> None:
    with client(echo) as asking:
        answers = set()
        for number in range(50):
            asking.send(b"%d" % number)
            who, _, said = asking.recv(100).partition(b": ")
            assert said == b"%d" % number
            answers.add(who)
        assert len(answers) == 1
    seen: set[str] = set()
    until(lambda: seen.add(ask(echo, b"who?")) or len(seen) == 4, "each of them answers")  # type: ignore[func-returns-value]
    reloads_lose_no_datagram(echo)
    assert echo.stop() == 0


def reloads_lose_no_datagram(echo: Example) -> None:
    stopping = threading.Event()
    lost: list[int] = []
    asked = [0] * 4

    def ask_on_and_on(index: int) -> None:
        with client(echo) as asking:
            asking.settimeout(5)
            while not stopping.is_set():
                asking.send(b"%d" % asked[index])
                try:
                    assert asking.recv(100).endswith(b": %d" % asked[index])
                except TimeoutError:
                    lost.append(asked[index])
                asked[index] += 1
                stopping.wait(0 if PROOF else 0.01)

    threads = [threading.Thread(target=ask_on_and_on, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3 if PROOF else 1):
            before = sum(asked)
            until(lambda before=before: sum(asked) > before + 100, "they go on")  # type: ignore[misc]
            echo.reload()
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert not lost, f"{len(lost)} of {sum(asked)}"


@pytest.mark.parametrize("end", [signal.SIGTTOU, signal.SIGTERM], ids=["scaled away", "stopped"])
def test_what_waits_without_a_successor_is_answered(echo: Example, end: signal.Signals) -> None:
    clients: list[socket.socket] = []
    while len(clients) < 5:
        asking = client(echo)
        asking.send(b"which?")
        if asking.recv(100).startswith(b"echo/3: "):
            clients.append(asking)
        else:
            asking.close()
    pid = echo.workers("echo/3")["echo/3"]
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == "T", "it is stopped")
    for asking in clients:
        asking.send(b"still there?")
    echo.running.send(end)  # The master lets it run again, to drain.
    assert [asking.recv(100) for asking in clients] == [b"echo/3: still there?"] * 5
    assert gone(pid)
    for asking in clients:
        asking.close()
    assert (echo.running.wait() if end == signal.SIGTERM else echo.stop()) == 0
