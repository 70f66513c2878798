"""A live master whose workers mean harm: thousands of messages that no honest one sends."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

import prefork
from support import PROOF, Start, until
from system.daemons import HEAD, RUN, Served

TESTS = Path(__file__).parents[1]

pytestmark = pytest.mark.timeout(600)

DAEMON = """
daemon = prefork.Daemon("hostile", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0), Web(1)]
"""

ROGUE = f"""
import random, sys
sys.path.insert(0, {str(TESTS)!r})
from linux.test_fuzz import MESSAGES, send, spoilt
from prefork._wire import messages

chance = random.Random(SEED)
"""

WORKERS = """
@daemon.worker(Web)
def web(worker):
    worker.ready()
    say("ready", worker.key, "g", worker.generation, "pid", os.getpid())
    channel = worker._assignment.send.__self__._channel
    for connection, _ in worker.accept("http"):
        with connection:
            if not os.path.exists("rogue"):
                connection.sendall(f"{worker.key} g{worker.generation} {os.getpid()} ".encode())
                continue
            for _ in range(300):
                data = messages.encode(chance.choice(MESSAGES))
                send(channel, spoilt(data, chance), chance)
"""


def client(served: Served) -> prefork.Client:
    return prefork.connect(served.environment["RUNTIME_DIRECTORY"])


def rests(served: Served) -> bool:
    molds = client(served).status()["molds"]
    return [mold["spares"] for mold in molds] == [1] and len(served.running.children()) == 4


def descriptors(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # It has just been closed.
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return sorted(found)


def test_workers_that_mean_harm_are_replaced_or_passed_over(start: Start) -> None:
    seed = int(os.environ.get("TEST_OF_PREFORK_SEED", time.time()))
    print("seed", seed)
    rogue = ROGUE.replace("SEED", str(seed))
    served = Served(start, "hostile", HEAD + DAEMON + rogue + WORKERS + RUN).launch()
    served.ready("web/0", "web/1")
    until(lambda: rests(served), "its spare is there, and the master knows of it")
    before = descriptors(served.running.pid)
    (start.directory / "rogue").touch()
    for _ in range(10 if PROOF else 4):
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as asking:
            try:
                assert asking.recv(100) == b""
            except TimeoutError:
                raise AssertionError(served.running._transcript()) from None
    (start.directory / "rogue").unlink()
    assert served.running.status is None
    assert served.ask()[0] in ("web/0", "web/1")
    client(served).reload()  # Those whose channels are closed by now are told by a signal like all others.
    until(lambda: rests(served), "nothing else is left")
    until(lambda: len(descriptors(served.running.pid)) <= len(before), "no descriptor is left")
    assert served.stop() == 0
