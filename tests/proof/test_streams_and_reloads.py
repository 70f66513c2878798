"""Five reloads in a minute beside endless streams, with ten minutes to drain: new code serves, all end in order."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from support import Start
from system.daemons import alive
from system.runs import PREFORK, Run, write
from system.test_superseding import open_streams

WORKERS, RELOADS, DRAIN = 4, 5, 600
MOST = 2 * WORKERS + 4
"""Processes: a worker and one that drains for each slot, two molds, a spare, and the next worker."""

APPLICATION = """
import asyncio, os

def note(text):
    with open("notes", "a") as file:
        file.write(f"{os.getpid()} {text}\\n")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        note("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        note("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"{os.getpid()} VERSION".encode(), "more_body": True})
    if scope["path"] == "/stream":
        note("stream")
        try:
            while True:
                await asyncio.sleep(1)
                await send({"type": "http.response.body", "body": b".", "more_body": True})
        finally:
            note("finally")
    await send({"type": "http.response.body", "body": b""})
"""


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("server", ["uvicorn", "granian", "hypercorn"])
def test_each_reload_serves_beside_streams_and_all_end_in_order(start: Start, server: str) -> None:
    write(start, "streams.py", APPLICATION.replace("VERSION", "v0"))
    run = Run(start, "streams:app", "-w", str(WORKERS), "--server", server, "--drain-timeout", str(DRAIN))
    run.ready()
    most = 0
    with ExitStack() as streams:
        for number in range(1, RELOADS + 1):
            begun = time.monotonic()
            open_streams(run, streams, WORKERS)
            write(start, "streams.py", APPLICATION.replace("VERSION", f"v{number}"))
            command = start.command(PREFORK, "reload", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
            assert command.wait() == 0
            asked = [run.who()[1] for _ in range(20)]
            assert set(asked) == {f"v{number}"}, asked
            while time.monotonic() < begun + 60 / RELOADS:
                most = max(most, len([pid for pid in run.running.children() if alive(pid)]))
                time.sleep(0.1)
        reloaded = time.monotonic()
        while count(start, "shutdown") < RELOADS * WORKERS:
            assert time.monotonic() < reloaded + DRAIN, (start.directory / "notes").read_text()
            time.sleep(1)
        print(f"{server}: at most {most} processes; the last drains ended {time.monotonic() - reloaded:.0f} s later")
    assert run.stop() == 0
    assert most <= MOST
    assert count(start, "finally") == count(start, "stream")
    assert count(start, "shutdown") == count(start, "startup") == (1 + RELOADS) * WORKERS
    assert not [line for line in run.running.err if "killed" in line]


def count(start: Start, what: str) -> int:
    """Return how often the workers have noted this."""
    return (start.directory / "notes").read_text().count(f" {what}\n")
