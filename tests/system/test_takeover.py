"""A master is killed and a successor started: its workers serve on until then, and end with it or at a stop."""

from __future__ import annotations

import os
import random
import signal
import socket
from typing import Any

import pytest

from support import PATIENCE, PROOF, Start, gone, until
from system.daemons import Served, forget_workers, free_port
from system.runs import Run, write
from system.test_daemon_under_load import Clients

SLOW = """
import asyncio, os, sys, time

time.sleep({importing})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await asyncio.sleep({starting})
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    print("asked", os.getpid())
    print("asked too", file=sys.stderr)
    body = f"{{os.getpid()}} {version}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})
"""


class Shop:
    """An application under `prefork run` at a port that its successors share."""

    def __init__(self, start: Start, *arguments: str) -> None:
        self.start, self.port = start, free_port()
        self.arguments = ("shop:app", "-w", "2", "--server", "uvicorn", "-b", f"127.0.0.1:{self.port}", *arguments)

    def launch(self, version: str, importing: float = 0.0, starting: float = 0.0) -> Run:
        return self.run(SLOW.format(version=version, importing=importing, starting=starting))

    def run(self, source: str, **options: Any) -> Run:
        write(self.start, "shop.py", source)
        run = Run(self.start, *self.arguments, bind=False, **options)
        run.port = self.port
        return run

    def successor(self, killed: Run, version: str, importing: float = 0.0, starting: float = 0.0) -> Run:
        """Kill a master, and start the next one at once, which knows nothing of the first one's workers."""
        killed.running.send(signal.SIGKILL)
        killed.running.wait()
        forget_workers(self.start)
        return self.launch(version, importing, starting)


GRACE = 5
"""Seconds: the next master's command has to be up within this on a busy machine, and took more than two there."""
LONG = 25.0 if PROOF else GRACE + 1.0


@pytest.mark.parametrize("part", ["import", "lifespan"] if PROOF else ["import"])
def test_orphans_serve_for_as_long_as_the_start_takes(start: Start, part: str) -> None:
    importing, starting = (LONG, 0.0) if part == "import" else (0.0, LONG)
    shop = Shop(start, "--orphan-grace", str(GRACE))
    first = shop.launch("old")
    first.ready()
    second = shop.successor(first, "new", importing, starting)
    seen = set()

    def answers_new() -> bool:
        version = second.who()[1]
        seen.add(version)
        return version == "new"

    until(answers_new, "an answer of the successor")
    assert seen == {"old", "new"}
    second.ready()
    until(lambda: {second.who()[1] for _ in range(5)} == {"new"}, "only new answers")
    assert second.stop() == 0


def test_orphans_outlive_a_failed_successor(start: Start) -> None:
    shop = Shop(start)
    first = shop.launch("old")
    first.ready()
    first.running.send(signal.SIGKILL)
    first.running.wait()
    forget_workers(start)
    second = shop.run("raise RuntimeError('no such table')")
    assert second.running.wait() == 1
    assert second.who()[1] == "old"
    third = shop.launch("new")
    third.ready()
    until(lambda: third.who()[1] == "new", "an answer of the successor")
    assert third.stop() == 0


def test_kept_connection_is_closed_by_the_drain(start: Start) -> None:
    shop = Shop(start)
    first = shop.launch("old")
    first.ready()
    with socket.create_connection(("127.0.0.1", shop.port), timeout=PATIENCE) as kept:
        kept.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert b" old" in kept.recv(1000)
        second = shop.successor(first, "new")
        second.ready()
        kept.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        answer = b""
        while data := kept.recv(1000):
            answer += data
        assert answer == b"" or b"connection: close" in answer.lower()
    assert second.stop() == 0


def test_stop_ends_orphans_and_nothing_answers_after_it(start: Start) -> None:
    shop = Shop(start)
    first = shop.launch("old")
    first.ready()
    old = {first.who()[0] for _ in range(20)}
    second = shop.successor(first, "new", importing=60)
    second.running.expect("orphans: found", "err")
    assert second.who()[1] == "old"
    assert second.stop() == 0
    assert all(gone(pid, 0) for pid in old)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", shop.port), timeout=PATIENCE)


STOPS = 200


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not PROOF, reason="make proof runs it")
def test_stop_at_any_moment_of_a_takeover_resets_nothing(start: Start) -> None:
    chance, refused = random.Random(14), 0
    for _ in range(STOPS):
        served = Served(start, "taken-over", options="orphan_grace=60").launch()  # However late the next one starts.
        old = served.ready("web/0", "web/1")
        first = served.running
        with Clients(served, 4) as clients:
            clients.more(20)
            first.send(signal.SIGKILL)
            first.wait()
            forget_workers(start)
            served.launch()
            served.running.expect("orphans: found", "err")
            clients.more(chance.randrange(1, 150))
            assert served.stop() == 0
            assert all(gone(pid, 0) for pid in old.values())
            with pytest.raises(ConnectionRefusedError):
                served.ask()
        assert [error for error in clients.failures if not isinstance(error, ConnectionRefusedError)] == []
        refused += len(clients.failures)
    print(f"{STOPS} stops, each client then refused: {refused}")


@pytest.mark.parametrize("reader", ["gone", "present"] if PROOF else ["gone"])
def test_captured_workers_print_on_after_the_masters_death(start: Start, reader: str) -> None:
    shop, kept = Shop(start, "--capture"), start.directory / "output"
    end, writer = os.pipe() if reader == "gone" else (-1, os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    first = shop.run(SLOW.format(version="old", importing=0, starting=0), stdout=writer)
    os.close(writer)
    first.ready()
    if reader == "gone":
        os.close(end)  # Before the workers are to find out whether they can print there.
    first.running.send(signal.SIGKILL)
    first.running.wait()
    forget_workers(start)
    pids = {first.who()[0] for _ in range(100)}  # Each answer comes after two lines of output.
    if reader == "present":
        until(lambda: all(f"asked {pid}\n" in kept.read_text() for pid in pids), "their lines")
    second = shop.launch("new")
    second.ready()
    assert second.stop() == 0


def test_output_that_waits_in_the_pipes_is_kept(start: Start) -> None:
    """The master is stopped, so that it reads nothing, before it is killed."""
    shop, kept = Shop(start, "--capture"), start.directory / "output"
    writer = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    first = shop.run(SLOW.format(version="old", importing=0, starting=0), stdout=writer)
    os.close(writer)
    first.ready()
    first.running.send(signal.SIGSTOP)
    pid = first.who()[0]
    first.running.send(signal.SIGKILL)
    first.running.wait()
    until(lambda: f"asked {pid}\n" in kept.read_text(), "the line")
    forget_workers(start)
    assert "| asked" not in kept.read_text()
    second = shop.launch("new")
    second.ready()
    assert second.stop() == 0
