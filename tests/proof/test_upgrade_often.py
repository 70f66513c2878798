"""Upgrades in place under load: no request, stream or worker is lost, and the master is away for a moment only.

    PYTHONPATH=tests TEST_OF_PREFORK_PROOF=1 pytest -s tests/proof/test_upgrade_often.py

prints how long the master was away: from its last event in one program to the first one in the next.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from load import Load
from support import PATIENCE, PROOF, Running, Start, until
from system.commanded import Commanded
from system.releases import Releases

UPGRADES = 20 if PROOF else 3
WORKERS = 500 if PROOF else 20

APPLICATION = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    endless = scope["path"] == "/events"
    head = [(b"content-type", b"text/event-stream")] if endless else [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    for number in range(1_000_000 if endless else 0):
        await send({"type": "http.response.body", "body": f"data: {number}\\n\\n".encode(), "more_body": True})
        await asyncio.sleep(0.02)
    await send({"type": "http.response.body", "body": b"hello"})
"""


class Talk:
    """A client that never stops talking in a thread: over a WebSocket, or to an endless stream of events."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.count = 0
        self.failure: BaseException | None = None
        self._stopping = False
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in (self._echo, self._events)]

    def __enter__(self) -> Talk:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _run(self, talk: object) -> None:
        try:
            talk()  # type: ignore[operator]
        except BaseException as error:
            self.failure = error

    def _echo(self) -> None:
        with connect(f"ws://127.0.0.1:{self._port}/", open_timeout=PATIENCE) as socket:
            while not self._stopping:
                socket.send(str(self.count))
                assert socket.recv(timeout=PATIENCE) == str(self.count)
                self.count += 1
                time.sleep(0.01)

    def _events(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        client.request("GET", "/events")
        answer, number = client.getresponse(), 0
        while not self._stopping:
            assert answer.fp.readline().strip(b"\r\n") is not None
            number += 1
        assert number > 0
        client.close()


class Served(Releases):
    """Releases of a web application, with two workers on uvicorn."""

    def started(self) -> tuple[Running, int]:
        for number in (1, 2):
            release = self.make(number)
            (release / "main.py").write_text(APPLICATION)
        self.switch(1)
        running = self.place.command(
            ".venv/bin/prefork", "run", "main:app", "-w", "2", "-b", "127.0.0.1:0", directory="current"
        )
        return running, int(re.search(r"//127\.0\.0\.1:(\d+)", self.place.ready(running))[1])  # type: ignore[index]


def away(line: str) -> float:
    """Return the milliseconds that an outcome names."""
    found = re.search(r"away for ([\d.]+) (ms|s)\)", line)
    assert found, line
    return float(found[1]) * (1 if found[2] == "ms" else 1000)


@pytest.mark.timeout(1200)
def test_no_client_notices_upgrades(start: Start) -> None:
    releases = Served(start)
    running, port = releases.started()
    times = []
    with Load(port, b"hello") as new, Load(port, b"hello", 4, keep=True) as kept, Talk(port) as talk:
        for number in range(UPGRADES):
            releases.switch(1 + (number + 1) % 2)
            new.more(50)
            before = talk.count
            times.append(away(releases.place.says("upgrade", directory="current")))
            kept.more(20)
            until(lambda before=before: talk.count > before or talk.failure, "an echo")  # type: ignore[misc]
    print(f"\nupgrades: {UPGRADES}; away ms: median {sorted(times)[UPGRADES // 2]:.0f}, most {max(times):.0f}; ")
    print(f"requests: {new.answered} on new connections, {kept.answered} on kept ones; {talk.count} echoes")
    assert (new.failures, kept.failures, talk.failure) == ({}, {}, None)
    assert kept.closed == 0
    assert running.stop() == 0


MANY = """
from dataclasses import dataclass
import os, prefork

@dataclass(frozen=True)
class Web(prefork.WorkerContext):
    id: int

daemon = prefork.Daemon("many")

@daemon.plan
def plan():
    return [Web(i) for i in range(COUNT)]

@daemon.worker(Web)
def web(worker):
    worker.ready()
    worker.wait_draining()

if __name__ == "__main__":
    daemon.run()
"""


@contextlib.contextmanager
def killing(daemon: Commanded) -> Iterator[list[int]]:
    """Kill one worker after another meanwhile, and list them."""
    killed: list[int] = []
    stopping = threading.Event()

    def kill() -> None:
        while not stopping.wait(0.02):
            pids = [pid for pid in daemon.pids().values() if pid is not None and pid not in killed]
            for pid in pids[: WORKERS // 20]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stopping.set()
        thread.join(PATIENCE)


@pytest.mark.timeout(1200)
def test_storm_of_exits_survives_upgrades(start: Start) -> None:
    daemon = Commanded(start, "many", MANY.replace("COUNT", str(WORKERS)))
    daemon.launch()
    until(lambda: ready(daemon) == WORKERS, "all workers")
    quiet = away(daemon.says("upgrade"))
    before = daemon.pids()
    assert len(set(before.values())) == WORKERS
    times = []
    with killing(daemon) as killed:
        for _ in range(UPGRADES // 2):
            times.append(away(daemon.says("upgrade")))
    until(lambda: ready(daemon) == WORKERS, "all workers again")
    after = daemon.pids()
    assert not set(after.values()) & set(killed)
    assert {pid for key, pid in before.items() if pid not in killed} <= set(after.values())
    print(f"\n{WORKERS} workers: away {quiet:.0f} ms; in a storm of {len(killed)} kills at most {max(times):.0f} ms")
    assert daemon.stop() == 0


def ready(daemon: Commanded) -> int:
    try:
        return int(daemon.client.hello()["ready"])
    except Exception:
        return 0
