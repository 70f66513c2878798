"""A queue of its own for each worker: what waits in one is answered, whatever becomes of its worker."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack

import pytest

from load import Load
from support import PATIENCE, PROOF, Start, gone, state, until
from system.daemons import HEAD, RUN, Served

SHARDED = """
daemon = prefork.Daemon(
    "sharded", listeners={"http": prefork.Listener("tcp://127.0.0.1:PORT", sharing="sharded")}, spares=2
)

@daemon.plan
def plan():
    return [prefork.Pool(Web, size=SIZE, max=8)]
"""
ANSWER = """
def answer(connection):
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
"""
PLAIN = """
@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        answer(connection)
"""
ASYNC = """
import asyncio
@daemon.worker(Web)
async def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    loop = asyncio.get_running_loop()
    async for connection, _ in worker.accept("http"):
        with connection:
            await loop.sock_recv(connection, 65536)
            await loop.sock_sendall(
                connection, b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok"
            )
"""
WORKERS = pytest.mark.parametrize("worker", [PLAIN, ASYNC], ids=["plain", "async"])
PAUSE = 0 if PROOF else 0.02
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


def launched(start: Start, worker: str, size: int = 4) -> tuple[Served, dict[str, int]]:
    served = Served(start, "sharded", (HEAD + SHARDED + ANSWER + worker + RUN).replace("SIZE", str(size))).launch()
    return served, served.ready(*(f"web/{number}" for number in range(size)))


class Asked:
    """Clients that have connected and sent a request, and wait for the answer."""

    def __init__(self, served: Served, stack: ExitStack, count: int) -> None:
        self.clients = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE))
            client.sendall(REQUEST)
            self.clients.append(client)

    def answered(self) -> int:
        return sum(client.recv(100).endswith(b"ok") for client in self.clients)


def stopped(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == "T", "a worker that stands still")


@WORKERS
def test_what_waits_is_answered_after_kill_scaling_and_stop(start: Start, worker: str) -> None:
    served, pids = launched(start, worker)
    with ExitStack() as stack:
        for key in ("web/0", "web/1"):
            stopped(pids[key])
        asked = Asked(served, stack, 80)
        for key in ("web/0", "web/1"):
            os.kill(pids[key], signal.SIGKILL)
        assert asked.answered() == 80
        pids |= served.ready("web/0", "web/1")
        stopped(pids["web/3"])
        asked = Asked(served, stack, 60)
        served.signal(signal.SIGTTOU)
        assert asked.answered() == 60
        assert gone(pids.pop("web/3"))
        assert Asked(served, stack, 20).answered() == 20
        for pid in pids.values():
            stopped(pid)
        asked = Asked(served, stack, 60)
        served.signal(signal.SIGTERM)
        assert asked.answered() == 60
    assert served.running.wait() == 0


@WORKERS
def test_scaling_and_reloading_under_load_fail_nobody(start: Start, worker: str) -> None:
    served, pids = launched(start, worker)
    with Load(served.port, b"ok", clients=8, pause=PAUSE) as load:
        for size in (8, 2, 4):
            while len(pids) < size:
                served.signal(signal.SIGTTIN)
                pids |= served.ready(f"web/{len(pids)}")
            while len(pids) > size:
                served.signal(signal.SIGTTOU)
                assert gone(pids.popitem()[1])
            load.more(100)
        served.signal(signal.SIGHUP)
        served.running.expect(r"reload: done \(generation 2\)", "err")
        load.more(100)
    assert not load.failures
    assert served.stop() == 0


def test_death_of_busy_worker_loses_only_what_it_accepted(start: Start) -> None:
    served, pids = launched(start, PLAIN)
    with Load(served.port, b"ok", clients=8, pause=PAUSE) as load:
        for _ in range(4):
            for key in ("web/0", "web/3"):
                os.kill(pids[key], signal.SIGKILL)
                pids |= served.ready(key)
                load.more(50)
    assert load.failures.total() <= 8, load.failures  # One connection at a time is all that a worker holds.
    assert served.stop() == 0


HANG = """
@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    for connection, _ in worker.accept("http"):
        with connection:
            if connection.recv(65536) == b"hang":
                say("hangs", worker.key)
                while not os.path.exists("go on"):
                    time.sleep(0.02)
            connection.sendall(worker.key.encode())
"""


def asked(served: Served, request: bytes = b"who", timeout: float = 0.5) -> str:
    """Return which worker answers; None where it takes too long."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=timeout) as client:
        client.sendall(request)
        try:
            return client.recv(100).decode()
        except TimeoutError:
            return ""


def test_new_connections_avoid_a_hanging_worker(start: Start) -> None:
    served, _ = launched(start, HANG)
    assert asked(served, b"hang", 0.01) == ""
    stuck = served.running.expect(r"hangs (web/\d)")[1]
    in_a_row = 0

    def answered_often() -> bool:
        nonlocal in_a_row
        in_a_row = in_a_row + 1 if asked(served) else 0
        return in_a_row == 80  # By chance, one of four being stuck, once in ten thousand million times.

    until(answered_often, "everybody is answered although one worker hangs")
    (start.directory / "go on").touch()
    until(lambda: asked(served, timeout=PATIENCE) == stuck, f"{stuck} is given something again")
    assert served.stop() == 0
