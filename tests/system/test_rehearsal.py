"""A spare that is kept rehearses its server's start: nothing of the application's takes part in it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support import Start, until
from system.runs import ASGI, Run, write

NOTED = """
import asyncio, os
import prefork
import uvicorn

def note(what):
    with open("noted", "a") as file:
        file.write(f"{what} {os.getpid()}\\n")

load = uvicorn.Config.load

def loading(config):
    note("uvicorn")
    load(config)

uvicorn.Config.load = loading

@prefork.on_worker_start
async def connect():
    note("connected")

inner = app

async def app(scope, receive, send):
    note(scope["type"])
    await inner(scope, receive, send)
"""


def test_rehearsed_spare_serves_as_any_worker(start: Start) -> None:
    """Its own request is in no log and no count, its own start calls nothing that the application registered."""
    write(start, "shop.py", ASGI + NOTED)
    run = Run(start, "shop:app", "-w", "1", "--access-log", "access", "--limit-request-line", "1000")
    run.ready()
    noted, access = Path(start.directory, "noted"), Path(start.directory, "access")
    worker = run.who()[0]
    # A worker's start makes two configurations, and so does a rehearsal; the mold makes one.
    until(lambda: len(rehearsed(noted, worker)) == 1, "the rehearsal of the spare")
    spare = rehearsed(noted, worker).pop()
    assert lines(noted, spare) == ["uvicorn", "uvicorn"]
    os.kill(worker, signal.SIGKILL)
    assert run.who()[0] == spare
    assert sorted(lines(noted, spare)) == ["connected", "http", "lifespan", *["uvicorn"] * 4]
    until(lambda: access.read_text().count("\n") == 2, "a line for each request")
    assert run.stop() == 0


def rehearsed(noted: Path, worker: int) -> set[int]:
    pids = [int(line.split()[1]) for line in noted.read_text().splitlines() if line.startswith("uvicorn")]
    return {pid for pid in pids if pids.count(pid) == 2 and pid != worker}


def lines(noted: Path, pid: int) -> list[str]:
    return [line.split()[0] for line in noted.read_text().splitlines() if line.endswith(f" {pid}")]
