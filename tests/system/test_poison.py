"""A request that kills its worker, again and again, and a start that fails for a while."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import time
from contextlib import suppress

from support import PATIENCE, Start, until
from system.runs import PREFORK, Run

POISON = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if os.path.exists("away"):
            raise ConnectionRefusedError("database")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/crash":
        os._exit(3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"{os.getpid()} hello".encode()})
"""


def poisoned(start: Start) -> Run:
    (start.directory / "poison.py").write_text(POISON)
    run = Run(start, "poison:app", "-w", "2")
    run.ready()
    return run


def crash(run: Run) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=PATIENCE)
    with suppress(http.client.RemoteDisconnected, ConnectionResetError):
        connection.request("GET", "/crash")
        connection.getresponse()
    connection.close()


def asked(start: Start, *command: str) -> tuple[int, str]:
    """Return the status of a command for the daemon, and what it prints."""
    running = start.command(PREFORK, *command, env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    return running.wait(), "\n".join(running.out + running.err)


def test_one_client_cannot_take_the_workers_away(start: Start) -> None:
    run = poisoned(start)
    longest = 0.0
    for _ in range(25):
        crash(run)
        began = time.monotonic()
        run.who()
        longest = max(longest, time.monotonic() - began)
    assert longest < 5, "pauses of single slots would have grown to half a minute"
    run.pids(2)
    run.running.expect(
        r"web/\d: exited 3 after .*, while doing GET /crash \(pid \d+, generation 1\); restarting$", "err"
    )
    assert not any("restarting in" in line for line in run.running.err)
    _, text = asked(start, "crashes")
    assert re.search(r"^GET /crash: (\d+) of \1 crashes$", text, re.MULTILINE), text
    assert run.stop() == 0


def test_workers_return_together_when_the_cause_has_gone(start: Start) -> None:
    run = poisoned(start)
    (start.directory / "away").write_text("")
    for pid in run.pids(2):
        os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        run.running.expect(r"web/\d: .*failures in a row", "err")
    assert any("web: no worker is ready (" in line for line in run.running.err)
    (start.directory / "away").unlink()
    run.running.expect(r"web: a worker is ready again \(web/\d\)", "err")
    run.pids(2)
    assert run.stop() == 0


def test_check_fails_while_the_mold_cannot_be_started(start: Start) -> None:
    run = poisoned(start)
    (start.directory / "poison.py").write_text("raise ImportError('no more')")
    (mold,) = json.loads(asked(start, "status", "--json")[1])["molds"]
    os.kill(mold["pid"], signal.SIGKILL)
    for _ in range(2):
        run.running.expect("ImportError: no more|mold of generation 1: failed to start", "err")
    until(lambda: asked(start, "status", "--check")[0] == 1, "the check fails")
    (line,) = asked(start, "status", "--check")[1].splitlines()
    assert re.match(r"mold of generation 1 cannot be started \(\d+ failures in a row, the last one: .*no more\)", line)
    (start.directory / "poison.py").write_text(POISON)
    until(lambda: asked(start, "status", "--check") == (0, "2 slots served"), "it has been started")
    assert run.stop() == 0
