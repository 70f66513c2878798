"""`make demo`: the command that it runs, and what it says to try."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import httpx

from support import PATIENCE, Running, Start, until
from system.daemons import free_port, title
from system.runs import PREFORK

ROOT = Path(__file__).parent.parent.parent


def recipe() -> str:
    """Return what `make demo` would execute, where everything is installed already."""
    installed = ["-o", "pyproject.toml", "-o", f"{PREFORK.parent.parent}/installed-with-everything"]
    command = ["make", "-n", *installed, f"VENV={PREFORK.parent.parent}", "demo"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def pid_of(daemon: Running, slot: str) -> int | None:
    """Return the pid of a slot's worker, by its title."""
    return next((pid for pid in daemon.children() if title(pid).startswith(f"prefork: {slot} ")), None)


def test_demo_serves_reloads_and_survives_a_kill(start: Start) -> None:
    text = recipe()
    for trial in (
        "curl http://127.0.0.1:8000/ ",
        "prefork top",
        "prefork reload",
        "pkill -9 -f 'prefork: web/2 .*demo'",
    ):
        assert trial in text, trial
    (line,) = re.findall(r"^exec (.*)$", text, re.MULTILINE)
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    port = free_port()
    daemon = start.command(*shlex.split(line.replace(":8000", f":{port}")), cwd=ROOT, env=environment)
    daemon.expect("^prefork: demo: ready .* workers: 4 web", "err")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        assert client.get("/").text.startswith("hello from worker process ")
    killed = pid_of(daemon, "web/2")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    until(lambda: pid_of(daemon, "web/2") not in (None, killed), "a new worker in its slot")
    reload = start.command(PREFORK, "reload", env=environment)
    assert reload.wait() == 0
    assert daemon.stop(signal.SIGINT) == 0
