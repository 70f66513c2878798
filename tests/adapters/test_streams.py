"""`AsyncWorker.serve_asyncio`: a coroutine for each connection, and its gentle end."""

from __future__ import annotations

import json
import select

from adapters.served import connect, term
from support import Start, gone
from system.daemons import HEAD, RUN, Served

SHOUT = """
import asyncio, json

daemon = prefork.Daemon("shout", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0)]

@daemon.worker(Web)
async def web(worker):
    async def shout(reader, writer):
        while line := await reader.readline():
            with worker.request("shout"):
                if line == b"fail\\n":
                    raise RuntimeError("cannot shout")
                if line == b"count\\n":
                    line = json.dumps([worker.activity.open, worker.activity.requests]).encode()
                writer.write(line.upper())
                await writer.drain()
        writer.write(b"BYE")

    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    await worker.serve_asyncio(shout, "http", window=WINDOW)
    say("drained")
"""


def launch(start: Start, window: float) -> tuple[Served, int]:
    served = Served(start, "shout", (HEAD + SHOUT + RUN).replace("WINDOW", str(window))).launch()
    return served, served.ready("web/0")["web/0"]


def test_lines_are_counted_and_a_failure_lets_its_client_go(start: Start) -> None:
    served, _ = launch(start, 0.1)
    with connect(served.port) as one, connect(served.port) as other:
        for client in one, other:
            client.sendall(b"hello\n")
            assert client.recv(100) == b"HELLO\n"
        one.sendall(b"count\n")
        assert json.loads(one.recv(100)) == [2, 2]
    with connect(served.port) as client:
        client.sendall(b"fail\n")
        assert client.recv(1) == b""
    served.running.expect("RuntimeError: cannot shout", "err")
    with connect(served.port) as client:
        client.sendall(b"hello\n")
        assert client.recv(100) == b"HELLO\n"
    assert served.stop() == 0


def test_who_asks_within_the_window_is_answered(start: Start) -> None:
    served, pid = launch(start, 10)
    clients = [connect(served.port) for _ in range(20)]
    clients[-1].sendall(b"hello\n")
    assert clients[-1].recv(100) == b"HELLO\n"  # so those before it have been accepted
    term(pid)
    select.select([], [], [], 0.2)  # what the clients do meanwhile: nothing
    for client in clients:
        client.sendall(b"hello\n")
        assert client.recv(100) == b"HELLO\n"
    assert not gone(pid, 0)
    for client in clients:
        client.close()
    served.running.expect("^drained$")
    assert gone(pid)
    assert served.stop() == 0


def test_handler_of_silent_client_reads_end_after_window(start: Start) -> None:
    served, pid = launch(start, 0.1)
    with connect(served.port) as silent, connect(served.port) as talker:
        talker.sendall(b"hello\n")
        assert talker.recv(100) == b"HELLO\n"
        term(pid)
        assert silent.recv(100) == b"BYE"
        assert silent.recv(100) == b""
        assert talker.recv(100) == b"BYE"
    assert gone(pid)
    assert served.stop() == 0
