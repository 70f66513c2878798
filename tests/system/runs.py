"""`prefork run` in tests: an application as text, what its daemon says of itself, and who answers there."""

from __future__ import annotations

import http.client
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from support import PATIENCE, Running, Start, until

PREFORK = Path(sys.executable).with_name("prefork")

ASGI = """
import os
TEXT = "hello"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"{os.getpid()} {TEXT}".encode()})
"""

WSGI = """
import os
TEXT = "hello"

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {TEXT}".encode()]
"""


class Run:
    """One `prefork run`, on a port that the kernel chooses; `through`: the words of a command that runs it."""

    def __init__(self, start: Start, *arguments: str, bind: bool = True, **options: Any) -> None:
        if not PREFORK.exists():
            pytest.skip(f"prefork is not installed beside {sys.executable}")
        where = ["-b", "127.0.0.1:0"] if bind else []
        environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime"), **options.pop("env", {})}
        command = [*options.pop("through", ()), PREFORK, "run", *arguments, *where]
        self.running: Running = start.command(*command, env=environment, **options)
        self.port = 0

    def ready(self) -> str:
        """Wait until all workers are; return what was said of the application."""
        said = self.running.expect(r"^prefork: \S+: ready \((.*)\)$", "err")[1]
        if match := re.search(r"//127\.0\.0\.1:(\d+)", said):
            self.port = int(match[1])
        return said

    def get(self, path: str = "/") -> bytes:
        """Return the body of an answer, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            return answer.read()
        finally:
            connection.close()

    def who(self) -> tuple[int, str]:
        """Return the pid and the text of the worker that answers."""
        pid, _, text = self.get().decode().partition(" ")
        return int(pid), text

    def pids(self, count: int) -> set[int]:
        """Wait until `count` different workers have answered; return their pids."""
        seen: set[int] = set()

        def more() -> bool:
            seen.add(self.who()[0])
            return len(seen) >= count

        until(more, f"{count} workers answer")
        return seen

    def stop(self) -> int:
        return self.running.stop()


def write(start: Start, name: str, source: str) -> None:
    path = start.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def check(start: Start, *arguments: str, **options: Any) -> tuple[int, str, str]:
    """Run `prefork check`; return its status and what it wrote."""
    running = start.command(PREFORK, "check", *arguments, **options)
    status = running.wait()
    assert running.left() == []
    return status, "\n".join(running.out), "\n".join(running.err)


def checked(start: Start, *arguments: str, **options: Any) -> Any:
    """Return what `prefork check --json` finds."""
    status, out, err = check(start, *arguments, "--json", **options)
    assert status == 0, out + err
    return json.loads(out)
