"""An application whose next release has a fault, under load, and what its judged reload says of it."""

from __future__ import annotations

import time
from pathlib import Path

import prefork
from load import Load
from prefork.client import Status
from support import Start
from system.runs import PREFORK, Run

APPLICATION = """
import asyncio, os, random, signal, time
FAULT = "none"
served = 0

async def app(scope, receive, send):
    global served
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    served += 1
    if FAULT == "crash" and served == 300:
        os.kill(os.getpid(), signal.SIGSEGV)
    if FAULT == "hang" and served == 300:
        time.sleep(1000)
    await asyncio.sleep(0.06 if FAULT == "slow" else 0.02)
    status = 500 if FAULT == "all" or FAULT == "errors" and random.random() < 0.02 else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


class Judged:
    """Four workers of a good release. `more`: further options of the daemon."""

    def __init__(self, start: Start, *more: str) -> None:
        self.start = start
        self.module = start.directory / "shop.py"
        self.release("none")
        self.run = Run(start, "shop:app", "-w", "4", "--hang-timeout", "2", *more)
        self.run.ready()

    def release(self, fault: str) -> None:
        """Write the next release."""
        Path(self.module).write_text(APPLICATION.replace('"none"', f'"{fault}"', 1))

    def load(self, clients: int = 16, pause: float = 0.01) -> Load:
        """Return clients that send requests, each on a connection of its own."""
        return Load(self.run.port, b"ok", clients, pause=pause)

    def status(self) -> Status:
        """Return the daemon's status."""
        return prefork.connect(str(self.start.directory / "runtime")).status()

    def generations(self) -> list[int]:
        """Return the generation of each slot's newest process that is ready."""
        return [slot["generation"] or 0 for slot in self.status()["slots"] if slot["state"] == "ready"]

    def leaving(self) -> list[int]:
        """Return the pids of processes that a newer one of their slot has replaced."""
        return [one["pid"] for slot in self.status()["slots"] for one in slot["leaving"]]

    def command(self, *arguments: str) -> tuple[int, str, float]:
        """Return the exit status of a command, what it has written, and how many seconds it took."""
        begun = time.monotonic()
        running = self.start.command(
            PREFORK, *arguments, env={"RUNTIME_DIRECTORY": str(self.start.directory / "runtime")}
        )
        status = running.wait()
        return status, "\n".join([*running.out, *running.err]), time.monotonic() - begun
