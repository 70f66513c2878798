"""A thousand scrapes at once, and hundreds of clients that never finish a header: the service goes on as before."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import selectors
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest

import prefork
import prefork.scoreboard
from support import PATIENCE, Start, until
from system.agents import Watched

pytestmark = [pytest.mark.timeout(300), pytest.mark.alone]

AT_ONCE, FLOODS, UNFINISHED, ROUNDS = 1_000, 3, 300, 5
PAUSE = 0.002
"""Seconds between two requests of the client of the service: far from what it could take."""


class Client:
    """A client of the service that measures: one request after the other, until it is stopped."""

    def __init__(self, port: int) -> None:
        self.took: list[float] = []
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.took.sort()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        while not self._over.wait(PAUSE):
            begun = time.monotonic()
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
            self.took.append(time.monotonic() - begun)
        connection.close()

    def share(self, share: float) -> float:
        return 1000 * self.took[int(share * (len(self.took) - 1))]


def scrapes(port: int, count: int) -> Counter[str]:
    """Ask for the metrics on `count` connections at once; return how often each status line came."""
    found: Counter[str] = Counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            selector.register(client, selectors.EVENT_READ, bytearray())
        while selector.get_map():
            ready = selector.select(PATIENCE)
            assert ready, f"no answer to {len(selector.get_map())} scrapes"
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                if data := key.fileobj.recv(65536):
                    key.data.extend(data)
                    continue
                found[key.data.partition(b"\r\n")[0].decode()] += 1
                selector.unregister(key.fileobj)
                key.fileobj.close()
    return found


def test_flood_of_scrapes_leaves_the_service_alone(start: Start) -> None:
    run = Watched(start)
    run.ready()
    agent, workers = run.agent(), run.workers()
    # In a process of its own that yields, as if it were on another machine.
    with multiprocessing.get_context("spawn").Pool(1, os.nice, (10,)) as other:
        other.apply(scrapes, (run.agent_port, 1))
        for _ in range(ROUNDS):
            with Client(run.port) as calm:
                time.sleep(2)  # Not a wait for anything: what is measured is the time in between.
            with Client(run.port) as flooded:
                begun = time.monotonic()
                found = [other.apply(scrapes, (run.agent_port, AT_ONCE)) for _ in range(FLOODS)]
                lasted = time.monotonic() - begun
            answers = sum(found, Counter())
            assert set(answers) <= {"HTTP/1.1 200 OK", "HTTP/1.1 503 Service Unavailable"}, answers
            assert answers["HTTP/1.1 200 OK"] > 0
            for name, share in ("p50", 0.5), ("p99", 0.99):
                print(f"{name} {calm.share(share):.2f} -> {flooded.share(share):.2f} ms", end=", ")
            print(f"{lasted:.1f} s, {dict(answers)}")
    assert (run.agent(), run.workers()) == (agent, workers)
    assert run.stop() == 0


def test_clients_that_never_finish_a_header_are_closed(start: Start) -> None:
    run = Watched(start)
    run.ready()
    with ExitStack() as stack:
        clients = [socket.create_connection(("127.0.0.1", run.agent_port)) for _ in range(UNFINISHED)]
        over = threading.Event()

        def drip() -> None:
            """Send a byte of a header to each, now and then."""
            while not over.wait(0.5):
                for client in clients:
                    try:
                        client.sendall(b"a")
                    except OSError:  # It is closed, as it should be.
                        continue

        for client in clients:
            stack.callback(client.close)
            client.sendall(b"GET /metrics HTTP/1.1\r\nA: ")
        dripping = threading.Thread(target=drip)
        dripping.start()
        stack.callback(dripping.join)
        stack.callback(over.set)
        begun = time.monotonic()
        assert run.ask("/readyz")[0] == 200
        assert time.monotonic() - begun < 2
        until(lambda: slot_of_agent(run).open < 10, "the agent has closed them")
        print(f"closed after {time.monotonic() - begun:.1f} s")
    assert run.stop() == 0


def slot_of_agent(run: Watched) -> prefork.scoreboard.Process:
    with prefork.open_scoreboard(run.client) as board:
        return next(each for each in board.read().processes if each.slot == "agent/0")
