"""Connections are spread evenly over the workers of an accept loop, and a hung worker keeps no client waiting."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scoreboards import attach
from support import PATIENCE, Start, switches, until
from system.daemons import HEAD, RUN, Served

MANY = 200

PROGRAM = """
import asyncio

daemon = prefork.Daemon("balanced", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(i) for i in range(4)]

def answer(worker, request):
    with worker.request("answer"):
        while b"hang" in request:
            pass
        return b"%d " % os.getpid()

@daemon.worker(Web, drain_timeout=1)
async def web(worker):
    async def serve(connection):
        reader, writer = await asyncio.open_connection(sock=connection)
        while request := await reader.read(100):
            writer.write(answer(worker, request))
        writer.close()

    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    async with asyncio.TaskGroup() as tasks:
        async for connection, _ in worker.accept("http"):
            tasks.create_task(serve(connection))
"""


@pytest.fixture
def daemon(start: Start) -> Served:
    daemon = Served(start, "balanced", HEAD + PROGRAM + RUN).launch()
    daemon.ready(*(f"web/{number}" for number in range(4)))
    # The master has heard it too when the rows say so: a worker that is not ready is no peer.
    board = attach(daemon.running.pid)
    until(lambda: all(row.state == "ready" for row in board.read().rows), "all are ready")
    return daemon


@contextmanager
def opened_at_once(daemon: Served, count: int) -> Iterator[Counter[int]]:
    """Open connections that stay for as long as the block lasts; how many each worker, by pid, has answered."""
    selector = selectors.DefaultSelector()
    client: Any
    clients = [socket.socket() for _ in range(count)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", daemon.port))
        selector.register(client, selectors.EVENT_WRITE)
    answered = Counter[int]()
    while answered.total() < count:
        ready = selector.select(PATIENCE)
        assert ready, f"{answered} and no more"
        for key, events in ready:
            client = key.fileobj
            if events & selectors.EVENT_WRITE:
                client.sendall(b"who")
                selector.modify(client, selectors.EVENT_READ)
            else:
                answered[int(client.recv(100))] += 1
                selector.unregister(client)
    yield answered
    for client in clients:
        client.close()
    selector.close()


def wakeups(daemon: Served, after: float = 0.0) -> dict[int, int]:
    """How often each process has been switched to; `after`: seconds in which nothing is to happen."""
    time.sleep(after)
    pids = [daemon.running.pid, *daemon.running.children()]
    return {pid: switches(pid) for pid in pids}


def ask(daemon: Served) -> int:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as client:
        client.sendall(b"who")
        return int(client.recv(100))


@pytest.mark.alone
def test_long_connections_are_spread_evenly(daemon: Served) -> None:
    board = attach(daemon.running.pid)
    shares: list[float] = []
    # A worker that has no processor for 10 ms is taken for hung, and for that this machine need only be busy enough.
    while not shares or (shares[-1] > 1.10 and len(shares) < 3):
        with opened_at_once(daemon, MANY) as answered:
            shares.append(max(answered.values()) / (MANY / 4))
        until(lambda: not any(row.open for row in board.read().rows), "the end of all connections")
    assert shares[-1] <= 1.10, shares
    assert daemon.stop() == 0


@pytest.mark.alone
def test_open_connections_cost_nothing(daemon: Served) -> None:
    board = attach(daemon.running.pid)
    with opened_at_once(daemon, MANY) as answered:
        assert {row.pid: row.open for row in board.read().rows} == answered
        before: dict[int, int] = {}
        for _ in range(50):  # Until all are at rest: what is measured begins after this.
            before, former = wakeups(daemon, after=0.2), before
            if before == former:
                break
        assert wakeups(daemon, after=2) == before
    until(lambda: not any(row.open for row in board.read().rows), "the end of all connections")
    assert daemon.stop() == 0


@pytest.mark.parametrize("how", ["stopped", "spinning"])
def test_a_hung_worker_keeps_nobody_waiting(daemon: Served, how: str) -> None:
    board = attach(daemon.running.pid)
    hung = board.read().rows[0].pid
    if how == "stopped":
        os.kill(hung, signal.SIGSTOP)
    else:
        hung = hang_one(daemon)
    # All the others come to have more connections than it has, and yet go on.
    with opened_at_once(daemon, MANY) as answered:
        assert hung not in answered
        assert len(answered) == 3
        assert all(ask(daemon) != hung for _ in range(100))
    assert daemon.running.stop(signal.SIGTERM) == (4 if how == "spinning" else 0), "the one that spins is killed"


def hang_one(daemon: Served) -> int:
    """Have whichever worker accepts spin for ever; its pid."""
    board = attach(daemon.running.pid)
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) as client:
        client.sendall(b"hang")
        until(lambda: any(row.in_flight for row in board.read().rows), "one spins")
    return next(row.pid for row in board.read().rows if row.in_flight)


def test_short_connections_count_while_they_are_open(daemon: Served) -> None:
    answered = Counter(ask(daemon) for _ in range(400))
    board = attach(daemon.running.pid)
    until(lambda: not any(row.open for row in board.read().rows), "the end of all connections")
    assert {row.pid: row.requests for row in board.read().rows if row.requests} == answered
    assert daemon.stop() == 0
