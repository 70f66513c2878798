"""What ps shows of a daemon: each process names itself, and says the state that it is in."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from support import Start, until
from system.daemons import HEAD, RUN, Served, title

GATES = """
daemon = prefork.Daemon("gates", listeners={"http": "tcp://127.0.0.1:PORT"})

@daemon.plan
def plan():
    return [Web(0), Web(1)]

@daemon.worker(Web, ready="explicit", SPAWN)
def web(worker):
    os.read(os.open("start", os.O_RDONLY), 1)
    worker.ready()
    worker.wait_draining()
    os.read(os.open("end", os.O_RDONLY), 1)
"""


class Gate:
    """A named pipe at which workers wait for a byte each."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open(self) -> None:
        """Let both workers through, and leave it."""
        os.write(self._descriptor, b"..")

    def close(self) -> None:
        os.close(self._descriptor)


def titles(served: Served) -> list[str]:
    return sorted(found for pid in served.running.children() if " web/" in (found := title(pid)))


def both(served: Served, text: str) -> None:
    wanted = [f"prefork: web/{i} {text} (gates)" for i in (0, 1)]
    until(lambda: titles(served) == wanted, f"{wanted}, and not {titles(served)}")


def master(served: Served, text: str) -> None:
    pid = served.running.pid
    until(lambda: title(pid) == f"prefork: master gates [{text}]", f"[{text}], and not {title(pid)}")


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_a_title_says_the_state_and_changes_with_it(start: Start, spawn: str) -> None:
    with closing(Gate(start.directory / "start")) as to_start, closing(Gate(start.directory / "end")) as to_end:
        served = Served(start, "gates", HEAD + GATES.replace("SPAWN", f"spawn='{spawn}'") + RUN).launch()
        both(served, "g1 starting")
        master(served, "0/2 ready")
        to_start.open()
        both(served, "g1 ready")
        master(served, "2/2 ready")
        served.running.send(signal.SIGTERM)
        both(served, "g1 draining")
        master(served, "stopping")
        to_end.open()
        assert served.running.wait() == 0
