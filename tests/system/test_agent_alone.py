"""Daemons whose agent fails, hangs, or is started in another way: each has its own."""

from __future__ import annotations

import os
import signal
import socket
from urllib.request import urlopen

import pytest

import prefork
from support import PATIENCE, Start, gone, until
from system.agents import Watched
from system.daemons import HEAD, SERVE, free_port
from system.runs import ASGI, Run, write

BROKEN = ASGI + '\nimport sys; sys.modules["starlette.applications"] = None\n'
"""The agent alone imports that module."""


def test_agent_fails_at_start_service_and_reload_go_on(start: Start) -> None:
    run = Watched(start, source=BROKEN)
    run.ready_without_agent()
    run.running.expect(r"^agent/0: exited 1 after .* \(2 failures in a row\)$", "err")
    run.who()
    assert "done" in run.client.reload()
    until(lambda: run.slot("agent/0")["failures"] > 0, "the new agent has failed, too")
    write(start, "app.py", ASGI)
    assert "done" in run.client.reload()
    run.agent()
    assert run.ask("/readyz")[:2] == (200, "2 slots served\n")
    assert run.stop() == 0


def test_agent_stopped_for_hang_timeout_is_replaced(start: Start) -> None:
    run = Watched(start, "app:app", "-w", "1", "--hang-timeout", "1", "--no-preload")
    run.ready()
    old, workers = run.agent(), run.workers()
    os.kill(old, signal.SIGSTOP)
    run.agent(other_than=old)
    assert run.workers() == workers
    assert run.stop() == 0


PROGRAM = (
    HEAD
    + """
daemon = prefork.Daemon("chat", listeners={"http": "tcp://127.0.0.1:0"})

@daemon.plan
def plan():
    return [Web(0)]
"""
    + SERVE
)


def test_daemon_of_ones_own_gets_an_agent(start: Start) -> None:
    run = Watched(start, "app:daemon", source=PROGRAM, bind=False)
    run.ready()
    assert run.ask("/readyz")[:2] == (200, "1 slot served\n")
    old = run.agent()
    assert "done" in run.client.replan()
    assert run.agent() == old, "a replan without a difference keeps it"
    os.kill(run.running.pid, signal.SIGKILL)
    assert gone(old), "the agent ends with the master"


def test_missing_library_is_one_line_with_the_remedy(start: Start) -> None:
    write(start, "app.py", ASGI + '\nimport sys; sys.modules["starlette"] = None\n')
    run = Run(start, "app:app", "--metrics", "127.0.0.1:0")
    assert run.running.wait() == 1
    said = "\n".join(run.running.err)
    assert "the agent needs starlette, which is not installed: pip install 'prefork[metrics]'" in said
    assert "Traceback" not in said


NAMESAKE = (
    HEAD
    + """
@dataclass(frozen=True)
class Agent(prefork.WorkerContext):
    id: int

daemon = prefork.Daemon("chat")

@daemon.plan
def plan():
    return [Agent(0)]

@daemon.worker(Agent)
def agent(worker):
    worker.wait_draining()
"""
)


def test_agent_that_cannot_be_is_refused_with_the_reason(start: Start) -> None:
    write(start, "app.py", NAMESAKE)
    for arguments, status, why in (
        (["--metrics", "127.0.0.1:0"], 1, "the daemon has a kind of worker, or a listener, called 'agent'"),
        (["--metrics", "udp://127.0.0.1:0"], 2, "--metrics: HTTP needs connections"),
        (["--dashboard-steer"], 2, "--dashboard-steer: it needs --dashboard"),
    ):
        run = Run(start, "app:daemon", *arguments, bind=False)
        assert run.running.wait() == status
        said = "\n".join(run.running.err)
        assert why in said
        assert "Traceback" not in said


def test_reload_moves_and_removes_the_agent(start: Start) -> None:
    write(start, "app.py", ASGI)
    old, new = free_port(), free_port()
    options = 'target = "app:app"\nworkers = 1\nbind = ["127.0.0.1:0"]\n'
    write(start, "prefork.toml", f'{options}metrics = "127.0.0.1:{old}"\n')
    run = Run(start, bind=False)
    run.ready()
    client = prefork.connect(str(start.directory / "runtime"))
    write(start, "prefork.toml", f'{options}metrics = "127.0.0.1:{new}"\n')
    assert "done" in client.reload()
    assert urlopen(f"http://127.0.0.1:{new}/readyz", timeout=PATIENCE).read() == b"1 slot served\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old)).close()
    write(start, "prefork.toml", options)
    assert "done" in client.reload()
    until(lambda: len(client.status()["slots"]) == 1, "the agent has ended")
    assert run.stop() == 0
