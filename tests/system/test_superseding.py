"""Reloads of `prefork run` while clients keep workers busy, and while workers hang in their start."""

from __future__ import annotations

import re
import socket
import time
from contextlib import ExitStack

import pytest

from support import PATIENCE, Start, until
from system.daemons import alive
from system.runs import PREFORK, Run

STREAMS = """
import asyncio, os
TEXT = "VERSION"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        STARTUP
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print(TEXT, "shut down", os.getpid(), flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"{os.getpid()} {TEXT}".encode(), "more_body": True})
    if scope["path"] == "/stream":
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            print(TEXT, "finally", os.getpid(), flush=True)
    await send({"type": "http.response.body", "body": b""})
"""


def write(start: Start, version: str, startup: str = "pass") -> None:
    (start.directory / "streams.py").write_text(STREAMS.replace("VERSION", version).replace("STARTUP", startup))


def reload(start: Start) -> str:
    """Reload, and return what the command prints."""
    command = start.command(PREFORK, "reload", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    command.wait()
    return "\n".join(command.out + command.err)


@pytest.fixture
def run(start: Start) -> Run:
    """A daemon of two workers that may drain for ten minutes."""
    write(start, "first")
    run = Run(start, "streams:app", "-w", "2", "--drain-timeout", "600", "--log-level", "debug")
    run.ready()
    return run


def open_streams(run: Run, streams: ExitStack, workers: int = 2) -> None:
    """Open streams that do not end, until each worker has one."""
    pids: set[bytes] = set()
    while len(pids) < workers:
        client = streams.enter_context(socket.create_connection(("127.0.0.1", run.port), timeout=PATIENCE))
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
        answer = b""
        while not (found := re.search(rb"(\d+) \w+\r\n$", answer)):
            data = client.recv(1000)
            assert data, answer
            answer += data
        pids.add(found[1])


def test_each_reload_serves_at_once_beside_streams(start: Start, run: Run) -> None:
    with ExitStack() as streams:
        for former, version in (("", "second"), ("first", "third"), ("second", "fourth")):
            open_streams(run, streams)
            write(start, version)
            assert "done" in reload(start)
            assert {run.who()[1] for _ in range(8)} == {version}
            # One worker a slot drains; an older one that does so, too, ends in order.
            for _ in range(2 if former else 0):
                run.running.expect_each([rf"{former} finally", rf"{former} shut down"], "out")
        until(
            lambda: len([pid for pid in run.running.children() if alive(pid)]) <= 6, "workers, drains, mold and spare"
        )
    assert run.running.stop() == 0


def test_what_hangs_in_its_start_is_superseded_and_explained(start: Start, run: Run) -> None:
    write(start, "second", "await asyncio.sleep(3600)  # it hangs here")
    hanging = start.command(PREFORK, "reload", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    run.running.expect(r"web/\d: started \(generation 2", "err")
    write(start, "third")
    assert "done" in reload(start)
    assert {run.who()[1] for _ in range(8)} == {"third"}
    hanging.expect("reload: superseded by a newer reload", "err")
    run.running.expect(r"web/\d: not ready, and asked to end 1 s ago .*; its stacks:", "err")
    run.running.expect(r'streams\.py", line \d+ in app', "err")
    run.running.expect(r"web/\d: killed by the master: not ready", "err")
    assert run.running.stop() == 0


def test_stop_does_not_wait_for_what_never_starts(start: Start) -> None:
    write(start, "first", "await asyncio.sleep(3600)")
    run = Run(start, "streams:app", "-w", "2", "--log-level", "debug")
    run.running.expect_each([r"web/0: started", r"web/1: started"], "err")
    began = time.monotonic()
    assert run.running.stop() == 0
    assert time.monotonic() - began < 10, "drain_timeout is 30 s"
